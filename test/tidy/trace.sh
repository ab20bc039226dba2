#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# trace.sh <source root> <shared library> - the trace points of the library are those that
# doc/trace.md explains, with as many arguments.
set -euo pipefail

root=$1
library=$2
if ! command -v readelf >/dev/null; then
    echo "skipped: there is no readelf"
    exit 77
fi
notes=$(readelf -n "$library")
if ! grep -q stapsdt <<<"$notes"; then
    echo "skipped: built without trace points (sys/sdt.h, Debian package systemtap-sdt-dev)"
    exit 77
fi
# name:arguments, as built and as explained. An argument is a word with an @ in it.
built=$(awk '/Provider: aiofile/ { ours = 1 } /Provider:/ && !/aiofile/ { ours = 0 }
    ours && /Name:/ { name = $2 } ours && /Arguments:/ { print name ":" NF - 1 }' \
    <<<"$notes" | sort -u)
# shellcheck disable=SC2016 # the backticks are those of the document
explained=$(sed -n 's/^| `\([a-z]*\)` | \([^|]*\) |.*/\1:\2/p' "$root/doc/trace.md" |
    awk -F: '{ print $1 ":" split($2, arguments, ",") }' | sort -u)
if [[ $built != "$explained" ]]; then
    diff <(echo "$explained") <(echo "$built") | sed 's/^</explained: /; s/^>/built: /'
    exit 1
fi
wc -l <<<"$built"
