#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# format.sh <source root> - the C files are as clang-format leaves them. Another version than the
# one that .clang-format was written for formats differently, so that it does not count.
set -euo pipefail

cd "$1"
wanted=14
if ! command -v clang-format >/dev/null; then
    echo "clang-format is not installed"
    exit 77
fi
version=$(clang-format --version | grep -oE '[0-9]+' | head -n 1)
if [[ $version != "$wanted" ]]; then
    echo "clang-format is version $version; .clang-format was written for version $wanted"
    exit 77
fi
folders=(lib include tools test)
if [[ -d adapters ]]; then
    folders+=(adapters)
fi
# The first line of each file that is off is enough: clang-format -i mends them all.
found=$(find "${folders[@]}" -name '*.[ch]' -print0 | xargs -0 clang-format --dry-run 2>&1 |
    grep -oE '^[^:]+:[0-9]+' | sort -t: -k1,1 -u || true)
if [[ -n $found ]]; then
    printf 'Not as clang-format leaves it, from this line on:\n%s\n' "$found"
    exit 1
fi
