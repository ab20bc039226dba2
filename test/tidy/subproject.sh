#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# subproject.sh <source root> <c compiler> - a meson project that has libaiofile below subprojects/
# finds it as the dependency "aiofile".
set -euo pipefail

root=$1
export CC=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir "$work/subprojects"
ln -s "$root" "$work/subprojects/libaiofile"
cp "$root/test/tidy/consumer.c" "$work"
cat >"$work/subprojects/aiofile.wrap" <<'END'
[wrap-file]
directory = libaiofile
[provide]
dependency_names = aiofile
END
cat >"$work/meson.build" <<'END'
project('consumer', 'c')
executable('consumer', 'consumer.c',
  dependencies: dependency('aiofile', allow_fallback: true,
    default_options: ['tools=disabled']))
END
meson setup "$work/build" "$work"
ninja -C "$work/build" consumer
"$work/build/consumer"
