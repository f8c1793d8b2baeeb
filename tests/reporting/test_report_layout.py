"""The page in a browser: nothing is cut on a wide or narrow screen or a sheet of A4."""

import html
import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from tumor_ratio.reporting.html_report import (
    Block,
    Example,
    Picture,
    Report,
    Section,
    Table,
    render_report,
)
from tumor_ratio.reporting.images import image_uri

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NUMBERS = 12
INTERVAL = "-0.123 [-0.456, -0.789]"
A4_PX = round((210 - 2 * 14) / 25.4 * 96)
"""Between the margins."""

PROBE = """<script>
const wide = [...document.querySelectorAll('body *')].filter(
  each => each.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5);
const free = wide.filter(each => !each.closest('.scroll')
  || getComputedStyle(each.closest('.scroll')).overflowX === 'visible');
document.title = JSON.stringify({
  client: document.documentElement.clientWidth, cut: free.map(each => each.outerHTML.slice(0, 80)),
  wide: wide.length});
</script></body>"""


@pytest.fixture(scope="module")
def page():
    """As wide as the report gets: 14 columns, intervals in five, long names, many panels."""
    picture = image_uri(np.full((600, 1400, 3), 200, np.uint8))
    name = "an_approach_with_a_long_name"
    blocks = [
        Block(
            table=Table(
                ("approach", "learned from", *(f"figure {i}" for i in range(NUMBERS))),
                [(name, "what it saw; " * 6, INTERVAL, *["0.1234"] * (NUMBERS - 1))] * 3,
                text_columns=2,
            ),
            picture=picture,
        ),
        Block("Seen otherwise", table=Table(("approach", *"abcde"), [(name, *[INTERVAL] * 5)])),
        Block(pictures=[Picture(picture, "what it shows " * 5)] * 4),
        Block(examples=[Example(picture, picture, "", ("measured", "s01_x12345_y12345_s56"))] * 3),
    ]
    report = Report("Title", "Sub", ["stamp " * 30], ["answer"], [], [Section("a", "A", blocks)])
    return render_report(report)


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize(
    ("width_px", "media"), [(1280, "screen"), (500, "screen"), (A4_PX, "print")]
)
def test_nothing_is_cut(page, tmp_path, width_px, media):
    shown = page.replace("</body>", PROBE)
    if media == "print":
        shown = shown.replace("@media print", "@media all")
    path = tmp_path / "page.html"
    path.write_text(shown, encoding="utf-8")
    found = subprocess.run(
        [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width_px},900",
            "--dump-dom", path.as_uri(),
        ],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    title = re.search(r"<title>(.*?)</title>", found.stdout, re.S)
    measured = json.loads(html.unescape(title[1]))
    assert measured["client"] == width_px
    assert measured["cut"] == []
