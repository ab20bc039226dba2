#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# corpus.sh <aiofio> [--write] - job files and command lines, and what becomes of them. --write
# makes the expectations anew, to be read before they are believed.
#
#   good     what they mean as a command line, and that the command line means the same
#   bad      wrong in fio, too: what is said, and exit code 1
#   refused  right in fio, beyond this tool: what is said without and with --lenient
#   users    as people have them, of every kind: supported, or refused for a reason that is said;
#            with --lenient none is wrong, and what is left means the same as a command line
#   cmdline.txt  command lines; those for which there is no job are mistakes
set -euo pipefail

aiofio=$(realpath "$1")
mode=${2:-}
cd "$(dirname "$0")/corpus"
export CORPUS_FOLDER=/somewhere CORPUS_SIZE=7 CORPUS_NAME=included
unset CORPUS_UNSET
failures=0

fail() {
    printf '%s\n' "$@"
    failures=$((failures + 1))
}

# Usage: compare <file of expectations> <text>
compare() {
    if [[ $mode == --write ]]; then
        echo "$2" >"$1"
    elif ! diff -u "$1" <(echo "$2"); then
        failures=$((failures + 1))
    fi
}

# Usage: say <folder> <option>... What is said to the files of a folder, and the exit codes.
say() {
    local folder=$1 job code said

    shift
    for job in "$folder"/*.fio; do
        code=0
        said=$("$aiofio" "$@" "$job" 2>&1) || code=$?
        echo "${job#*/}: $code ${said//$'\n'/ | }"
    done
}

# Usage: check_round_trip <job file> <option>... What is printed means the same when it is read.
check_round_trip() {
    local job=$1 first second

    shift
    first=$("$aiofio" --showcmd "$@" "$job" 2>/dev/null) || return 0
    second=$(eval "\"\$aiofio\" --showcmd ${first#aiofio} 2>/dev/null")
    if [[ $first != "$second" ]]; then
        fail "$job becomes" "  $first" "  $second"
    fi
}

compare good.expected "$(say good --showcmd)"
if grep -vE '^[a-z_0-9]+\.fio: 0 ' good.expected; then
    fail "these files are expected to be good, and are not"
fi
for job in good/*.fio; do
    check_round_trip "$job"
done

compare bad.expected "$(say bad --parse-only)"
if grep -vE '^[a-z_0-9]+\.fio: 1 aiofio: ' bad.expected; then
    fail "these files are expected to be wrong, and are not"
fi

compare refused.expected "$(say refused --parse-only)"
compare lenient.expected "$(say refused --parse-only --lenient)"
if grep -vE '^[a-z_0-9]+\.fio: 1 aiofio: .* is not supported because ' refused.expected ||
    grep -vE '^[a-z_0-9]+\.fio: 0 aiofio: note: skipped: ' lenient.expected; then
    fail "these files are expected to be refused, and to pass with --lenient"
fi

for job in users/*.fio; do
    code=0
    said=$("$aiofio" --parse-only "$job" 2>&1) || code=$?
    if [[ $code -ne 0 ]]; then
        reasons=$(grep -vE '^aiofio: (note: |nothing was run )' <<<"$said" || true)
        if [[ $code -ne 1 || -z $reasons ]] ||
            grep -v ' is not supported because ' <<<"$reasons"; then
            fail "$job gives $code:" "$said"
        fi
        "$aiofio" --parse-only --lenient "$job" 2>/dev/null || fail "$job is wrong with --lenient"
    fi
    check_round_trip "$job" --lenient
done

lines=$(while read -r line; do
    read -ra words <<<"$line"
    code=0
    said=$("$aiofio" --showcmd "${words[@]}" 2>&1 </dev/null) || code=$?
    echo "$line"
    echo "    $code ${said//$'\n'/ | }"
done <cmdline.txt)
compare cmdline.expected "$lines"

# A job file of - is standard input, with the defaults of the command line and a wall before it.
code=0
said=$(printf '[j]\nsize=1m\n' | "$aiofio" --showcmd good/syncs.fio - --bs=16k 2>&1) || code=$?
if [[ $code -ne 0 || $said != *" --name=j --bs=16384 --size=1048576 --stonewall" ]]; then
    fail "standard input gives $code: $said"
fi
code=0
said=$("$aiofio" --parse-only good 2>&1) || code=$?
if [[ $code -ne 1 || $said != *"good: cannot be read: Is a directory"* ]]; then
    fail "a folder gives $code: $said"
fi
code=0
said=$("$aiofio" --parse-only /dev/zero 2>&1) || code=$?
if [[ $code -ne 1 || $said != *"this is no job file"* ]]; then
    fail "a device gives $code: $said"
fi

# What the tool says about itself goes to standard output, and is no mistake.
for words in --help -h --version -v --cmdhelp --cmdhelp=all --cmdhelp=bs --cmdhelp=blocksize \
    --cmdhelp=thread --cmdhelp=zonemode --cmdhelp=man --cmdhelp=markdown --enghelp \
    --enghelp=libaio --enghelp=libaio,bs; do
    if ! said=$("$aiofio" "$words" 2>/dev/null) || [[ -z $said ]]; then
        fail "$words says nothing"
    fi
done

good=(good/*.fio)
users=(users/*.fio)
echo "${#good[@]} good files, ${#users[@]} of users, $failures failures"
exit $((failures > 0))
