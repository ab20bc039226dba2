#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# corpus.sh <aiofio> [--write] - job files that are right, and what they mean as a command line;
# job files that are wrong, and what is said to them; command lines of both kinds. --write makes
# the expectations anew, to be read before they are believed.
set -euo pipefail

aiofio=$(realpath "$1")
mode=${2:-}
cd "$(dirname "$0")/corpus"
export CORPUS_FOLDER=/somewhere CORPUS_SIZE=7
unset CORPUS_UNSET
failures=0

# Usage: compare <file of expectations> <text>
compare() {
    if [[ $mode == --write ]]; then
        echo "$2" >"$1"
    elif ! diff -u "$1" <(echo "$2"); then
        failures=$((failures + 1))
    fi
}

good=$(for job in good/*.fio; do
    echo "${job#good/}: $("$aiofio" --showcmd "$job" 2>&1)"
done)
compare good.expected "$good"

# What is printed means the same when it is read again.
for job in good/*.fio; do
    first=$("$aiofio" --showcmd "$job" 2>/dev/null)
    second=$(eval "\"\$aiofio\" --showcmd ${first#aiofio} 2>/dev/null")
    if [[ $first != "$second" ]]; then
        printf '%s becomes\n  %s\n  %s\n' "$job" "$first" "$second"
        failures=$((failures + 1))
    fi
done

bad=$(for job in bad/*.fio; do
    code=0
    said=$("$aiofio" --parse-only "$job" 2>&1) || code=$?
    echo "${job#bad/}: $code ${said//$'\n'/ | }"
done)
compare bad.expected "$bad"

# Command lines; those for which there is no job are mistakes.
lines=$(while read -r line; do
    read -ra words <<<"$line"
    code=0
    said=$("$aiofio" --showcmd "${words[@]}" 2>&1) || code=$?
    echo "$line"
    echo "    $code ${said//$'\n'/ | }"
done <cmdline.txt)
compare cmdline.expected "$lines"

if grep -vE '^[a-z_]+\.fio: 1 aiofio: ' bad.expected; then
    echo "these expectations of wrong files are no refusals"
    failures=$((failures + 1))
fi
exit $((failures > 0))
