#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# shape.sh <aiofio> - the report has the lines of fio's report: both run the same jobs, and the
# kinds of lines have to be the same, apart from the differences that are listed here. Ends with 77
# where there is no fio.
set -euo pipefail

aiofio=$(realpath "$1")
# shellcheck source=test/aiofio/scene.sh
. "$(dirname "$0")/scene.sh"
need fio
enter_folder shape

find_direct
cat >job.fio <<END
[global]
size=4m
bs=4k
direct=$direct
ioengine=libaio
iodepth=8
[write]
filename=one
rw=randwrite
fsync=100
[mixed]
stonewall
rw=randrw
numjobs=2
group_reporting
[unified]
stonewall
filename=one
unified_rw_reporting=mixed
[blocking]
stonewall
filename=one
ioengine=psync
iodepth=1
rw=read
time_based
runtime=2
END

# Every number becomes N, every unit of time T; what depends on the machine's speed goes.
reduce() {
    sed -E \
        -e 's/^(fio|aiofio)-[0-9].*/fio-VERSION/' \
        -e 's/pid=[0-9]+: .*/pid=N: WHEN/' \
        -e 's/; 0 zone resets$//' \
        -e 's/\b(nsec|usec|msec)\)/T)/g' \
        -e 's/msec/ms/g' \
        -e 's/[0-9]+(\.[0-9]+)?[kMGT]?(i?B)?/N/g' \
        -e 's/\bN(Ki|Mi|Gi|k|M|G)?B/N/g' \
        -e 's/= +N/=N/g' \
        -e 's/\[ *N\]/[N]/g' \
        -e 's/^(  lat \(T\) +:).*/\1/' \
        -e 's/^((     \||      ) *)?(N?th=.*)/\3/' \
        -e 's/^(     \| N?th=).*/\1/' \
        -e 's/^  [a-z]+N?: ios=/  disk: ios=/' \
        "$1" | grep -v '^$' | sort -u
}

fio --eta=never --output=fio.txt job.fio
rm -f one mixed.*
"$aiofio" --eta=never --output=aiofio.txt job.fio
reduce fio.txt >fio.lines
reduce aiofio.txt | sed -E 's/ioengine=kaio/ioengine=libaio/
    s/ioengine=sync/ioengine=psync/' | sort -u >aiofio.lines

# fio starts processes where aiofio starts threads; its aggregated disks depend on the machine.
# That iodepth_batch is not set is said by aiofio alone.
only_fio=$(comm -23 fio.lines aiofio.lines | grep -vE '^Starting N process' || true)
only_aiofio=$(comm -13 fio.lines aiofio.lines |
    grep -vE '^Starting N thread|^iodepth_batch is not' || true)
if [[ -n $only_fio || -n $only_aiofio ]]; then
    printf 'only in the report of fio:\n%s\nonly in the report of aiofio:\n%s\n' "$only_fio" \
        "$only_aiofio"
    exit 1
fi
echo "$(wc -l <fio.lines) kinds of lines are the same"
