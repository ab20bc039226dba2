#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# page.sh <aiofio> - the page of --report: whole, with its charts, in need of nothing else, and with
# names that are no markup.
set -euo pipefail

aiofio=$(realpath "$1")
# shellcheck source=test/aiofio/scene.sh
. "$(dirname "$0")/scene.sh"
need python3
enter_folder page

# Usage: check <page> <most charts>
check() {
    python3 - "$1" "$2" <<'END'
import html.parser, re, sys, xml.etree.ElementTree

text = open(sys.argv[1], encoding="utf-8").read()
assert text.startswith("<!DOCTYPE html>\n") and text.endswith("</body></html>\n")
assert not re.search(r"<script|<link|<img|<iframe|\bsrc=|\bhref=|url\(|@import|https?:", text)

class Balance(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attributes):
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag

    def handle_startendtag(self, tag, attributes):
        pass

balance = Balance()
balance.feed(text)
assert balance.open == [], balance.open

charts = re.findall(r"<svg.*?</svg>", text, re.S)
assert len(charts) == int(sys.argv[2]), len(charts)
for chart in charts:
    root = xml.etree.ElementTree.fromstring(chart)
    width, height = (float(word) for word in root.get("viewBox").split()[2:])
    lines = [path.get("d") for path in root.iter("path") if path.get("class") == "line"]
    assert lines
    for line in lines:
        assert "nan" not in line and "inf" not in line, line
        for x, y in re.findall(r"[ML]([-0-9.]+) ([-0-9.]+)", line):
            assert 0 <= float(x) <= width and 0 <= float(y) <= height, (x, y)
assert "&lt;b&gt;&amp;&quot;" in text and "<b>&" not in text
assert "verdict: <span class=\"ok\">ok</span>" in text
assert "bs=8k" in text
END
}

name='<b>&"'
"$aiofio" --name="$name" --filename=data --rw=randrw --size=1m --bs=8k --verify=crc32c \
    --time_based --runtime=1 --eta-interval=250 --report=page.html >/dev/null
check page.html 4
[[ $(grep -o '>verify</text>' page.html | wc -l) -ge 3 ]]

# A run that is over before the first interval, and one that reads; the page before is replaced.
"$aiofio" --name="$name" --filename=data --rw=read --size=8k --bs=8k --report=page.html >/dev/null
check page.html 4
[[ $(grep -c '>write</text>' page.html) -eq 0 ]]

echo "my own words" >words.html
if "$aiofio" --name=x --filename=data --rw=read --report=words.html >/dev/null 2>errors; then
    echo "a foreign file was replaced"
    exit 1
fi
grep -q -- "--report: 'words.html' is there and is no report" errors
[[ $(cat words.html) == "my own words" ]]
if [[ -e /dev/full ]]; then
    code=0
    "$aiofio" --name=x --filename=data --rw=read --report=/dev/full >/dev/null 2>errors || code=$?
    [[ $code -eq 2 ]]
    grep -q -- "--report: '/dev/full': No space left" errors
fi
echo "the page is whole"
