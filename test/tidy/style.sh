#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# style.sh <source root> <version> - what no compiler complains of: lengths, blanks, marks of
# unfinished work, calls that a library must not make, a change log without this version.
set -euo pipefail

root=$1
version=$2
cd "$root"
failures=0

# Usage: none_of <rule> <lines found>
none_of() {
    if [[ -n $2 ]]; then
        printf '%s:\n%s\n' "$1" "$2"
        failures=$((failures + 1))
    fi
}

folders=(lib include tools test)
if [[ -d adapters ]]; then
    folders+=(adapters)
fi
mapfile -t code < <(find "${folders[@]}" -name '*.[ch]' | sort)
# Programs without a suffix are scripts; a fio job or a log for comparison is nobody's style.
mapfile -t scripts < <(find "${folders[@]}" .ci -type f \
    \( -name '*.sh' -o -name 'meson.build' -o -perm -u+x ! -name '*.*' \) | sort)
texts=("${code[@]}" "${scripts[@]}" meson.build lib/libaiofile.map test/tidy/include-graph.txt)

# The brace of a function is alone in the first column, and so is the one that closes it.
none_of "functions of more than 70 lines" "$(awk '
    FNR == 1 { start = 0 }
    /^\{$/ { start = FNR }
    /^\}/ && start { if (FNR - start + 2 > 70) print FILENAME ":" start ": " FNR - start + 2
                     start = 0 }' "${code[@]}")"
none_of "lines of more than 100 columns" \
    "$(awk 'length > 100 { print FILENAME ":" FNR ": " length }' "${texts[@]}")"
none_of "tabs" "$(grep -nP '\t' "${texts[@]}" || true)"
none_of "blanks at the end of a line" "$(grep -nE '[[:space:]]+$' "${texts[@]}" || true)"
none_of "no SPDX-License-Identifier in the first lines" "$(for file in "${texts[@]}"; do
    head -n 3 "$file" | grep -q 'SPDX-License-Identifier: MIT' || echo "$file"
done)"
none_of "marks of unfinished work" \
    "$(grep -nE '\b(TO[D]O|FIX[M]E|X[X]X|HA[C]K)\b' "${texts[@]}" || true)"

library=(lib/*.[ch])
banned='(v|f|vf|d)?printf|put[cs]|fput[cs]|putchar|fwrite|perror|(secure_)?getenv|abort|exit'
none_of "the library prints, reads the environment or ends the process" \
    "$(grep -nE "\b($banned)[[:space:]]*\(" "${library[@]}" || true)"
none_of "the library sleeps instead of waiting for an event" \
    "$(grep -nE '\b(sleep|usleep|nanosleep|clock_nanosleep|sched_yield|thrd_yield)[[:space:]]*\(' \
        "${library[@]}" || true)"
none_of "CHANGELOG.md has no section for the version of meson.build" \
    "$(grep -qE "^## ${version//./\\.}( |$)" CHANGELOG.md || echo "$version")"

echo "${#texts[@]} files, $failures rules broken"
[[ $failures -eq 0 ]]
