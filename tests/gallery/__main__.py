"""The picture of a report for the README: an LSTM in C that drops the gradient of its cell, shown in a browser."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from lstm_oracle import check
from lstm_oracle.reports.html import page
from tests.gallery.browser import chromium, missing

HERE = Path(__file__).parent
PROGRAM = HERE.parent / "candidates" / "lstm.c"
WIDTH = 900
FOOT = "return document.querySelector('.legend').getBoundingClientRect().bottom + 10"


def main() -> int:
    if lacking := missing():
        print(f"gallery: {lacking}; needs selenium, chromium and chromedriver", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # the report shows the program by the name that it is called with
        subprocess.run(["cc", "-std=c99", "-O2", "-DNO_CELL_CARRY", "-o", "lstm", PROGRAM, "-lm"], check=True)
        file = Path(folder, "report.html")
        file.write_text(page([check("exec:./lstm")]), encoding="utf-8")
        with chromium() as browser:
            for scheme in ("light", "dark"):
                browser.open(file, WIDTH, scheme)
                (HERE / f"report-{scheme}.png").write_bytes(browser.picture(round(browser.run(FOOT))))
        os.chdir(HERE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
