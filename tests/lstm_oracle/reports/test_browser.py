"""The HTML page in Chromium: it loads nothing, logs nothing, fits a narrow window and is readable in the dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lstm_oracle import judge
from lstm_oracle.reports.html import page
from tests.gallery.browser import Browser, chromium, missing
from tests.lstm_oracle.reports.pages import HOSTILE, hostile, recorded

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

# Every text with its colour and the nearest background behind it.
TEXTS = """
const texts = [];
for (const element of document.querySelectorAll("body *")) {
  const own = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
  if (!own || element.classList.contains("hidden")) continue;
  let behind = element;
  while (getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
  texts.push([getComputedStyle(element).color, getComputedStyle(behind).backgroundColor, element.textContent.trim()]);
}
return texts;
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One page with a correct run, incorrect ones, one of very many steps, and a report whose texts attack the page."""
    reports = [judge(recorded(name)) for name in ("right", "no_cell_carry", "with_nan")]
    reports += [judge(recorded("only_long", sizes=(70, 1, 2, 3))), hostile(reports[1])]
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(page(reports), encoding="utf-8")
    return file


def luminance(colour: str) -> float:
    parts = [float(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, as WCAG 2 defines it."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_the_page_loads_nothing_and_its_console_is_silent(browser: Browser, file: Path, tmp_path: Path) -> None:
    browser.open(file, 1000, "light")
    assert browser.messages() == []
    assert [url for url in browser.requests() if not url.startswith("data:")] == [file.as_uri()]
    other = tmp_path / "other.html"
    other.write_text("<img src='nowhere.png'><script>console.error('no')</script>")
    browser.open(other, 1000, "light")
    assert len(browser.messages()) == len(browser.requests()) == 2, "a page that does load and log"


def test_text_from_outside_runs_no_script_and_is_shown_literally(browser: Browser, file: Path) -> None:
    browser.open(file, 1000, "light")
    counts = "return [document.scripts.length, document.images.length, window.attacked ?? null]"
    assert browser.run(counts) == [0, 0, None]
    assert HOSTILE in browser.run("return document.body.textContent")


@pytest.mark.parametrize("width", [360, 1000])
def test_nothing_is_wider_than_the_window(browser: Browser, file: Path, width: int) -> None:
    browser.open(file, width, "light")
    assert browser.run("return document.documentElement.scrollWidth") == width
    widths = browser.run("return [...document.querySelectorAll('main *')].map(e => e.getBoundingClientRect().right)")
    assert max(widths) <= width


@pytest.mark.parametrize(("scheme", "darkest", "lightest"), [("light", 0.8, 1), ("dark", 0, 0.05)])
def test_every_text_stands_out_from_its_background(
    browser: Browser, file: Path, scheme: str, darkest: float, lightest: float
) -> None:
    browser.open(file, 360, scheme)
    assert darkest <= luminance(browser.run("return getComputedStyle(document.body).backgroundColor")) <= lightest
    texts = browser.run(TEXTS)
    assert len(texts) > 300
    weak = {(round(contrast(ink, ground), 1), text) for ink, ground, text in texts if contrast(ink, ground) < 4.5}
    assert weak == set()
