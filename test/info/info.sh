#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# info.sh <aiofile-info> [<refuse>] - what the tool says of directories, files, devices, engines and
# of what it cannot look at; and that it leaves nothing behind. Devices are tried where root can
# make them, sandboxes with test/refuse.c.
set -euo pipefail

info=$(realpath "$1")
refuse=${2:+$(realpath "$2")}
work=$(mktemp -d -p "${TMPDIR:-/var/tmp}" aiofile-info-test-XXXXXX)
loop=""
failures=0

clean_up() {
    if [[ -n $loop ]]; then
        umount "$work/mounted" 2>/dev/null || true
        losetup -d "$loop" || true
    fi
    rm -rf "$work"
}
trap clean_up EXIT

complain() {
    printf '%s\n' "$*"
    failures=$((failures + 1))
}

# Usage: expect_of <program> <exit status> <argument>... What it printed, on both, is in $said.
expect_of() {
    local program=$1 status=$2 code=0

    shift 2
    said=$(timeout 120 "$program" "$@" 2>&1) || code=$?
    if [[ $code -ne $status ]]; then
        complain "${program##*/} $*: exit status $code, not $status: $said"
    fi
}

# Usage: expect <exit status> <argument>... Runs the tool.
expect() {
    expect_of "$info" "$@"
}

# Usage: says <extended regular expression>... Each is in a line of what was printed.
says() {
    local pattern

    for pattern in "$@"; do
        if ! grep -qE -- "$pattern" <<<"$said"; then
            complain "no line has \"$pattern\": $said"
        fi
    done
}

# --- files and directories ---

alignments=('^  memory alignment +(any|[0-9]+ bytes) ' '^  required alignment ' '^  read alignment '
    '^  preferred alignment ' '^  direct alignment ' '^  atomic writes ')
engines=('^  kaio +(works$|no \([A-Z]+\): kaio: )' '^  uring +(works$|no \([A-Z]+\): uring: )'
    '^  threads +(works$|no \([A-Z]+\): threads: )' '^  sync +works$'
    '^  sim +no \(EOPNOTSUPP\): sim: ' '^  auto +[a-z]+ \(engine auto: using ')

mkdir "$work/empty"
expect 0 "$work/empty"
says ': an unnamed temporary file in this directory$' '^  kind +regular file$' "${alignments[@]}" \
    "^  file system +[a-z0-9.]+$" '^  direct I/O +(granted|refused|emulated)' "${engines[@]}"

echo "as it was" >"$work/file"
touch -d 2001-01-01 "$work/file"
before=$(stat -c '%s %Y %i' "$work/file"; cat "$work/file")
expect 0 "$work/file" "$work/empty"
says "^$work/file$" "^$work/empty: "
after=$(stat -c '%s %Y %i' "$work/file"; cat "$work/file")
if [[ $before != "$after" ]]; then
    complain "the file that was looked at is another now: $after"
fi

touch "$work/with \"quotes\""
expect 0 --json "$work/file" "$work/with \"quotes\"" "$work/empty"
says '"kind": "regular file"' '"direct": "(granted|refused|emulated)"' '"read_alignment": [0-9]+' \
    '"temporary": true' '"name": "sync", "works": true' 'with \\"quotes\\""'
if command -v python3 >/dev/null && ! python3 -m json.tool <<<"$said" >/dev/null; then
    complain "--json prints no JSON: $said"
fi

# --- engines alone ---

expect 0 --engines
says "${engines[@]}"
if grep -q ': an unnamed' <<<"$said"; then
    complain "--engines looks at a path: $said"
fi
# The first that works is the one that is taken.
first=$(sed -nE 's/^  ([a-z]+) +works$/\1/p' <<<"$said" | head -n 1)
says "^  auto +$first \(engine auto: using $first,"
expect 0 --json --engines
says '^\{"version": "[0-9.]+", "engines": \[$' \
    '"name": "sync", "works": true, "error": "", "reason": ""' \
    '"name": "sim", "works": false, "error": "EOPNOTSUPP", "reason": "sim: ' \
    "\"auto\": \{\"engine\": \"$first\", \"error\": \"\", \"log\": \"engine auto: using $first,"
