#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# overhead.sh <aiofile-overhead> <source root> - its rows, exit statuses and JSON, and the command
# lines of tools/count-costs and tools/measure. No figure is looked at: they are noise here.
set -euo pipefail

overhead=$(realpath "$1")
root=$2
# shellcheck source=tools/scratch.sh
source "$root/tools/scratch.sh"
failures=0

complain() {
    printf '%s\n' "$*"
    failures=$((failures + 1))
}

# Usage: expect_of <program> <exit status> <argument>... What it printed is in $said, and in $wrong
# what it printed as an error.
expect_of() {
    local program=$1 status=$2 code=0

    shift 2
    said=$(timeout 200 "$program" "$@" 2>"$work/error") || code=$?
    wrong=$(cat "$work/error")
    if [[ $code -ne $status ]]; then
        complain "${program##*/} $*: exit status $code, not $status: $said $wrong"
    fi
}

# Usage: expect <exit status> <argument>...
expect() {
    expect_of "$overhead" "$@"
}

# Usage: says <text> <extended regular expression>... Each is in a line of it.
says() {
    local text=$1 pattern

    shift
    for pattern in "$@"; do
        if ! grep -qE -- "$pattern" <<<"$text"; then
            complain "no line has \"$pattern\": $text"
        fi
    done
}

# Reads JSON. Strings become S, other values V; then each object or array of nothing but these is a
# V, until all of it is one. Fails where that does not come out.
is_json() {
    awk '
        { text = text $0 " " }
        END {
            gsub(/"([^"\\]|\\["\\\/bfnrtu])*"/, "S", text)
            gsub(/-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?|true|false|null/, "V", text)
            gsub(/[ \t]+/, "", text)
            while (gsub(/\{\}|\{S:[SV](,S:[SV])*\}|\[\]|\[[SV](,[SV])*\]/, "V", text) > 0)
                continue
            exit text != "V"
        }'
}

# A judge that lets anything pass would be no use.
for text in '{"a": 1,}' '{"a" 1}' '[nan]' '{"a": [1, 2}' '{"a": "b}' '{} {}' '{"a": 1.}' ''; do
    if is_json <<<"$text"; then
        complain "taken for JSON: $text"
    fi
done
for text in '{}' '{"a \"}": [1, -2.5e3, null, true, {"b\\": []}]}'; do
    if ! is_json <<<"$text"; then
        complain "not taken for JSON: $text"
    fi
done

if ! work=$(scratch_create 200); then
    exit 77
fi
trap 'rm -rf "$work"' EXIT
file="$work/with \"quotes\" and \\"
dd if=/dev/zero of="$file" bs=1M count=2 2>/dev/null
few=(--rounds=1 --count=128)

# --- rows ---

number='-?[0-9]+\.[0-9]+'
row="$number  \[$number $number\]  noise $number  raw +[0-9]+ ns"
expect 0 "${few[@]}" "$file"
says "$said" ': 512 blocks, 1 rounds of 128 reads: ' "^noise: raw batches .* $row$" \
    "^blocking read / pread, time +$row  budget <= 1\.05  (met|within noise|MISSED)$" \
    "^blocking read / pread, 8 threads, rate +$row  budget >= 0\.95" \
    "^threads, batches, depth 32 / a pool by hand, rate +$row$" \
    "^sync, batches, depth 32 / pread, rate +$row$" \
    "^10000 files on one queue, us beyond open \+ close +$row  budget <= 50"
if grep -q '^batches, depth 32 / raw' <<<"$said"; then
    says "$said" '^one submit, then wait / .* budget <= 0\.90' '^callbacks .* budget >= 0\.80' \
        '^refill as ' '^eventfd ' '^owned, refill' '^4 threads, one shared queue' \
        '^4 threads, an owned queue each'
else
    says "$wrong" 'left out, as its engine does not work here .*: batches, depth 32 / raw'
fi
expect 0 "${few[@]}" --row=sync, "$file"
if [[ $(wc -l <<<"$said") -ne 2 ]]; then
    complain "--row lets others through: $said"
fi

# Without a budget nothing is missed.
expect 0 "${few[@]}" --check --row='a pool by hand' "$file"
expect 0 "${few[@]}" --check --row='sync, ' --json "$file"
says "$said" '"budget": null, "met": null, "verdict": null}'

# --- JSON ---

expect 0 "${few[@]}" --json "$file"
if ! is_json <<<"$said"; then
    complain "--json prints no JSON: $said"
fi
says "$said" '^\{"machine": \{"uname": "Linux [^"]+", "cpu": "[^"]*", "cores": [0-9]+\}, ' \
    'with \\"quotes\\" and \\\\", ' '"date": "[0-9]{4}-[0-9-]{5}T[0-9:]{8}Z", ' \
    '"rounds": 1, "count": 128, "rows": \[$' '^\{"name": "[^"]+", "kind": "time", "median": ' \
    '"kind": "rate", ' '"kind": "microseconds", ' \
    '"noise": [0-9.]+, "raw_ns": [0-9.]+, "budget": 1\.05, "met": (true|false), "verdict": "'
if [[ -n $wrong ]] && grep -qv 'left out' <<<"$wrong"; then
    complain "--json complains: $wrong"
fi

# --- writing ---

mkdir "$work/directory"
expect 0 "${few[@]}" --write --json --row=blocking "$work/directory"
if ! is_json <<<"$said"; then
    complain "--write --json prints no JSON: $said"
fi
says "$said" '"writes": true' '"name": "blocking write / pwrite, time"'
expect 0 "${few[@]}" --write "$work/directory"
says "$said" '^100-byte append, .* budget <= 1\.50' '^direct writes with .* budget >= 0\.80'
if [[ -n $(ls -A "$work/directory") ]]; then
    complain "left behind: $(ls -A "$work/directory")"
fi

# --- one loop ---

for name in blocking raw-blocking single raw-single batched raw refill raw-refill callbacks \
    raw-callbacks eventfd raw-eventfd; do
    expect 0 --only=$name --count=128 "$file"
    if [[ -n $said$wrong ]]; then
        complain "--only=$name prints: $said $wrong"
    fi
done

# --- the command line ---

expect 0 --help
says "$said" '^Usage: aiofile-overhead ' '--check' '--row='
while read -ra words; do
    expect 2 ${words[@]+"${words[@]}"}
    says "$wrong" '^Usage: aiofile-overhead '
    if [[ -n $said ]]; then
        complain "${words[*]}: prints $said"
    fi
done <<END

--unheard-of $work/directory
$work/directory $work/directory
--rounds=0 $work/directory
--rounds=102 $work/directory
--rounds=many $work/directory
--rounds $work/directory
--count=127 $work/directory
--count=-1 $work/directory
--row=unheard-of $work/directory
--only=unheard-of $work/directory
--write --only=single $work/directory
END
for path in "$work/missing" "$work/directory" /dev/null; do
    expect 2 --json "$path"
    says "$wrong" '^aiofile-overhead: '
    if [[ -n $said ]]; then
        complain "$path: prints $said"
    fi
done
expect 2 --write "$file"

for tool in count-costs measure; do
    expect_of "$root/tools/$tool" 0 --help
    says "$said" "^Usage: tools/$tool "
    expect_of "$root/tools/$tool" 2 --unheard-of
    says "$wrong" "^Usage: tools/$tool "
    expect_of "$root/tools/$tool" 2 one two three
done

echo "$failures failures"
[[ $failures -eq 0 ]]
