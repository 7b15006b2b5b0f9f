"""Changes the code in one place at a time, and checks that a test fails each time.

    python -m tests.mutation [FILE …] [--jobs N] [--fresh]

The mutants are those of cosmic-ray and of `operators`. Results are stored in `.mutants`, so that an interrupted run
continues where it stopped. If only tests change, mutants that were killed before count as killed; `--fresh` tries all
of them again. The exit status is 1 if a mutant survives that `equivalent.toml` does not list, or if the list is stale.
"""

from __future__ import annotations

import argparse
import os
import queue
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import TestOutcome, WorkerOutcome, WorkResult

from tests.mutation.mutants import Mutant, mutants
from tests.mutation.report import ROOT, SUITES, Score, equivalents, print_scores, write
from tests.mutation.runner import Runner


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="make mutants", description="Run the tests on changed code.")
    parser.add_argument("files", nargs="*", help="files to change; by default all that suites.toml names")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count(), help="mutants to test at a time; by default one per core"
    )
    parser.add_argument("--fresh", action="store_true", help="also test mutants that were killed before")
    options = parser.parse_args()
    known = [file for suite in SUITES for file in suite["files"]]
    if unknown := [file for file in options.files if file not in known]:
        parser.error(f"{unknown[0]!r} is in no suite; expected a file that suites.toml names")
    start = time.perf_counter()
    scores: dict[str, Score] = {}
    stored = ROOT / ".mutants"
    stored.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mutants") as folder, use_db(str(stored / "session.sqlite")) as session:
        if options.fresh:
            session.clear()
        for suite in SUITES:
            requested = options.files or suite["files"]
            files = [file for file in suite["files"] if file in requested]
            if files:
                scores |= judge_files(suite, files, session, Path(folder), options.jobs)
    found = {file: scores[file] for file in known if file in scores}
    ok = print_scores(found, equivalents(), time.perf_counter() - start)
    if not options.files:
        write(ROOT, found, equivalents())
    return 0 if ok else 1


def judge_files(suite: dict, files: list[str], session: WorkDB, folder: Path, jobs: int) -> dict[str, Score]:
    """Test the mutants of these files that were not killed before, and return the score of each file."""
    remaining: queue.SimpleQueue[Mutant] = queue.SimpleQueue()
    done = dict(session.results)
    items = {item.job_id for item in session.work_items}
    scores = {file: Score(mutants(ROOT, file)) for file in files}
    for score in scores.values():
        session.add_work_items(mutant.item for mutant in score.mutants if mutant.item.job_id not in items)
        for mutant in score.mutants:
            before = done.get(mutant.item.job_id)
            if before is not None and before.test_outcome == TestOutcome.KILLED:
                score.killed[mutant] = before.output or ""
            else:
                remaining.put(mutant)
    if remaining.qsize():
        print(f"{', '.join(files)}: {remaining.qsize()} mutants to test", file=sys.stderr)
        judge_in_threads(suite, remaining, scores, session, folder, jobs)
    return scores


def judge_in_threads(
    suite: dict,
    remaining: queue.SimpleQueue[Mutant],
    scores: dict[str, Score],
    session: WorkDB,
    folder: Path,
    jobs: int,
) -> None:
    """Test mutants in threads, each with its own pytest process; the first thread fills the cache for the others."""
    lock, failed = threading.Lock(), []

    def work(k: int) -> None:
        runner = Runner(ROOT, folder / str(k), suite)
        try:
            with lock:
                runner.baseline()
            for mutant in items_of(remaining):
                by, seconds = runner.judge(mutant.file, mutant.code)
                with lock:
                    store(session, mutant, by)
                    scores[mutant.file].seconds += seconds
                    if by:
                        scores[mutant.file].killed[mutant] = by
                    else:
                        print(f"survived: {mutant}", file=sys.stderr, flush=True)
        except Exception as error:
            failed.append(error)
            raise
        finally:
            runner.close()

    threads = [threading.Thread(target=work, args=(k,), daemon=True) for k in range(max(1, jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise SystemExit(f"the tests could not be run: {failed[0]}")


def items_of(remaining: queue.SimpleQueue[Mutant]) -> Iterator[Mutant]:
    """Take mutants from a queue until it is empty."""
    while not remaining.empty():
        try:
            yield remaining.get_nowait()
        except queue.Empty:
            return


def store(session: WorkDB, mutant: Mutant, by: str) -> None:
    """Store the result of a mutant: the test that killed it, or ""."""
    outcome = TestOutcome.KILLED if by else TestOutcome.SURVIVED
    diff = "\n".join([*(f"-{line}" for line in mutant.before), *(f"+{line}" for line in mutant.after)])
    session.set_result(mutant.item.job_id, WorkResult(WorkerOutcome.NORMAL, by, outcome, diff))


if __name__ == "__main__":
    sys.exit(main())