if command -v python3 >/dev/null && ! python3 -m json.tool <<<"$said" >/dev/null; then
    complain "--json --engines prints no JSON: $said"
fi

# In a sandbox without kernel AIO, and without any of the kernel's.
if [[ -n $refuse ]]; then
    expect_of "$refuse" 0 io_setup -- "$info" --engines
    says '^  kaio +no \(ENOSYS\): kaio: kernel AIO does not work here' '^  threads +works$' \
        '^  auto +(uring|threads) \(engine auto: using .*, as kaio was refused with ENOSYS'
    expect_of "$refuse" 0 io_setup io_uring_setup -- "$info" --engines --json
    says '"name": "kaio", "works": false, "error": "ENOSYS", "reason": "kaio: ' \
        '"name": "uring", "works": false, "error": "(ENOSYS|EOPNOTSUPP)", "reason": "uring: ' \
        '"auto": \{"engine": "threads", "error": "", "log": "engine auto: using threads, as kaio '
fi

memory=""
if [[ $(stat -f -c %T /dev/shm 2>/dev/null) == tmpfs && -w /dev/shm ]]; then
    memory=/dev/shm
    expect 0 $memory
    says '^  file system +tmpfs$' '^  direct I/O +(emulated|refused): '
fi

# --- what cannot be looked at ---

mkfifo "$work/pipe"
for path in "$work/missing" "$work/pipe" /dev/null "$work/file/below"; do
    expect 1 "$path"
    says "^aiofile-info: $path: .*: give a file, a directory or a block device"
done
expect 1 "$work/missing" "$work/file"
says "^$work/file$" '^aiofile-info: .*/missing: '
expect 1 --json "$work/missing"
says '"files": \[\], "engines": \[$'

# --- the command line ---

expect 0 --help
says '^Usage: aiofile-info ' '--coherence' '--json'
expect 0 --version
says '^aiofile-info [0-9]+\.[0-9]+\.[0-9]+$'
while read -ra words; do
    expect 2 ${words[@]+"${words[@]}"}
    says '^(Usage: |aiofile-info: )'
done <<END

--unheard-of $work/file
--rounds=5 $work/file
--destroy $work/file
--coherence $work/empty $work/empty
--coherence --json $work/empty
--coherence --rounds=0 $work/empty
--coherence --rounds=many $work/empty
--coherence $work/file
--coherence --destroy $work/empty
--engines $work/empty
--engines --coherence
--engines --destroy
END

# --- coherence ---

expect 1 --coherence "$work/missing"
for place in "$work/empty" $memory; do
    expect 0 --coherence --rounds=10 "$place"
    says '^direct road: '
    if grep -q '^direct road: refused' <<<"$said"; then
        continue
    fi
    says '^  reads meet direct writes +[0-9]+ of 10 rounds ' '^  writes on one page .* 10 rounds ' \
        '^  writes on adjacent pages +none of 10 rounds' '^  taking turns +0 direct and 0 page' \
        '^  opening again without direct +works$' '^  the same of a removed file +works$' \
        '^  submit: overwrites +([0-9]+ %|not)' '^  submit: appends +([0-9]+ %|not)' \
        "^page-cache road: (safe under the library's gate|not safe: .*AIO_UNALIGNED_REJECT)"
done
if [[ -n $(ls -A "$work/empty") ]]; then
    complain "left behind: $(ls -A "$work/empty")"
fi

# --- devices ---

truncate -s 64M "$work/disk"
if loop=$(losetup --find --show "$work/disk" 2>/dev/null); then
    expect 0 "$loop"
    says '^  kind +block device$' '^  file system +none$' '^  direct I/O +granted$'
    expect 2 --coherence "$loop"
    says '--destroy'
    expect 0 --coherence --destroy --rounds=10 "$loop"
    says 'block device' '^direct road: granted' '^page-cache road: '
    mkdir "$work/mounted"
    if mkfs.ext4 -q -F "$loop" && mount "$loop" "$work/mounted" 2>/dev/null; then
        touch "$work/mounted/file"
        expect 1 --coherence --destroy "$loop"
        says 'mounted'
    else
        echo "not tried on a mounted device: none can be mounted here"
    fi
else
    echo "not tried on devices: no loop device can be made here"
fi

echo "$failures failures"
[[ $failures -eq 0 ]]
