"""A report as text, in one line, on a terminal and as JSON."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from importlib.resources import files

import pytest

from lstm_oracle import Report
from lstm_oracle.cli.terminal import show
from tests.lstm_oracle.reports.pages import NAMES, report_of


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("right", "Report(run: CORRECT)"),
        ("forward_only", "Report(run: CORRECT)"),
        ("no_cell_carry", "Report(run: INCORRECT: dW_*, dU_*, db_*, dx, dh0, dC0 wrong)"),
        ("with_nan", "Report(run: INCORRECT: returns NaN or infinity)"),
    ],
)
def test_the_repr_is_the_verdict_in_one_line(name: str, line: str) -> None:
    assert repr(report_of(name)) == line


def test_no_name_breaks_the_line_of_the_repr_or_controls_the_terminal() -> None:
    report = Report.unreadable("two\nlines\x1b[31m", "not a run")
    assert repr(report) == "Report(two lines�[31m: NOT JUDGED)"


def test_a_terminal_shows_colours_and_a_file_the_same_words_without_colours(
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
    assert "\x1b[1;31mINCORRECT\x1b[0m" in coloured
    assert "https://github.com/deeplearning4j/deeplearning4j/issues/8838" in coloured
    assert re.sub(r"\x1b\[[\d;]*m|\x1b\]8;[^\x1b]*\x1b\\", "", coloured) == plain


@pytest.mark.parametrize("name", NAMES)
def test_the_json_fits_its_schema(name: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(files("lstm_oracle.reports").joinpath("report.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    found = report_of(name).to_json()
    jsonschema.validate(found, schema)
    assert found.keys() <= schema["properties"].keys()
    for block in found["blocks"]:
        assert block.keys() == schema["properties"]["blocks"]["items"]["properties"].keys()
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(found | {"ok": "yes"}, schema)
