#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# run-epoll.sh <program> - the example reads all of a file, whose size is no multiple of anything.
set -euo pipefail

folder=$(mktemp -d "${TMPDIR:-/var/tmp}/aiofile-example-XXXXXX")
trap 'rm -r "$folder"' EXIT
head -c 10000001 /dev/zero >"$folder/file"
said=$("$1" "$folder/file")
if [[ $said != "10000001 bytes" ]]; then
    echo "expected: 10000001 bytes; got: $said"
    exit 1
fi
echo "$said"
