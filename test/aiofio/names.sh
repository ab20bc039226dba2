#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# names.sh <aiofio> - every option that the installed fio knows, of jobs, of its engines and of its
# command line, is known here, and the refused ones have its defaults. Ends with 77 where there is
# no fio.
set -euo pipefail

aiofio=$(realpath "$1")
# shellcheck source=test/aiofio/scene.sh
. "$(dirname "$0")/scene.sh"
need fio
failures=0
count=0

fail() {
    printf '%s\n' "$*"
    failures=$((failures + 1))
}

# Usage: field <name of a line of a help text> Reads the help from standard input.
field() {
    sed -nE "s/^ *$1: (.*)/\\1/p" | head -n 1
}

# What the tool knows: the class and the default of every name and alias.
declare -A class default
while IFS='|' read -r _ name alias _ initial kind _; do
    for known in $name $alias; do
        class[$known]=${kind// /}
        default[$known]=${initial// /}
    done
done < <("$aiofio" --cmdhelp=markdown | grep '^| [^a-z][a-z]' | tr -d '\140')

# Usage: check_default <name> <default of fio>. Those that are supported may have another one, with
# a reason; 0 or none is what fio does where it names no default.
check_default() {
    local ours=${default[$1]}

    if [[ ${class[$1]} == supported || -z $ours || -z $2 || $2 == "$ours" ]]; then
        return
    fi
    if [[ $2 == "no default" && ($ours == 0 || $ours == none) ]]; then
        return
    fi
    fail "$1: fio's default is '$2', not '$ours'"
}

# Usage: check_name <name> <help of fio>
check_name() {
    local name

    count=$((count + 1))
    for name in "$1" $(field alias <<<"$2"); do
        if [[ -z ${class[$name]:-} ]]; then
            fail "option $name of fio is unknown"
            return
        fi
    done
    check_default "$1" "$(field default <<<"$2")"
}

# Usage: first_words Reads a list of options, gives their names.
first_words() {
    sed -nE 's/^ *([a-z_0-9-]+) *:? .*/\1/p'
}

while read -r name; do
    check_name "$name" "$(fio --cmdhelp="$name" 2>&1)"
done < <(fio --cmdhelp=all 2>/dev/null | first_words)
while read -r engine; do
    while read -r name; do
        check_name "$name" "$(fio --enghelp="$engine,$name" 2>&1)"
    done < <(fio --enghelp="$engine" 2>/dev/null | grep ' : ' | first_words)
done < <(fio --enghelp 2>/dev/null | sed -n 's/^\t//p')
while read -r name; do
    count=$((count + 1))
    if "$aiofio" --parse-only "--$name=1" 2>&1 | grep -q 'unknown option'; then
        fail "--$name of fio is unknown"
    fi
done < <(fio --help 2>/dev/null | sed -nE 's/^  --([a-z-]+).*/\1/p' | sort -u)

echo "$count names of $(fio --version), $failures failures"
[[ $failures -eq 0 && $count -gt 300 ]]
