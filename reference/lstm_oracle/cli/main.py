"""The command `lstm-oracle`.

Each command imports what it needs when it runs, because JAX alone takes seconds to import: `--help` answers at once.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from lstm_oracle.cli.arguments import parser
from lstm_oracle.cli.memory import keep_freed_memory

if TYPE_CHECKING:
    from lstm_oracle.reports.report import Report

NEEDED = ("jax", "rich", "hypothesis")  # beyond NumPy
NEED_MANUAL = ("verify", "peers", "layout", "vectors")  # commands that import `manual`


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status, which its `--help` explains."""
    options = parser().parse_args(arguments)
    needed = [*NEEDED, "jinja2"] if getattr(options, "html", None) else NEEDED
    if missing := [module for module in needed if not find_spec(module)]:
        return unusable(f"{missing[0]} is not installed: pip install 'lstm-oracle[oracle]'")
    if options.command in NEED_MANUAL:
        from lstm_oracle.inputs.weight_layout import require_own_manual

        try:
            require_own_manual()
        except ImportError as error:
            return unusable(str(error))
    keep_freed_memory()
    try:
        return COMMANDS[options.command](options)
    except MemoryError as error:
        return unusable(f"not enough memory: {error}")


def run_verify(options: argparse.Namespace) -> int:
    """Run `lstm-oracle verify`."""
    import numpy as np

    from lstm_oracle.cli.terminal import progress
    from lstm_oracle.verify import report
    from lstm_oracle.verify.verify import verify

    names = ("float64", "float32") if options.dtype == "both" else (options.dtype,)
    dtypes = [np.dtype(name) for name in names]
    numbers = range(options.runs) if options.run is None else [options.run]
    with progress(len(numbers)) as advance:
        verification = verify(options.seed, numbers, dtypes, advance)
    if options.json:
        print(json.dumps(report.to_json(verification), indent=2, ensure_ascii=False))
    else:
        report.show(verification)
    return 0 if verification.ok else 1


def run_check(options: argparse.Namespace) -> int:
    """Run `lstm-oracle check`."""
    from lstm_oracle.cli.terminal import progress, show
    from lstm_oracle.judging.check import EMPTY_SIZES, check
    from lstm_oracle.reports import saving
    from lstm_oracle.reports.report import Report

    save = options.save and Path(options.save)
    if save and save.suffix not in saving.SUFFIXES:
        return unusable(f"--save {save} has the suffix {save.suffix!r}; expected {' or '.join(saving.SUFFIXES)}")
    if options.run is None and (options.sizes or options.regime):
        return unusable("--sizes and --regime apply to a single run; add --run")
    try:
        with progress(options.runs + len(EMPTY_SIZES) if options.run is None else 1) as advance:
            report = check(
                options.target,
                dtype=options.dtype,
                max_examples=options.runs,
                seed=options.seed,
                run=options.run,
                sizes=options.sizes,
                regime=options.regime,
                timeout=options.timeout,
                layout=options.layout,
                progress=advance,
            )
    except (ImportError, ValueError) as error:  # an old badge must not remain
        return max(unusable(str(error)), write_views(options, [Report.unreadable(options.target, str(error))]))
    status = 0 if report.ok else 1
    if options.json:
        print(json.dumps(report.to_json(), indent=2, ensure_ascii=False))
    else:
        show(report)
    if save:
        try:
            saving.save(save, report)
            print(f"Saved {save}", file=sys.stderr)
        except OSError as error:
            status = unusable(f"--save {save}: {error.strerror}")
        except ValueError as error:
            print(f"lstm-oracle: --save: {error}", file=sys.stderr)
    return max(status, write_views(options, [report]))


def run_peers(options: argparse.Namespace) -> int:
    """Run `lstm-oracle peers`."""
    from lstm_oracle.cli import peers
    from lstm_oracle.cli.terminal import progress
    from lstm_oracle.judging.check import EMPTY_SIZES

    names = peers.installed()
    dtypes = ("float64", "float32") if options.dtype == "both" else (options.dtype,)
    with progress(len(names) * len(dtypes) * (options.runs + len(EMPTY_SIZES))) as advance:
        judged = peers.judge_all(names, dtypes, options.runs, options.seed, advance)
    if options.json:
        print(json.dumps(peers.to_json(judged, options.seed), indent=2, ensure_ascii=False))
    else:
        peers.show(judged, options.seed)
    return peers.status(judged)


