#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# json.sh <aiofio> - what is printed for programs: one document, whatever else there is to say; the
# totals, percentiles and bins agree with each other; aiofio's own section tells the verdict.
set -euo pipefail

aiofio=$(realpath "$1")
# shellcheck source=test/aiofio/scene.sh
. "$(dirname "$0")/scene.sh"
need python3
enter_folder json

# The note (kernel AIO through the page cache) and the bare flag are meant.
cat >job.fio <<'END'
[global]
size=1m
bs=4k
[first]
ioengine=libaio
iodepth=4
description=a "quoted" text, ünïcode
rw=randrw
fsync=50
lat_percentiles=1
slat_percentiles=1
percentile_list=50:99.5
verify=crc32c
[second]
bs=8k
stonewall
numjobs=2
group_reporting
rw=write
gtod_reduce=1
END

"$aiofio" --output-format=json+ job.fio >out.json 2>errors
[[ ! -s errors ]] # programs that start fio take it for a failure
grep -q 'kernel AIO without direct=1' out.json
[[ $(head -n 1 out.json) == "{" ]]
python3 - <<'END'
import json

root = json.load(open("out.json"), object_pairs_hook=lambda pairs: dict(pairs)
                 if len(dict(pairs)) == len(pairs) else 1 / 0)
first, second = root["jobs"]
assert root["fio version"].startswith("aiofio-"), root["fio version"]
assert root["global options"] == {"size": "1m", "bs": "4k"}, root["global options"]
assert first["job options"]["rw"] == "randrw"
assert first["job options"]["numjobs"] == "1"
assert "bs" not in first["job options"]
assert second["job options"]["bs"] == "8k"
assert second["job options"]["group_reporting"] == ""
assert second["job options"]["iodepth"] == "1"
assert first["desc"] == 'a "quoted" text, ünïcode'

assert first["read"]["io_bytes"] + first["write"]["io_bytes"] == 1 << 20
assert first["read"]["total_ios"] + first["write"]["total_ios"] == 256
assert second["write"]["io_bytes"] == 2 << 20
assert second["write"]["total_ios"] == 256
assert first["sync"]["total_ios"] == first["write"]["total_ios"] // 50
assert "percentile" not in first["trim"]["clat_ns"]
for direction in "read", "write":
    for kind in "slat_ns", "clat_ns", "lat_ns":
        part = first[direction][kind]
        values = {int(key): count for key, count in part["bins"].items()}
        assert part["N"] == first[direction]["total_ios"] == sum(values.values())
        assert list(part["percentile"]) == ["50.000000", "99.500000"]
        assert all(value in values for value in part["percentile"].values())
        assert part["min"] <= part["mean"] <= part["max"]
        # A bucket's middle is less than a hundredth beside all that is in it.
        assert abs(min(values) - part["min"]) <= part["min"] / 100 + 1
        assert abs(max(values) - part["max"]) <= part["max"] / 100 + 1
shares = sum(sum(first["latency_" + unit].values()) for unit in ("ns", "us", "ms"))
assert abs(shares - 100) < 0.001, shares
assert second["write"]["lat_ns"]["N"] == 0 and second["write"]["bw_samples"] == 0

# Later versions of fio have these, too; the second job began after the first had ended.
for job in first, second:
    assert {"job_start", "latency_target_ns", "latency_window_us"} <= set(job)
    assert root["timestamp_ms"] - 10**6 < job["job_start"] <= root["timestamp_ms"] + 1000
assert first["job_start"] <= second["job_start"] + 1

own = root["aiofile"]
assert own["exit_code"] == 0 and own["verdict"] == "ok"
verify = own["jobs"][0]["verify"]
assert verify["bad"] == 0 and verify["missed"] == 0
assert verify["blocks"] == verify["checked"] + verify["unknown"] + verify["in_flight"]
assert verify["reads"]["total_ios"] > 0
assert own["verify"]["checked"] == verify["checked"]
assert "verify" not in own["jobs"][1]
END

# A report is replaced by a new one, another file is not; with two formats both are there.
"$aiofio" --output=report.json --output-format=json job.fio 2>/dev/null
"$aiofio" --output=report.json --output-format=json,normal job.fio 2>/dev/null >both
[[ ! -s both ]]
grep -q '^  "jobs": \[$' report.json
grep -q '^Run status group 0' report.json
echo '{"precious": 1}' >other.json
if "$aiofio" --output=other.json --output-format=json job.fio 2>errors; then
    echo "a foreign file was replaced"
    exit 1
fi
grep -q 'is no report of aiofio' errors
[[ $(cat other.json) == '{"precious": 1}' ]]

# Wrong data is in the document, in the exit code, and described on standard error.
"$aiofio" --output-format=json --name=write --filename=damaged --rw=write --size=64k \
    --verify=crc32c >/dev/null
printf x | dd of=damaged bs=1 seek=10000 conv=notrunc 2>/dev/null
code=0
"$aiofio" --output-format=json --name=read --filename=damaged --rw=read --verify=crc32c \
    >bad.json 2>errors || code=$?
[[ $code -eq 3 ]]
[[ -s errors ]]
python3 - <<'END'
import json

own = json.load(open("bad.json"))["aiofile"]
assert own["exit_code"] == 3 and own["verdict"] == "wrong data", own
assert own["verify"]["bad"] == own["verify"]["corrupt"] == 1, own["verify"]
assert own["verify"]["good"] == 15, own["verify"]
END

# A run that is ended early has a document, too. Jobs run when the first interval has been told.
"$aiofio" --output-format=json --output=ended.json --live-json=live --name=long --rw=write \
    --size=64k --time_based --runtime=1h >/dev/null 2>errors &
process=$!
until [[ -s live ]]; do
    sleep 0.1
    kill -0 "$process"
done
kill -INT "$process"
code=0
wait "$process" || code=$?
[[ $code -eq 130 ]]
python3 - <<'END'
import json

root = json.load(open("ended.json"))
assert root["aiofile"]["exit_code"] == 130 and root["aiofile"]["verdict"] == "ended by a signal"
assert root["jobs"][0]["write"]["total_ios"] > 0 and root["jobs"][0]["write"]["runtime"] > 0
END

# Where the report cannot be written it is said, and the run has failed.
if [[ -e /dev/full ]]; then
    code=0
    "$aiofio" --output-format=json job.fio >/dev/full 2>errors || code=$?
    [[ $code -eq 2 ]]
    grep -q 'could not be written' errors
fi
echo "the documents are whole"
