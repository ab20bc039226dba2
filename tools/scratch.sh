# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# scratch.sh - sourced: finds a place for test files on a real file system.

# Usage: scratch_usable <directory> <mebibytes>. Says on stderr why not.
scratch_usable() {
    local directory=$1 mebibytes=$2 type available probe

    if [[ ! -d $directory || ! -w $directory ]]; then
        echo "$directory: not a directory that can be written to" >&2
        return 1
    fi
    type=$(stat -f -c %T "$directory")
    case $type in
    tmpfs | ramfs)
        # Some kernels take O_DIRECT there, but nothing reaches a device.
        echo "$directory: $type is memory, not a disk" >&2
        return 1
        ;;
    esac
    available=$(df -m --output=avail "$directory" | tail -n 1)
    if [[ $available -lt $mebibytes ]]; then
        echo "$directory: ${available// /} MiB free, $mebibytes MiB needed" >&2
        return 1
    fi
    probe=$(mktemp -p "$directory")
    if ! dd if=/dev/zero of="$probe" bs=4096 count=1 oflag=direct conv=notrunc 2>/dev/null; then
        rm -f "$probe"
        echo "$directory: $type refuses direct I/O" >&2
        return 1
    fi
    rm -f "$probe"
}

# Usage: scratch_create <mebibytes>. Prints a fresh directory, which the caller removes; or says
# why there is none, and fails.
scratch_create() {
    local directory reason reasons=""

    for directory in "${TMPDIR:-/var/tmp}" /var/tmp /tmp "$PWD"; do
        if reason=$(scratch_usable "$directory" "$1" 2>&1); then
            mktemp -d -p "$directory"
            return 0
        fi
        reasons+="  $reason"$'\n'
    done
    printf 'No place for test files; set TMPDIR to a directory on a disk. Tried:\n%s' \
        "$reasons" >&2
    return 1
}
