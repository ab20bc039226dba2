#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# include-graph.sh <source root> - lib/ includes only what include-graph.txt allows; tools/ and
# adapters/ see the library through <aiofile/...> alone.
set -euo pipefail

root=$1
table=$root/test/tidy/include-graph.txt
failures=0

complain() {
    echo "$*"
    failures=$((failures + 1))
}

# Usage: quoted_includes <file>
quoted_includes() {
    sed -nE 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*"([^"]*)".*/\1/p' "$1"
}

check_library_file() {
    local path=$1 file included allowed

    file=${path#"$root/lib/"}
    if ! allowed=$(grep -m 1 -E "^${file//./\\.}:" "$table"); then
        complain "lib/$file has no line in include-graph.txt"
        return
    fi
    allowed=" ${allowed#*:} ${file%.*}.h "
    while read -r included; do
        if [[ -n $included && $allowed != *" $included "* ]]; then
            complain "lib/$file must not include $included"
        fi
    done <<<"$(quoted_includes "$path")"
}

# What stands beside the file is its own; the library's folder is out of reach, however written.
check_user_file() {
    local path=$1 included

    while read -r included; do
        if [[ -n $included && ! -e ${path%/*}/$included ]]; then
            complain "${path#"$root/"} includes $included, which is not beside it"
        fi
        if [[ $included == *..* ]]; then
            complain "${path#"$root/"} reaches out of its folder for $included"
        fi
    done <<<"$(quoted_includes "$path")"
    while read -r included; do
        if [[ -n $included && ! -e $root/include/$included ]]; then
            complain "${path#"$root/"} includes <$included>, which is not public"
        fi
    done <<<"$(sed -nE 's/^#include <((aiofile|lib)\/[^>]*)>.*/\1/p' "$path")"
}

count=0
while read -r path; do
    check_library_file "$path"
    count=$((count + 1))
done < <(find "$root/lib" -name '*.[ch]' | sort)
while read -r file; do
    if [[ ! -e $root/lib/$file ]]; then
        complain "include-graph.txt has a line for $file, which does not exist"
    fi
done < <(sed -nE 's/^([a-z_/]+\.[ch]):.*/\1/p' "$table")
for folder in tools adapters; do
    if [[ -d $root/$folder ]]; then
        while read -r path; do
            check_user_file "$path"
            count=$((count + 1))
        done < <(find "$root/$folder" -name '*.[ch]' | sort)
    fi
done
echo "$count files, $failures failures"
[[ $failures -eq 0 && $count -gt 0 ]]
