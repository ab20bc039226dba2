#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# headers.sh <source root> <c|c++> <compiler>... - each public header compiles alone, twice in one
# file too, and its initializers fit; pedantically, without _GNU_SOURCE.
set -euo pipefail

root=$1
language=$2
shift 2
compiler=("$@")

case $language in
c) standard=c11 ;;
c++) standard=c++17 ;;
esac

# Usage: initializers <header>. A variable for each AIO_SOMETHING_OPTIONS_INIT of the header.
initializers() {
    sed -nE 's/^#define (AIO_[A-Z_]+_OPTIONS_INIT).*/\1/p' "$1" | while read -r macro; do
        variable=${macro%_INIT}
        variable=${variable,,}
        printf 'extern struct %s test_%s;\nstruct %s test_%s = %s;\n' \
            "$variable" "$variable" "$variable" "$variable" "$macro"
    done
}

failures=0
count=0
for header in "$root"/include/aiofile/*.h; do
    name=aiofile/${header##*/}
    count=$((count + 1))
    if ! { printf '#include <%s>\n#include <%s>\n' "$name" "$name" && initializers "$header"; } |
        "${compiler[@]}" -x "$language" "-std=$standard" -pedantic -Wall -Wextra -Werror \
            -I "$root/include" -fsyntax-only -; then
        echo "$name does not compile alone as $standard"
        failures=$((failures + 1))
    fi
    if [[ $name != aiofile/aiofile.h ]] &&
        ! grep -qF "#include <$name>" "$root/include/aiofile/aiofile.h"; then
        echo "aiofile.h does not include $name"
        failures=$((failures + 1))
    fi
done
echo "$count headers, $failures failures"
[[ $failures -eq 0 && $count -gt 0 ]]
