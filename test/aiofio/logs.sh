#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# logs.sh <aiofio> - log files: the same files and columns as fio's where fio is installed, and in
# any case numbers that agree with each other and with the report.
set -euo pipefail

aiofio=$(realpath "$1")
# shellcheck source=test/aiofio/scene.sh
. "$(dirname "$0")/scene.sh"
need python3
enter_folder logs
find_direct
job=(--eta=never --name=job --rw=randrw --size=1m "--direct=$direct" --ioengine=libaio --iodepth=4
    --fsync=50)

fail() {
    echo "$*"
    exit 1
}

# Usage: run <folder> <program> <option>... Its JSON is out.json there; the data file goes.
run() {
    mkdir -p "$1"
    (cd "$1" && "$2" "${job[@]}" --output=out.json --output-format=json "${@:3}" 2>errors) || return
    rm -f "$1"/job.*.0
}

# Usage: columns <folder> <other>. Names of the logs with the number of columns, if there are rows;
# in windows of time there may be none on a slow machine, and then they count as those of the other.
columns() {
    (cd "$1" && for log in *.log; do
        if [[ ! -s $log && ${windows:-0} -eq 1 ]]; then
            log=../$2/$log
        fi
        echo "${log##*/} $(awk -F, '{ print NF }' "$log" | sort -u | tr '\n' ' ')"
    done)
}

# Usage: same_as_fio <option>... Leaves aiofio's logs in "ours".
same_as_fio() {
    rm -rf theirs ours
    run ours "$aiofio" "$@"
    if command -v fio >/dev/null; then
        run theirs fio "$@"
        diff <(columns theirs ours) <(columns ours theirs) ||
            fail "columns or files differ with: $*"
    fi
}

