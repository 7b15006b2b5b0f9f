"""A report as a page and on a terminal: what it shows, and that nothing in it comes to life."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import pytest

from reference.oracle import cli, heat, judge
from reference.oracle.files import write_run
from reference.oracle.page import page
from reference.oracle.report import Report, unread
from reference.oracle.terminal import show
from reference.run import INPUTS
from tests.candidates import adapters
from tests.reference.oracle.pages import HOSTILE, hostile, recorded

NAMES = "right", "forward_only", "no_cell_carry", "with_nan", "amplified"


class Tags(HTMLParser):
    """The tags, links and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str | None] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.text += data


@cache
def report_of(name: str) -> Report:
    """The report on what a candidate gives; "amplified" is a right one, on a run where much is allowed."""
    if name != "amplified":
        return judge(recorded(name))
    inputs = {key: array * (4 if key[0] == "W" else 1) for key, array in recorded(sizes=(40, 2, 3, 6)).items()}
    return judge({key: inputs[key] for key in INPUTS} | adapters.right(**{key: inputs[key] for key in INPUTS}))


def heat_of(name: str) -> heat.Heat:
    kept = report_of(name).pictured
    assert kept is not None
    return heat.heat(kept)


@pytest.mark.parametrize("name", NAMES)
def test_the_cells_are_what_was_judged(name: str) -> None:
    cells = heat_of(name)
    ratios = {
        name: max(cell.ratio or 0 for cell in row) for name, row in cells.steps.items() if row[0].ratio is not None
    }
    single = {
        f"d{kind}_{gate}": cell for gate, row in cells.gates.items() for kind, cell in zip("WUb", row, strict=True)
    }
    ratios |= {name: cell.ratio for name, cell in (single | cells.ends).items() if cell.ratio is not None}
    assert ratios == {block.name: block.ratio for block in report_of(name).blocks}
    for block in report_of(name).blocks:
        if block.step is not None:
            assert cells.steps[block.name][block.step].ratio == block.ratio


def test_a_cell_says_in_words_where_it_is_and_whether_it_is_right() -> None:
    (*_, last), wrong = heat_of("with_nan").steps["dx"], heat_of("no_cell_carry").steps["dx"][0]
    assert (last.shade, last.text, last.title) == ("nan", "∞", "dx at step 3: not a finite number")
    assert wrong.shade in ("w3", "w4", "w5")
    assert re.fullmatch(r"dx at step 0: \de\d\d times what rounding may do, wrong", wrong.title)
    assert heat_of("right").steps["h"][0].title.endswith("times what rounding may do, right")
    absent = heat_of("forward_only").gates["i"][0]
    assert (absent.shade, absent.text, absent.title) == ("none", "–", "dW_i was not returned")


def test_the_steps_of_a_long_run_share_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = heat_of("no_cell_carry")
    monkeypatch.setattr(heat, "WIDEST", 3)
    shared = heat_of("no_cell_carry")
    assert shared.columns == ("0–1", "2", "3")
    first, second, *others = (cell.ratio or 0 for cell in whole.steps["dx"])
    assert [cell.ratio for cell in shared.steps["dx"]] == [max(first, second), *others]


@pytest.mark.parametrize(("ratio", "name"), [(0, "r1"), (0.5, "r3"), (1, "r3"), (1.01, "w1"), (1e13, "w5")])
def test_the_shade_turns_at_what_rounding_may_do(ratio: float, name: str) -> None:
    assert heat.shade(ratio) == name


def test_a_page_shows_the_verdict_the_mistake_and_the_way_back() -> None:
    shown = Tags(report_of("no_cell_carry").to_html())
    assert "https://github.com/deeplearning4j/deeplearning4j/issues/8838" in shown.links
    words = " ".join(shown.text.split())
    for said in (
        "WRONG run one recorded run, T=4 B=2 D=3 H=5, float64",
        "h, C are right",
        "no_cell_carry: the cell-state",
    ):
        assert said in words
    command = "lstm-oracle check pkg:lstm --run 3"
    drawn = report_of("no_cell_carry")
    (failure,) = drawn.failures
    drawn = replace(drawn, seed=7, failures=(replace(failure, repeat=command),))
    assert {command, "seed 7"} <= set(re.split(r"[\n<>,]\s*", page([drawn])))


def test_a_right_lstm_has_a_page_that_says_what_was_not_judged() -> None:
    text = Tags(page([report_of("forward_only")])).text
    assert "RIGHT" in text
    assert "h, C_T are right; C, dW_*, dU_*, db_*, dx, dh0, dC0 did not come back and are not judged." in text


