"""The command `lstm-oracle`.

Each command imports its modules when it runs, because JAX alone takes seconds to import: `--help` answers at once.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstm_oracle.cli.arguments import parser
from lstm_oracle.cli.memory import keep_freed_memory

if TYPE_CHECKING:
    from lstm_oracle.reports.report import Report

NEEDED = ("jax", "rich", "hypothesis")  # packages beyond NumPy
NEED_MANUAL = ("verify", "peers", "layout", "vectors")  # commands that import `manual`


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status, which `--help` explains."""
    options = parser().parse_args(arguments)
    if reason := missing_requirement(options):
        return unusable(reason)
    keep_freed_memory()
    try:
        return COMMANDS[options.command](options)
    except MemoryError as error:
        return unusable(f"not enough memory: {error}")


def missing_requirement(options: argparse.Namespace) -> str:
    """Return why a command cannot run in this environment; empty if it can."""
    needed = [*NEEDED]
    if getattr(options, "html", None):
        needed.append("jinja2")
    if options.command == "vectors":
        needed.append("flint")
    if missing := [module for module in needed if not find_spec(module)]:
        return f"{missing[0]} is not installed: pip install 'lstm-oracle[oracle]'"
    if options.command in NEED_MANUAL:
        from lstm_oracle.inputs.weight_layout import require_own_manual

        try:
            require_own_manual()
        except ImportError as error:
            return str(error)
    return ""


def run_verify(options: argparse.Namespace) -> int:
    """Run `lstm-oracle verify`."""
    import numpy as np

    from lstm_oracle.cli.terminal import progress
    from lstm_oracle.verify import report
    from lstm_oracle.verify.verify import verify

    numbers = range(options.runs) if options.run is None else [options.run]
    with progress(len(numbers)) as advance:
        verification = verify(options.seed, numbers, [np.dtype(name) for name in dtype_names(options)], advance)
    if options.json:
        print_json(report.to_json(verification))
    else:
        report.show(verification)
    return 0 if verification.ok else 1


def run_check(options: argparse.Namespace) -> int:
    """Run `lstm-oracle check`."""
    from lstm_oracle.cli.terminal import show
    from lstm_oracle.reports.report import Report

    try:
        require_compatible(options)
        report = check_target(options)
    except (ImportError, ValueError) as error:
        # The badge of an earlier verdict must not remain.
        return max(unusable(str(error)), write_views(options, [Report.unreadable(options.target, str(error))]))
    if options.json:
        print_json(report.to_json())
    else:
        show(report)
    return max(exit_status(report), save(options, report), write_views(options, [report]))


def exit_status(report: Report) -> int:
    """Return 0 for a correct candidate or run, 1 if the report shows a failure, 2 if nothing could be judged."""
    if report.failures:
        return 1
    return 0 if report.ok else 2


def require_compatible(options: argparse.Namespace) -> None:
    """Raise ValueError if the options of `lstm-oracle check` cannot be used together."""
    from lstm_oracle.reports.saving import SUFFIXES

    if options.save and Path(options.save).suffix not in SUFFIXES:
        raise ValueError(f"--save must name a file with the suffix {' or '.join(SUFFIXES)}, got {options.save!r}")
    if options.run is None and (options.sizes or options.regime):
        raise ValueError("--sizes and --regime apply to a single run; add --run")


