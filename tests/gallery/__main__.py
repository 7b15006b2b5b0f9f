"""Makes the screenshots of a report for the README, on an LSTM in C that drops the gradient of the cell state."""

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
BOTTOM = "return document.querySelector('.legend').getBoundingClientRect().bottom + 10"


def main() -> int:
    """Write report-light.png and report-dark.png beside this file, and return the exit status."""
    if what := missing():
        print(f"gallery: {what}; selenium, chromium and chromedriver are required", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # the report shows the relative path of the program
        subprocess.run(["cc", "-std=c99", "-O2", "-DNO_CELL_CARRY", "-o", "lstm", PROGRAM, "-lm"], check=True)
        file = Path(folder, "report.html")
        file.write_text(page([check("exec:./lstm")]), encoding="utf-8")
        with chromium() as browser:
            for scheme in ("light", "dark"):
                browser.open(file, WIDTH, scheme)
                (HERE / f"report-{scheme}.png").write_bytes(browser.screenshot(round(browser.run(BOTTOM))))
        os.chdir(HERE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
