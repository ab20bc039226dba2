#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# installed.sh <source root> <build root> <c compiler> <c++ compiler or ""> - the library as
# installed is found by pkg-config, linked shared and statically, and README.md's first example
# compiles and runs with it.
set -euo pipefail

root=$1
build=$2
cc=$3
cxx=$4
# shellcheck source=tools/scratch.sh
source "$root/tools/scratch.sh"

work=$(scratch_create 64)
trap 'rm -rf "$work"' EXIT
destination=$work/installed

meson install -C "$build" --no-rebuild --quiet --destdir "$destination"
pc=$(find "$destination" -name aiofile.pc)
export PKG_CONFIG_PATH=${pc%/*} PKG_CONFIG_SYSROOT_DIR=$destination
library_folder=${pc%/pkgconfig/aiofile.pc}
read -ra flags < <(pkg-config --cflags aiofile)
read -ra shared < <(pkg-config --libs aiofile)
read -ra static < <(pkg-config --libs --static aiofile)
static=("${static[@]/#-laiofile/-l:libaiofile.a}")
warnings=(-Wall -Wextra -Werror -D_GNU_SOURCE)

# Usage: consume <name> <source> <compiler> <option>... Compiles the source shared and static, and
# runs both programs in the scratch folder with a file name as their argument.
consume() {
    local name=$1 source=$2 compiler=("${@:3}")

    "${compiler[@]}" "${warnings[@]}" "${flags[@]}" "$source" -o "$work/$name" "${shared[@]}"
    "${compiler[@]}" "${warnings[@]}" "${flags[@]}" "$source" -o "$work/$name-static" \
        "${static[@]}"
    if ldd "$work/$name-static" | grep -q libaiofile; then
        echo "$name-static uses the shared library"
        exit 1
    fi
    (cd "$work" && LD_LIBRARY_PATH=$library_folder "./$name" "$work/$name.data")
    (cd "$work" && "./$name-static" "$work/$name-static.data")
}

consume consumer "$root/test/tidy/consumer.c" "$cc" -std=c11
if [[ -n $cxx ]]; then
    consume consumer-cxx "$root/test/tidy/consumer.c" "$cxx" -x c++ -std=c++17
fi
version=$(cd "$work" && ./consumer-static)
if [[ $version != "$(pkg-config --modversion aiofile)" ]]; then
    echo "pkg-config says $(pkg-config --modversion aiofile), the library says $version"
    exit 1
fi

if [[ ! -e $root/README.md ]]; then
    echo "README.md does not exist yet: only the small consumer was compiled"
    exit 77
fi
awk '/^```c$/ && !found { inside = found = 1; next } /^```$/ { inside = 0 } inside' \
    "$root/README.md" >"$work/example.c"
if [[ ! -s $work/example.c ]]; then
    echo "README.md has no \`\`\`c block"
    exit 1
fi
consume example "$work/example.c" "$cc" -std=c11