# Usage: check <python>. The rows of a log are rows("job_bw.1.log"), the report is root.
check() {
    (cd ours && python3 -c "
import json, os
root = json.load(open('out.json')) if os.path.exists('out.json') else {}
def rows(name):
    return [[int(word) for word in line.split(', ')] for line in open(name)]
$1")
}

# --- every operation ---

all=(--write_bw_log=a --write_lat_log=a --write_iops_log=a)
same_as_fio "${all[@]}" --log_offset=1
check '
logs = {kind: rows(f"a_{kind}.1.log") for kind in ("bw", "iops", "slat", "clat", "lat")}
job = root["jobs"][0]
for kind, log in logs.items():
    assert len(log) == 256, (kind, len(log))
    assert [row[0] for row in log] == sorted(row[0] for row in log), kind
    assert log[-1][0] <= job["job_runtime"] + 1, kind
    assert sorted(row[4] for row in log) == list(range(0, 1 << 20, 4096)), kind
    assert {(row[3], row[5]) for row in log} == {(4096, 0)}, kind
    for number, way in enumerate(("read", "write")):
        assert sum(row[2] == number for row in log) == job[way]["total_ios"], (kind, way)
kinds = "slat", "clat", "lat", "bw", "iops"
for slat, clat, lat, bw, iops in zip(*(logs[kind] for kind in kinds)):
    assert slat[1] + clat[1] == lat[1] and iops[1] == 1
    assert abs(bw[1] - 4096 * 10**6 / clat[1]) <= 1
for number, way in enumerate(("read", "write")):
    for kind in "slat", "clat", "lat":
        values = [row[1] for row in logs[kind] if row[2] == number]
        assert min(values) == job[way][kind + "_ns"]["min"]
        assert max(values) == job[way][kind + "_ns"]["max"]
        assert abs(sum(values) / len(values) - job[way][kind + "_ns"]["mean"]) < 0.001 * max(values)
'
same_as_fio "${all[@]}"
same_as_fio "${all[@]}" --disable_clat=1 --disable_bw=1
same_as_fio "${all[@]}" --gtod_reduce=1
same_as_fio "${all[@]}" --ioengine=psync
check 'assert rows("a_slat.1.log") == [] and len(rows("a_clat.1.log")) == 256'
same_as_fio "${all[@]}" --numjobs=2 --group_reporting
check 'assert len(rows("a_lat.2.log")) == 256'

windows=1
# A window longer than the run: one row for each direction, and its value is the report's average.
same_as_fio "${all[@]}" --log_avg_msec=1000000
check '
for number, way in enumerate(("read", "write")):
    for kind in "slat", "clat", "lat":
        row, = [row for row in rows(f"a_{kind}.1.log") if row[2] == number]
        assert abs(row[1] - root["jobs"][0][way][kind + "_ns"]["mean"]) <= 1, (kind, row)
'

# --- windows ---

window=("${all[@]}" --time_based --runtime=1 --log_avg_msec=200)
same_as_fio "${window[@]}"
check '
job = root["jobs"][0]
for number, way in enumerate(("read", "write")):
    least = most = before = 0
    for iops, bw, lat in zip(*([row for row in rows(f"a_{kind}.1.log") if row[2] == number]
                               for kind in ("iops", "bw", "lat"))):
        assert iops[0] == bw[0] == lat[0] > before
        assert iops[0] % 200 == 0 or iops[0] // 200 == before // 200 or iops[0] >= 1000
        start = (iops[0] - 1) // 200 * 200
        # The end of the last window is rounded up to a millisecond.
        least += iops[1] * (iops[0] - start - 1) / 1000
        most += (iops[1] + 1) * (iops[0] - start + 1) / 1000
        assert abs(bw[1] - 4 * iops[1]) <= 4
        assert job[way]["lat_ns"]["min"] <= lat[1] <= job[way]["lat_ns"]["max"]
        assert iops[3:] == bw[3:] == lat[3:] == [0, 0]
        before = iops[0]
    assert least <= job[way]["total_ios"] <= most, (way, least, job[way]["total_ios"], most)
'
# fio 3.33 does not know "both", which puts a column between.
rm -rf ours
run ours "$aiofio" "${window[@]}" --log_window_value=both
check '
for row in rows("a_lat.1.log"):
    assert len(row) == 6 and 0 < row[1] <= row[2] and row[3] in (0, 1)
assert max(row[2] for row in rows("a_lat.1.log")) == max(
    root["jobs"][0][way]["lat_ns"]["max"] for way in ("read", "write"))
'
same_as_fio "${window[@]}" --log_max_value=1
check '
assert max(row[1] for row in rows("a_clat.1.log")) == max(
    root["jobs"][0][way]["clat_ns"]["max"] for way in ("read", "write"))
'

# --- histograms ---

for coarseness in 0 3 6; do
    same_as_fio --write_hist_log=a --time_based --runtime=1 --log_hist_msec=300 \
        "--log_hist_coarseness=$coarseness"
    check "
for number, way in enumerate(('read', 'write')):
    log = [row for row in rows('a_clat_hist.1.log') if row[1] == number]
    assert {(row[2], len(row)) for row in log} == {(4096, 3 + (1856 >> $coarseness))}
    counts = [sum(row[3:]) for row in log]
    assert 0 not in counts and sum(counts) == root['jobs'][0][way]['total_ios']
    assert [row[0] for row in log] == sorted({row[0] for row in log})
"
done
windows=0
same_as_fio --write_hist_log=a
grep -q 'write_hist_log stays empty without log_hist_msec' ours/out.json

# --- names ---

job+=(--numjobs=2)
same_as_fio --write_bw_log=a --per_job_logs=0
check 'assert len(rows("a_bw.log")) == 512'
run ours "$aiofio" --write_bw_log=a --per_job_logs=0
check 'assert len(rows("a_bw.log")) == 1024, "fio appends, too"'
rm -rf ours
run ours "$aiofio" --write_bw_log --write_lat_log next
[[ $(cd ours && echo *.log) == "job_bw.1.log job_bw.2.log next_clat.1.log next_clat.2.log \
next_lat.1.log next_lat.2.log next_slat.1.log next_slat.2.log" ]] || fail "names: $(ls ours)"

# What is shown as a command line means the same when it is read again.
options=(--write_bw_log=job --log_avg_msec=250 --log_max_value=1 --percentile_list=50:99)
first=$("$aiofio" --showcmd --name=x --write_lat_log "${options[@]}")
second=$(eval "\"\$aiofio\" --showcmd ${first#aiofio}")
[[ $first == "$second" && $first == *"--write_bw_log=job --write_lat_log= --log_avg_msec=250000us \
--log_window_value=max" ]] || fail "$first becomes $second"

# A log is replaced, another file is not.
run ours "$aiofio" --write_bw_log
check 'assert len(rows("job_bw.2.log")) == 256'
echo "my own words" >ours/job_bw.2.log
if run ours "$aiofio" --write_bw_log; then
    fail "a foreign file was replaced"
fi
grep -q "'job_bw.2.log' is there and is no log" ours/errors
[[ $(cat ours/job_bw.2.log) == "my own words" ]]
rm -f ours/*.log
code=0
run ours "$aiofio" --write_bw_log=missing/folder || code=$?
[[ $code -eq 1 ]]
grep -q "the folder of 'missing/folder_bw.1.log': No such file" ours/errors
if command -v fio >/dev/null; then
    echo "the logs have fio's columns"
else
    echo "the logs agree with the report; fio is not installed to compare their columns"
fi