def test_what_comes_from_outside_is_text_and_nothing_else() -> None:
    report = report_of("no_cell_carry")
    harmless, attacked = (
        Tags(page([replace(hostile(report), subject="s", location="l")])),
        Tags(page([hostile(report)])),
    )
    assert attacked.text.count(HOSTILE) >= 4
    assert [tag for tag in attacked.tags if tag != "wbr"] == [tag for tag in harmless.tags if tag != "wbr"]
    assert not {"script", "img"} & set(attacked.tags)


def test_several_runs_are_sections_of_one_page_and_so_is_a_file_that_cannot_be_read() -> None:
    shown = Tags(page([report_of("right"), report_of("no_cell_carry"), unread("broken.npz", "U_g missing")]))
    assert shown.tags.count("article") == 3
    assert shown.links[1:4] == ["#report-1", "#report-2", "#report-3"]
    assert "1 of 3 runs right" in shown.text
    assert "broken.npz: NOT JUDGED" in shown.text


def test_the_page_is_in_the_package_and_asks_for_nothing_elsewhere() -> None:
    template = files("reference.oracle").joinpath("page.html.jinja").read_text(encoding="utf-8")
    assert not re.search(r"url\(|@import|<script|src=", template)
    links = set(Tags(page([report_of("right")])).links)
    assert links == {"data:,"}


def test_the_command_writes_page_and_badge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("right", "no_cell_carry"):
        write_run(tmp_path / f"{name}.npz", recorded(name))
    runs = [str(tmp_path / f"{name}.npz") for name in ("right", "no_cell_carry")]
    html, badge = str(tmp_path / "report.html"), str(tmp_path / "badge.json")
    assert cli.main(["judge", *runs, "--html", html, "--badge", badge]) == 1
    assert capsys.readouterr().err.splitlines() == [f"Saved {html}", f"Saved {badge}"]
    assert Path(html).read_text(encoding="utf-8").count("<article") == 2
    assert json.loads(Path(badge).read_text())["message"] == "1 of 2 runs, 15 of 18 outputs wrong"
    assert f"lstm-oracle judge {runs[1]}" in Path(html).read_text(encoding="utf-8")


@pytest.mark.parametrize("option", ["--html", "--badge"])
def test_a_file_that_cannot_be_written_exits_2_and_the_verdict_still_stands(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "run.npz", recorded("no_cell_carry"))
    file = str(tmp_path / "nowhere" / "file")
    other = "--badge" if option == "--html" else "--html"
    assert cli.main(["judge", str(tmp_path / "run.npz"), option, file, other, str(tmp_path / "other")]) == 2
    out, err = capsys.readouterr()
    assert out.endswith("WRONG\n")
    assert f"lstm-oracle: {option} {file}: No such file or directory\n" in err
    assert (tmp_path / "other").exists(), "what can be written is"


def test_only_a_page_needs_jinja2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "reference.oracle.page", raising=False)
    monkeypatch.setitem(sys.modules, "jinja2", None)  # importing it fails
    write_run(tmp_path / "run.npz", recorded())
    arguments = ["judge", str(tmp_path / "run.npz"), "--badge", str(tmp_path / "badge.json")]
    assert cli.main(arguments) == 0
    assert cli.main([*arguments, "--html", str(tmp_path / "report.html")]) == 2
    assert "jinja2 is not installed: pip install 'lstm-oracle[oracle]'" in capsys.readouterr().err


def test_a_terminal_gets_colours_and_a_file_the_same_words_without(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    report = replace(
        report_of("no_cell_carry"), subject="an escape \x1b[31m and a very long name" + 9 * " of a program"
    )
    show(report)
    plain = capsys.readouterr().out
    assert plain == f"{report}\n"
    assert "\x1b" not in plain
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    show(report)
    coloured = capsys.readouterr().out
    assert "\x1b[1;31mWRONG\x1b[0m" in coloured
    assert "https://github.com/deeplearning4j/deeplearning4j/issues/8838" in coloured
    assert re.sub(r"\x1b\[[\d;]*m|\x1b\]8;[^\x1b]*\x1b\\", "", coloured) == plain


@pytest.mark.parametrize("name", NAMES)
def test_the_json_is_as_its_schema_says(name: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(files("reference.oracle").joinpath("report.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    told = report_of(name).to_json()
    jsonschema.validate(told, schema)
    assert told.keys() <= schema["properties"].keys()
    for block in told["blocks"]:
        assert block.keys() == schema["properties"]["blocks"]["items"]["properties"].keys()
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(told | {"ok": "yes"}, schema)