def check_target(options: argparse.Namespace) -> Report:
    """Return the report on the target of `lstm-oracle check`, showing the progress."""
    from lstm_oracle.cli.terminal import progress
    from lstm_oracle.judging.check import EMPTY_SIZES, check

    with progress(options.runs + len(EMPTY_SIZES) if options.run is None else 1) as advance:
        return check(
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


def run_peers(options: argparse.Namespace) -> int:
    """Run `lstm-oracle peers`."""
    from lstm_oracle.cli import peers
    from lstm_oracle.cli.terminal import progress
    from lstm_oracle.judging.check import EMPTY_SIZES

    names, dtypes = peers.installed(), dtype_names(options)
    with progress(len(names) * len(dtypes) * (options.runs + len(EMPTY_SIZES))) as advance:
        judged = peers.judge_all(names, dtypes, options.runs, options.seed, advance)
    if options.json:
        print_json(peers.to_json(judged, options.seed))
    else:
        peers.show(judged, options.seed)
    return peers.status(judged)


def run_judge(options: argparse.Namespace) -> int:
    """Run `lstm-oracle judge`."""
    from lstm_oracle.cli.terminal import show
    from lstm_oracle.inputs.files import RunFileError
    from lstm_oracle.judging.judge import judge_all
    from lstm_oracle.reports.report import Report

    found, reports, statuses = [], [], []
    has_views = options.html is not None or options.badge is not None  # otherwise reports are not kept in memory
    for file, report in zip(options.runs, judge_all(options.runs), strict=True):
        if isinstance(report, Exception):
            message = str(report) if isinstance(report, RunFileError) else f"{file}: {report}"
            statuses.append(unusable(message))
            found.append({"ok": False, "blocks": [], "diagnosis": [], "error": message, "file": file})
            reports += [Report.unreadable(file, message)] * has_views
            continue
        statuses.append(exit_status(report))
        found.append(report.to_json() | {"file": file})
        reports += [report] * has_views
        if not options.json:
            show(report, end="\n\n" if file is not options.runs[-1] else "\n")
    if options.json:
        print_json(found if len(found) > 1 else found[0])
    return max(1 if 1 in statuses else max(statuses), write_views(options, reports))


def run_layout(options: argparse.Namespace) -> int:
    """Run `lstm-oracle layout`."""
    from lstm_oracle.inputs.files import RunFileError
    from lstm_oracle.layouts.discovery import discover

    try:
        found = discover(options.run)
    except (TypeError, ValueError) as error:
        return unusable(str(error) if isinstance(error, RunFileError) else f"{options.run}: {error}")
    if options.json:
        print_json(found.to_json())
    else:
        print(found)
    return 0 if found.ok else 1


def run_vectors(options: argparse.Namespace) -> int:
    """Run `lstm-oracle vectors`."""
    from lstm_oracle.inputs.files import RunFileError
    from lstm_oracle.vectors import DTYPES
    from lstm_oracle.vectors.files import write

    dtypes = [dtype for dtype in DTYPES if dtype.name in dtype_names(options)]
    try:
        files = [str(file) for file in write(Path(options.folder), dtypes)]
    except RunFileError as error:
        return unusable(str(error))
    except OSError as error:
        return unusable(f"{options.folder}: {error.strerror}")
    if options.json:
        print_json({"ok": True, "files": files})
    else:
        print("\n".join(files))
    return 0


def dtype_names(options: argparse.Namespace) -> tuple[str, ...]:
    """Return the names of the precisions that `--dtype` selects."""
    return ("float64", "float32") if options.dtype == "both" else (options.dtype,)


def print_json(value: Any) -> None:
    """Print a value as JSON on standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def save(options: argparse.Namespace, report: Report) -> int:
    """Save the failing run if `--save` is given, and return the exit status."""
    from lstm_oracle.reports import saving

    if not options.save:
        return 0
    try:
        saving.save(Path(options.save), report)
    except OSError as error:
        return unusable(f"--save {options.save}: {error.strerror}")
    except ValueError as error:  # nothing failed
        print(f"lstm-oracle: --save: {error}", file=sys.stderr)
    else:
        print(f"Saved {options.save}", file=sys.stderr)
    return 0


def write_views(options: argparse.Namespace, reports: Sequence[Report]) -> int:
    """Write the page and the badge if `--html` and `--badge` are given, and return the exit status."""
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


def unusable(reason: str) -> int:
    """Print why a request is unusable, and return the exit status."""
    print(f"lstm-oracle: {reason}", file=sys.stderr)
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
