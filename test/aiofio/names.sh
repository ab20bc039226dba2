#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# names.sh <aiofio> - every option that the installed fio knows, of jobs, of its engines and of its
# command line, is known here, and the refused ones have its defaults. Ends with 77 where there is
# no fio.
set -euo pipefail

aiofio=$(realpath "$1")
if ! command -v fio >/dev/null; then
    echo "skipped: fio is not installed (apt-get install fio)"
    exit 77
fi
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

# Usage: check_default <name> <help of fio> <help of aiofio>. Only those that are refused or ignored
# have a "default in fio"; "0" is what fio does where it names no default.
check_default() {
    local theirs ours

    theirs=$(field default <<<"$2")
    ours=$(field 'default in fio' <<<"$3")
    if [[ -z $ours || -z $theirs || $theirs == "$ours" ]]; then
        return
    fi
    if [[ $theirs == "no default" && ($ours == 0 || $ours == none) ]]; then
        return
    fi
    fail "$1: fio's default is '$theirs', not '$ours'"
}

# Usage: check_name <name> <help of fio>
check_name() {
    local ours alias

    count=$((count + 1))
    if ! ours=$("$aiofio" --cmdhelp="$1" 2>&1); then
        fail "option $1 of fio is unknown"
        return
    fi
    alias=$(field alias <<<"$2")
    if [[ -n $alias ]] && ! "$aiofio" --cmdhelp="$alias" >/dev/null 2>&1; then
        fail "$alias, another name of $1, is unknown"
    fi
    check_default "$1" "$2" "$ours"
}

# Usage: first_words Reads a list of options, gives their names.
first_words() {
    sed -nE 's/^([a-z_0-9-]+) *:? .*/\1/p'
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
[[ $failures -eq 0 && $count -gt 200 ]]
