# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# scene.sh - sourced by the scripts of this folder that have files of their own.

# Usage: need <program>... Ends the test with 77, and a reason, where one is not there.
need() {
    local program

    for program; do
        if ! command -v "$program" >/dev/null; then
            echo "skipped: $program is not installed (apt-get install $program)"
            exit 77
        fi
    done
}

# Usage: enter_folder <name> Makes a folder, goes there, and removes it in the end.
enter_folder() {
    folder=$(mktemp -d -p "${TMPDIR:-/var/tmp}" "aiofio-$1-XXXXXX")
    trap 'rm -rf "$folder"' EXIT
    cd "$folder" || exit
}

# shellcheck disable=SC2034 # direct is for the script that sources this
# Sets direct to 1 where direct I/O works in the folder, else to 0.
find_direct() {
    direct=1
    if ! dd if=/dev/zero of=probe bs=4096 count=1 oflag=direct 2>/dev/null; then
        direct=0
    fi
    rm -f probe
}
