#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# live.sh <aiofio> - what is told while jobs run: the intervals of --live-json add up to the report,
# the line on standard error is there when asked for and only then, and terse lines have the fields
# of fio's where fio is installed.
set -euo pipefail

aiofio=$(realpath "$1")
# shellcheck source=test/aiofio/scene.sh
. "$(dirname "$0")/scene.sh"
need python3
enter_folder live

fail() {
    echo "$*"
    exit 1
}

# --- live JSON ---

job=(--name=job --rw=randrw --size=1m --numjobs=2 --group_reporting --verify=crc32c
    --ioengine=aiofile:threads --iodepth=4)
time_based=(--time_based --runtime=1)
"$aiofio" "${job[@]}" "${time_based[@]}" --eta-interval=250 --live-json=live --output=out.json \
    --output-format=json 2>errors
[[ ! -s errors ]] || fail "not quiet: $(cat errors)"
python3 - <<'END'
import json

lines = [json.loads(line) for line in open("live")]
root = json.load(open("out.json"))
job, verify = root["jobs"][0], root["aiofile"]["jobs"][0]["verify"]
assert lines[-1]["end_ms"] >= 1000
end = 0
for line in lines:
    assert line["start_ms"] == end and line["end_ms"] > end, line
    end = line["end_ms"]
    for way in "read", "write", "verify":
        part = line["interval"][way]
        assert ("clat_ns" in part) == (part["total_ios"] > 0)
        values = list(part.get("clat_ns", {"percentile": {}})["percentile"].values())
        assert values == sorted(values)
for way, part in ("read", job["read"]), ("write", job["write"]), ("verify", verify["reads"]):
    for key in "total_ios", "io_bytes":
        sums = [sum(line["interval"][way][key] for line in lines), lines[-1]["total"][way][key]]
        assert sums == [part[key], part[key]], (way, key, sums, part[key])
    assert part["total_ios"] > 0
for way in "read", "write":
    for percent, value in lines[-1]["total"][way]["clat_ns"]["percentile"].items():
        assert job[way]["clat_ns"]["percentile"].get(percent, value) == value, (way, percent)
assert lines[-1]["jobs_running"] == 0 and lines[-1]["bad_blocks"] == 0
END

# It is replaced by the next run's, another file is not, and what cannot be written is said.
"$aiofio" "${job[@]}" --live-json=live --output=out.json --output-format=json
[[ $(wc -l <live) -ge 1 ]]
echo "my own words" >words
if "$aiofio" "${job[@]}" --live-json=words >/dev/null 2>errors; then
    fail "a foreign file was replaced"
fi
grep -q -- "--live-json: 'words' is there and is no report" errors
[[ $(cat words) == "my own words" ]]
if [[ -e /dev/full ]]; then
    code=0
    "$aiofio" "${job[@]}" --live-json=/dev/full >/dev/null 2>errors || code=$?
    [[ $code -eq 2 ]]
    grep -q -- "--live-json: '/dev/full': No space left" errors
fi

# --- the line ---

"$aiofio" "${job[@]}" --time_based --runtime=2 --eta=always --eta-interval=250 >report 2>line
lines=$(tr '\r' '\n' <line)
grep -qE '^Jobs: 2 \(f=2\): \[m\(2\)\]\[[0-9.]+%\]\[r=[0-9.]+[KMG]iB/s,w=[0-9.]+[KMG]iB/s\]'\
'\[r=[0-9.]+k?,w=[0-9.]+k? IOPS\]\[p50=[0-9]+[num]s,p99=[0-9]+[num]s,max=[0-9]+[num]s\]'\
'\[V ([0-9]+% )?0 bad\]\[eta ' <<<"$lines" || fail "no such line: $lines"
if grep -q 'Jobs:' report; then
    fail "the line is in the report"
fi
for eta in auto never; do
    "$aiofio" "${job[@]}" "${time_based[@]}" "--eta=$eta" >/dev/null 2>line
    [[ ! -s line ]] || fail "--eta=$eta: not quiet without a terminal: $(cat line)"
done

# --- terse ---

terse=(--name=a --rw=randrw --size=1m --percentile_list=50:99.9 --description=words)
# Usage: fields <line>. Each field by its kind: N a number, otherwise what it is.
fields() {
    tr ';' '\n' <<<"$1" | sed -E 's/^(fio|aiofio)-.*/VERSION/; s/[0-9]+\.[0-9]{6}/F/g
        s/=[0-9]+$/=N/; s/[0-9]+\.[0-9]+%$/P/; s/^[0-9]+$/N/'
}
ours=$("$aiofio" "${terse[@]}" --minimal)
[[ $(wc -l <<<"$ours") -eq 1 && $ours == "3;aiofio-"*";a;0;0;"*";words" ]] || fail "terse: $ours"
rm -f a.0.0
both=$("$aiofio" "${terse[@]}" --append-terse)
grep -q '^3;aiofio-' <<<"$both"
grep -q '^Run status group 0' <<<"$both"
rm -f a.0.0
mixed=$("$aiofio" "${terse[@]}" --minimal --unified_rw_reporting=mixed)
rm -f a.0.0
if command -v fio >/dev/null; then
    theirs=$(fio --eta=never "${terse[@]}" --minimal --unified_rw_reporting=mixed)
    rm -f a.0.0
    diff <(fields "$theirs") <(fields "$mixed") || fail "unified terse lines differ"
    theirs=$(fio --eta=never "${terse[@]}" --minimal)
    diff <(fields "$theirs") <(fields "$ours") || fail "the terse lines differ in their fields"
    echo "the terse line has fio's $(tr ';' '\n' <<<"$ours" | wc -l) fields"
else
    echo "live figures add up; fio is not installed to compare the terse line"
fi
