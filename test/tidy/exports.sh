#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# exports.sh <source root> <shared library> <static library> <nm> - the functions marked AIO_API in
# the headers, the names in the version map and the symbols that both libraries export are the same.
set -euo pipefail

root=$1
shared=$2
static=$3
nm=$4

# A declaration ends at its semicolon, and its name is the word before the first parenthesis.
declared() {
    awk '/^AIO_API/ { text = ""; open = 1 }
         open { text = text " " $0 }
         open && /;/ { open = 0; sub(/\(.*/, "", text); n = split(text, words, /[ *]+/)
                       print words[n] }' "$root"/include/aiofile/*.h | sort
}

mapped() {
    sed -nE 's/^ *([a-z][a-z0-9_]*);$/\1/p' "$root/lib/libaiofile.map" | sort
}

exported() {
    "$nm" -D --defined-only "$shared" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort
}

exported_static() {
    "$nm" -g --defined-only "$static" | awk 'NF == 3 { print $3 }' | sort
}

# Usage: same <what> <of what> <left> <right>
same() {
    local difference

    if difference=$(diff <(echo "$3") <(echo "$4")); then
        return 0
    fi
    printf '%s (<) and %s (>) differ:\n%s\n' "$1" "$2" "$difference"
    return 1
}

headers=$(declared)
map=$(mapped)
symbols=$(exported)
failures=0
same "the headers' functions" "the map" "$headers" "$map" || failures=1
same "the map" "the shared library's symbols" "$map" "$symbols" || failures=1
same "the map" "the static library's symbols" "$map" "$(exported_static)" || failures=1
echo "$(wc -w <<<"$symbols") functions"
[[ $failures -eq 0 && -n $symbols ]]
