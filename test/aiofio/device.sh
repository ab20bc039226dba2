#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# device.sh <aiofio> - block devices are written to only where the user says so, and never while
# they are mounted. Needs root and a loop device; says so where it has none, and ends with 77.
set -euo pipefail

aiofio=$(realpath "$1")
folder=$(mktemp -d "${TMPDIR:-/var/tmp}/aiofio-device.XXXXXX")
device=
mounted=

clean() {
    if [[ -n $mounted ]]; then umount "$folder/mount"; fi
    if [[ -n $device ]]; then losetup -d "$device"; fi
    rm -rf "$folder"
}
trap clean EXIT
cd "$folder"
truncate -s 16M image
if [[ $EUID -ne 0 ]] || ! device=$(losetup --find --show image 2>why); then
    device=
    echo "not tried: no loop device can be had here ($(cat why 2>/dev/null || echo not root))"
    exit 77
fi

# Usage: expect <exit code> <words> <option>... The job, its exit code, and what it has to say.
expect() {
    local code=0

    "$aiofio" --eta=never --name=j --filename="$device" --size=1m "${@:3}" >out 2>&1 || code=$?
    if [[ $code -ne $1 ]] || ! grep -q -- "$2" out; then
        echo "${*:3}: exit code $code, not $1, or without '$2':"
        cat out
        exit 1
    fi
}

before=$(sha256sum <image)
expect 1 'Allow it with --allow-device-write' --rw=write
expect 1 'Allow it with --allow-device-write' --rw=randrw --overwrite=1
expect 1 'Allow it with --allow-device-write' --rw=write --force
expect 1 'readonly' --rw=write --allow-device-write --readonly
expect 1 'unlink=1 on device' --rw=write --allow-device-write --unlink=1
expect 0 'READ: ' --rw=read
[[ $(sha256sum <image) == "$before" ]]
expect 0 '256 checked, 0 bad' --rw=randwrite --allow-device-write --verify=crc32c
[[ $(sha256sum <image) != "$before" ]]

mkfs.ext4 -q -F "$device"
mkdir mount
if mount "$device" mount 2>why; then
    mounted=1
    expect 1 'is it mounted?' --rw=write --allow-device-write
    [[ -d mount/lost+found ]]
else
    echo "a mounted device was not tried: $(cat why)"
fi
echo "the device was written to when that was asked for"
