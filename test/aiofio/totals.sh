#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# totals.sh <aiofio> - jobs bounded by size or count: aiofio issues as many reads and writes as fio
# does. Ends with 77 where there is no fio.
#
# Three things are different on purpose, and not here: a size that is no multiple of bs is never
# exceeded, sequential jobs whose io_size is above size begin again, and random passes with several
# sizes move every byte.
set -euo pipefail

aiofio=$(realpath "$1")
# shellcheck source=test/aiofio/scene.sh
. "$(dirname "$0")/scene.sh"
need fio
enter_folder totals

jobs=('--rw=read --size=256k' '--rw=randwrite --size=256k --bs=16k'
    '--rw=write --size=64k --io_size=10k'
    '--rw=randwrite --size=64k --io_size=10k' '--rw=randwrite --size=64k --io_size=200k'
    '--rw=randread --size=64k --number_ios=5 --loops=2' '--rw=read --size=64k --number_ios=50'
    '--rw=randread --size=256k --loops=3' '--rw=write:4k --size=64k' '--rw=read:-8k --size=64k'
    '--rw=randread:8 --size=64k' '--rw=randread:8 --rw_sequencer=identical --size=64k'
    '--rw=randread --size=256k --blockalign=8k' '--rw=randread --size=256k --percentage_random=50'
    '--rw=randread --size=256k --norandommap' '--rw=write --size=256k --bs=4k,8k'
    '--rw=randread --size=256k --random_distribution=zipf:1.2'
    '--rw=randread --size=256k --random_distribution=zoned:60/10:30/20:10/70'
    '--rw=write --size=256k --filename=a:b' '--rw=write --size=256k --nrfiles=4'
    '--rw=randread --size=256k --nrfiles=4 --file_service_type=sequential'
    '--rw=write --size=128k --filesize=256k' '--rw=read --size=256k --numjobs=3 --group_reporting'
    '--rw=write --size=64k --zero_buffers --fsync=4')
failures=0

# Usage: total <program> <options...>. The reads and writes that it says it has issued.
total() {
    "$@" --name=j --eta=never | sed -nE 's/.*issued rwts: total=([0-9]+,[0-9]+),.*/\1/p'
}

for job in "${jobs[@]}"; do
    read -ra options <<<"$job"
    rm -f ./*
    theirs=$(total fio --ioengine=psync "${options[@]}")
    rm -f ./*
    ours=$(total "$aiofio" --ioengine=psync "${options[@]}")
    if [[ -z $theirs || $theirs != "$ours" ]]; then
        echo "$job: fio has $theirs, aiofio $ours"
        failures=$((failures + 1))
    fi
done
echo "${#jobs[@]} jobs, $failures differ"
[[ $failures -eq 0 ]]