def run_judge(options: argparse.Namespace) -> int:
    """Run `lstm-oracle judge`."""
    from lstm_oracle.cli.terminal import show
    from lstm_oracle.inputs.files import RunFileError
    from lstm_oracle.judging.judge import judge_all
    from lstm_oracle.reports.report import Report

    found, reports, status = [], [], 0
    keep = options.html is not None or options.badge is not None  # otherwise reports are not kept, as there may be many
    for file, report in zip(options.runs, judge_all(options.runs), strict=True):
        if isinstance(report, Exception):
            message = str(report) if isinstance(report, RunFileError) else f"{file}: {report}"
            status = unusable(message)
            found.append({"ok": False, "blocks": [], "diagnosis": [], "error": message, "file": file})
            reports += [Report.unreadable(file, message)] * keep
            continue
        status = max(status, 0 if report.ok else 1)
        found.append(report.to_json() | {"file": file})
        reports += [report] * keep
        if not options.json:
            show(report, end="\n\n" if file is not options.runs[-1] else "\n")
    if options.json:
        print(json.dumps(found if len(found) > 1 else found[0], indent=2, ensure_ascii=False))
    return max(status, write_views(options, reports))


def run_layout(options: argparse.Namespace) -> int:
    """Run `lstm-oracle layout`."""
    from lstm_oracle.inputs.files import RunFileError
    from lstm_oracle.layouts.discovery import discover

    try:
        found = discover(options.run)
    except (TypeError, ValueError) as error:
        return unusable(str(error) if isinstance(error, RunFileError) else f"{options.run}: {error}")
    print(json.dumps(found.to_json(), indent=2, ensure_ascii=False) if options.json else found)
    return 0 if found.ok else 1


def run_vectors(options: argparse.Namespace) -> int:
    """Run `lstm-oracle vectors`."""
    if not find_spec("flint"):
        return unusable("flint is not installed: pip install 'lstm-oracle[oracle]'")
    from lstm_oracle.inputs.files import RunFileError
    from lstm_oracle.vectors import DTYPES
    from lstm_oracle.vectors.files import write

    dtypes = [dtype for dtype in DTYPES if options.dtype in (dtype.name, "both")]
    try:
        files = write(Path(options.folder), dtypes)
    except RunFileError as error:
        return unusable(str(error))
    except OSError as error:
        return unusable(f"{options.folder}: {error.strerror}")
    names = [str(file) for file in files]
    print(json.dumps({"ok": True, "files": names}, indent=2) if options.json else "\n".join(names))
    return 0


def write_views(options: argparse.Namespace, reports: Sequence[Report]) -> int:
    """Write the page and the badge, if they are asked for, and return the exit status."""
    status = 0
    if options.html is not None:
        from lstm_oracle.reports.html import page

        status = write("--html", options.html, page(reports))
    if options.badge is not None:
        from lstm_oracle.reports.badge import badge

        status = max(status, write("--badge", options.badge, json.dumps(badge(reports)) + "\n"))
    return status


def write(option: str, file: str, text: str) -> int:
    """Write a text to the file that an option names, and return the exit status."""
    try:
        Path(file).write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        return unusable(f"{option} {file}: {error.strerror}")
    print(f"Saved {file}", file=sys.stderr)
    return 0


def unusable(why: str) -> int:
    """Say why a request cannot be met, and return the exit status."""
    print(f"lstm-oracle: {why}", file=sys.stderr)
    return 2


COMMANDS = {
    "verify": run_verify,
    "check": run_check,
    "peers": run_peers,
    "judge": run_judge,
    "layout": run_layout,
    "vectors": run_vectors,
}


if __name__ == "__main__":
    sys.exit(main())
