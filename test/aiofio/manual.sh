#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# manual.sh <aiofio> <aiofio.1> - the manual page has every option, and the programs that read such
# pages have nothing to say against it. Ends with 77 where there is none of them.
set -euo pipefail

aiofio=$1
page=$2
failures=0
checked=0

# Usage: silent <program> <what it said>
silent() {
    checked=$((checked + 1))
    if [[ -n $2 ]]; then
        printf '%s says:\n%s\n' "$1" "$2"
        failures=$((failures + 1))
    fi
}

while read -r option; do
    if ! grep -qF "\\fB${option//-/\\-}\\fR" "$page"; then
        echo "$option is not in the page"
        failures=$((failures + 1))
    fi
done < <("$aiofio" --cmdhelp=markdown | grep '^| [^a-z][a-z-]' | cut -d '|' -f 2 | tr -d ' \140')

# A date would make every build another one, so that there is none.
if command -v mandoc >/dev/null; then
    silent "mandoc -Tlint" "$(mandoc -Tlint "$page" | grep -v 'missing date, using' || true)"
fi
if command -v groff >/dev/null; then
    silent "groff -ww" "$(groff -ww -man -Tutf8 "$page" 2>&1 >/dev/null)"
fi
if command -v man >/dev/null; then
    text=$(MANWIDTH=80 man -l "$page" 2>&1 | sed 's/.\x08//g')
    checked=$((checked + 1))
    if ! grep -q '^NAME' <<<"$text" || ! grep -q '^EXIT STATUS' <<<"$text"; then
        echo "man shows no NAME or no EXIT STATUS"
        failures=$((failures + 1))
    fi
fi
if [[ $failures -eq 0 && $checked -eq 0 ]]; then
    echo "skipped: none of mandoc, groff and man is installed"
    exit 77
fi
echo "$checked programs read the page, $failures failures"
exit $((failures > 0))
