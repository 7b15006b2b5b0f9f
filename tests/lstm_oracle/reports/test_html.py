"""The HTML page of reports: what it shows, and that no text in it becomes markup."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from lstm_oracle import judge
from lstm_oracle.cli import main as cli
from lstm_oracle.inputs.files import write_run
from lstm_oracle.reports.html import page
from tests.lstm_oracle.reports.pages import HOSTILE, NAMES, hostile, recorded, report_of


class Parsed(HTMLParser):
    """The tags, links, titled cells and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str | None] = []
        self.cells: dict[str, str] = {}  # the class of each cell, by its title
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("href", "src")]
        if title := dict(attrs).get("title"):
            self.cells[title] = dict(attrs)["class"] or ""

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("name", NAMES)
def test_the_cells_of_a_page_show_the_worst_error_of_each_output(name: str) -> None:
    cells = Parsed(report_of(name).to_html()).cells
    assert ("dW_i was not returned" in cells) == (name == "forward_only")
    for block in report_of(name).to_json()["blocks"]:
        at = "" if block["step"] is None else f" at step {block['step']}"
        (worst,) = [title for title in cells if title.startswith(f"{block['name']}{at}: ")]
        finite = block["ratio"] is not None
        assert worst.endswith(f", {'correct' if block['ok'] else 'wrong'}" if finite else ": not finite")
        assert cells[worst][: 1 if finite else None] == ("nan" if not finite else "r" if block["ok"] else "w")


def test_the_steps_of_a_long_run_share_columns_that_show_the_worst_of_them() -> None:
    whole = recorded("right", sizes=(73, 1, 2, 3))
    whole["h"][1] += 1e-6
    cells = Parsed(judge(whole).to_html()).cells
    titles = [title for title in cells if title.startswith("h at step ")]
    assert [title.split(":")[0] for title in titles] == ["h at step 0–1", *(f"h at step {t}" for t in range(2, 73))]
    assert [title.endswith("wrong") for title in titles] == [True] + [False] * 71


def test_a_page_shows_the_verdict_the_mistake_and_how_to_repeat_the_run(tmp_path: Path) -> None:
    write_run(tmp_path / "run.npz", recorded("no_cell_carry"))
    shown = Parsed(judge(tmp_path / "run.npz").to_html())
    assert "https://github.com/deeplearning4j/deeplearning4j/issues/8838" in shown.links
    words = " ".join(shown.text.split())
    for said in (
        "INCORRECT",
        "one recorded run, T=4 B=2 D=3 H=5, float64",
        "h, C are correct.",
        "First error in the backward pass: ",
        "no_cell_carry: the cell-state gradient is not carried back",
        f"Repeat with: lstm-oracle judge {tmp_path}/run.npz",
    ):
        assert said in words
    text = Parsed(report_of("forward_only").to_html()).text
    assert "h, C_T are correct; C, dW_*, dU_*, db_*, dx, dh0, dC0 were not returned and not judged." in text


def test_every_verdict_has_a_colour() -> None:
    for name, word in {"right": "CORRECT", "no_cell_carry": "INCORRECT", "with_nan": "INCORRECT"}.items():
        html = report_of(name).to_html()
        assert f'<header class="verdict {word}">' in html
        assert f".{word} {{ --tone: " in html


def test_text_from_outside_stays_text() -> None:
    report = report_of("no_cell_carry")
    harmless = Parsed(page([replace(hostile(report), subject="s", location="l")]))
    attacked = Parsed(page([hostile(report)]))
    assert attacked.text.count(HOSTILE) >= 4
    assert [tag for tag in attacked.tags if tag != "wbr"] == [tag for tag in harmless.tags if tag != "wbr"]
    assert not {"script", "img"} & set(attacked.tags)


def test_a_notebook_shows_the_escaped_page_in_a_frame() -> None:
    report = hostile(report_of("no_cell_carry"))
    (source,) = re.findall(r'^<iframe srcdoc="([^"<>]*)" style="[^"]*"></iframe>$', report._repr_html_())
    assert unescape(source) == report.to_html()


def test_a_page_loads_nothing_from_elsewhere() -> None:
    html = report_of("right").to_html()
    assert not re.search(r"url\(|@import|<script|src=", html)
    assert set(Parsed(html).links) == {"data:,"}


def test_the_command_writes_one_page_and_one_badge_for_several_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("right", "no_cell_carry"):
        write_run(tmp_path / f"{name}.npz", recorded(name))
    (tmp_path / "broken.npz").write_text("no run")
    runs = [str(tmp_path / f"{name}.npz") for name in ("right", "no_cell_carry", "broken")]
    html, badge = str(tmp_path / "report.html"), str(tmp_path / "badge.json")
    assert cli.main(["judge", *runs, "--html", html, "--badge", badge]) == 1
    assert capsys.readouterr().err.splitlines()[-2:] == [f"Saved {html}", f"Saved {badge}"]
    assert json.loads(Path(badge).read_text())["message"] == "2 of 3 runs, 15 of 18 outputs wrong"
    shown = Parsed(Path(html).read_text(encoding="utf-8"))
    assert shown.tags.count("article") == 3
    assert shown.links[1:4] == ["#report-1", "#report-2", "#report-3"]
    assert "1 of 3 runs correct" in shown.text
    assert "broken.npz: NOT JUDGED" in shown.text


@pytest.mark.parametrize(("option", "other"), [("--html", "--badge"), ("--badge", "--html")])
def test_a_file_that_cannot_be_written_exits_2_after_the_verdict_and_the_other_file(
    option: str, other: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "run.npz", recorded("no_cell_carry"))
    file = str(tmp_path / "nowhere" / "file")
    assert cli.main(["judge", str(tmp_path / "run.npz"), option, file, other, str(tmp_path / "other")]) == 2
    out, err = capsys.readouterr()
    assert out.endswith("INCORRECT\n")
    assert f"lstm-oracle: {option} {file}: No such file or directory\n" in err
    assert (tmp_path / "other").exists()
