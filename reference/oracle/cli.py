"""The command `lstm-oracle`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from reference.oracle.arguments import parser
from reference.oracle.memory import keep_memory

if TYPE_CHECKING:
    from reference.oracle.report import Report

NEEDED = ("jax", "rich", "hypothesis")  # beyond NumPy; imported where they are used, since that takes seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its `--help` says what its exit status means."""
    options = parser().parse_args(arguments)
    needed = [*NEEDED, "jinja2"] if getattr(options, "html", None) else NEEDED
    if missing := [module for module in needed if not find_spec(module)]:
        print(f"lstm-oracle: {missing[0]} is not installed: pip install 'lstm-oracle[oracle]'", file=sys.stderr)
        return 2
    keep_memory()
    try:
        return COMMANDS[options.command](options)
    except MemoryError as error:
        return unusable(f"not enough memory: {error}")


def run_verify(options: argparse.Namespace) -> int:
    """`lstm-oracle verify`."""
    import numpy as np

    from reference.oracle import verify_report as report
    from reference.oracle.terminal import progress
    from reference.oracle.verify import verify

    names = ("float64", "float32") if options.dtype == "both" else (options.dtype,)
    dtypes = [np.dtype(name) for name in names]
    numbers = range(options.runs) if options.run is None else [options.run]
    with progress(len(numbers)) as advance:
        verdict = verify(options.seed, numbers, dtypes, advance)
    if options.json:
        print(json.dumps(report.to_json(verdict), indent=2, ensure_ascii=False))
    else:
        report.show(verdict)
    return 0 if verdict.ok else 1


def run_check(options: argparse.Namespace) -> int:
    """`lstm-oracle check`."""
    from reference.oracle import saving
    from reference.oracle.checking import EMPTY, check
    from reference.oracle.report import unread
    from reference.oracle.terminal import progress, show

    save = options.save and Path(options.save)
    if save and save.suffix not in saving.SUFFIXES:
        return unusable(f"--save {save} ends in {save.suffix or 'nothing'}; expected {' or '.join(saving.SUFFIXES)}")
    if options.run is None and (options.sizes or options.regime):
        return unusable("--sizes and --regime change one run; name it with --run")
    try:
        with progress(options.runs + len(EMPTY) if options.run is None else 1) as advance:
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
    except ValueError as error:  # the badge must not stay what it was
        return max(unusable(str(error)), write_views(options, [unread(options.target, str(error))]))
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
    """`lstm-oracle peers`."""
    from reference.oracle import found, peers
    from reference.oracle.checking import EMPTY
    from reference.oracle.terminal import progress

    if options.found and not Path(options.found).parent.is_dir():
        return unusable(f"--found {options.found}: there is no folder {Path(options.found).parent}")
    names = peers.installed()
    dtypes = ("float64", "float32") if options.dtype == "both" else (options.dtype,)
    with progress(len(names) * len(dtypes) * (options.runs + len(EMPTY))) as advance:
        judged = peers.judge_all(names, dtypes, options.runs, options.seed, advance)
    if options.json:
        print(json.dumps(peers.to_json(judged, options.seed), indent=2, ensure_ascii=False))
    else:
        peers.show(judged, options.seed)
    saved = write("--found", options.found, found.markdown(judged, options.seed)) if options.found else 0
    return max(peers.status(judged), saved)


def run_judge(options: argparse.Namespace) -> int:
    """`lstm-oracle judge`."""
    from reference.oracle.files import RunFileError
    from reference.oracle.judging import judge_all
    from reference.oracle.report import unread
    from reference.oracle.terminal import show

    verdicts, reports, status = [], [], 0
    viewed = options.html is not None or options.badge is not None  # else no report is kept: there may be many
    for file, report in zip(options.runs, judge_all(options.runs), strict=True):
        if isinstance(report, Exception):
            said = str(report) if isinstance(report, RunFileError) else f"{file}: {report}"
            status = unusable(said)
            verdicts.append({"ok": False, "blocks": [], "diagnosis": [], "error": said, "file": file})
            reports += [unread(file, said)] * viewed
            continue
        status = max(status, 0 if report.ok else 1)
        verdicts.append(report.to_json() | {"file": file})
        reports += [report] * viewed
        if not options.json:
            show(report, end="\n\n" if file is not options.runs[-1] else "\n")
    if options.json:
        print(json.dumps(verdicts if len(verdicts) > 1 else verdicts[0], indent=2, ensure_ascii=False))
    return max(status, write_views(options, reports))


def run_layout(options: argparse.Namespace) -> int:
    """`lstm-oracle layout`."""
    from reference.oracle.discovery import discover
    from reference.oracle.files import RunFileError

    try:
        found = discover(options.run)
    except (TypeError, ValueError) as error:
        return unusable(str(error) if isinstance(error, RunFileError) else f"{options.run}: {error}")
    print(json.dumps(found.to_json(), indent=2, ensure_ascii=False) if options.json else found)
    return 0 if found.ok else 1


def run_vectors(options: argparse.Namespace) -> int:
    """`lstm-oracle vectors`."""
    if not find_spec("flint"):
        return unusable("flint is not installed: pip install 'lstm-oracle[oracle]'")
    from reference.oracle.files import RunFileError
    from reference.oracle.vectors import DTYPES
    from reference.oracle.vectors.files import write

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
    """Write the page and the badge, if they are asked for; the status of that."""
    status = 0
    if options.html is not None:
        from reference.oracle.page import page

        status = write("--html", options.html, page(reports))
    if options.badge is not None:
        from reference.oracle.badge import badge

        status = max(status, write("--badge", options.badge, json.dumps(badge(reports)) + "\n"))
    return status


def write(option: str, file: str, text: str) -> int:
    """Write what an option asks for; the status of that."""
    try:
        Path(file).write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        return unusable(f"{option} {file}: {error.strerror}")
    print(f"Saved {file}", file=sys.stderr)
    return 0


def unusable(why: str) -> int:
    """Say why a request cannot be met."""
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
