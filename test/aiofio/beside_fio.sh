#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# beside_fio.sh <aiofio> - fio and aiofio run the same jobs: every key of fio's JSON is in aiofio's,
# with a value of the same type, and what is bounded by size adds up to the same. Ends with 77 where
# there is no fio.
set -euo pipefail

aiofio=$(realpath "$1")
# shellcheck source=test/aiofio/scene.sh
. "$(dirname "$0")/scene.sh"
need fio python3
enter_folder beside

find_direct
cat >job.fio <<END
[global]
size=2m
bs=4k
direct=$direct
thread
[random]
filename=one
ioengine=libaio
iodepth=8
rw=randwrite
fsync=64
description=words
[mixed]
stonewall
ioengine=libaio
iodepth=4
rw=randrw
numjobs=2
group_reporting
lat_percentiles=1
slat_percentiles=1
[read]
stonewall
filename=one
rw=read
percentile_list=50:90:99.999
[unified]
stonewall
unified_rw_reporting=mixed
rw=randrw
[both]
stonewall
unified_rw_reporting=both
rw=randrw
[pass]
stonewall
filename=one
rw=randread
clat_percentiles=0
END

for format in json json+; do
    fio --eta=never --output-format="$format" --output=fio.json job.fio
    rm -f one ./*.0
    "$aiofio" --eta=never --output-format="$format" --output=aiofio.json job.fio 2>notes
    rm -f one ./*.0
    python3 - "$format" <<'END'
import json, sys

def text(path):
    return open(path).read()

def kind(value):
    return type(value).__name__

keys = 0

# What is measured decides which bins there are; what stands in the options is compared by name.
def compare(theirs, ours, path):
    global keys
    assert kind(theirs) == kind(ours), f"{path}: {kind(theirs)} in fio, {kind(ours)} here"
    keys += 1
    if isinstance(theirs, dict):
        missing = [] if path.endswith("/bins") else [key for key in theirs if key not in ours]
        assert not missing, f"{path}: fio has {missing}, and this has {list(ours)}"
        for key in theirs:
            if key in ours:
                compare(theirs[key], ours[key], path + "/" + key)
    if isinstance(theirs, list):
        assert len(theirs) == len(ours), f"{path}: {len(theirs)} in fio, {len(ours)} here"
        for number, (left, right) in enumerate(zip(theirs, ours)):
            compare(left, right, f"{path}[{number}]")

fio, aiofio = json.loads(text("fio.json")), json.loads(text("aiofio.json"))
assert list(fio)[0] == list(aiofio)[0]
compare(fio, aiofio, "")
for left, right in zip(fio["jobs"], aiofio["jobs"]):
    name = left["jobname"]
    assert name == right["jobname"]
    assert left["groupid"] == right["groupid"], name
    for key in "io_bytes", "total_ios":
        for ways in ("read", "write"), ("mixed",):
            totals = [sum(job[way][key] for way in ways if way in job) for job in (left, right)]
            assert totals[0] == totals[1] or totals[0] == 0, f"{name}: {key}: {totals}"
    if name == "unified":
        assert [way for way in ("read", "write", "trim", "mixed") if way in right] == ["mixed"]
        continue
    if name not in ("mixed", "both"):
        for way in "read", "write", "trim":
            assert left[way]["io_bytes"] == right[way]["io_bytes"], f"{name}: {way}"
    for way in "read", "write":
        for latency in "slat_ns", "clat_ns", "lat_ns":
            both = [way in job and ("percentile" in job[way][latency], "bins" in job[way][latency])
                    for job in (left, right)]
            if left[way]["total_ios"] and right[way]["total_ios"]:
                assert both[0] == both[1], f"{name}: {way}: {latency}: {both}"
print(f"{sys.argv[1]}: {keys} values of the same type")
END
done

# fio's own reader of the counts in json+ takes aiofio's document. (It knows no unified report.)
if command -v fio_jsonplus_clat2csv >/dev/null; then
    "$aiofio" --name=counts --rw=write --size=2m --output-format=json+ --output=aiofio.json
    fio_jsonplus_clat2csv aiofio.json counts.csv >/dev/null
    python3 - <<'END'
import csv, json

job = json.load(open("aiofio.json"))["jobs"][0]
lines = list(csv.reader(open("counts_job0.csv"), skipinitialspace=True))
column = lines[0].index("write_clat_ns_count")
counts = {line[0]: int(line[column]) for line in lines[1:] if line[column].strip()}
assert counts == job["write"]["clat_ns"]["bins"] and sum(counts.values()) == 512, counts
END
    echo "fio_jsonplus_clat2csv reads it"
fi
