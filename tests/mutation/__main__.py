"""Every mutant killed: change the code in one place at a time, and see a test fail each time.

    python -m tests.mutation [FILE …] [--jobs N] [--fresh]

The mutants are cosmic-ray's and those of `operators`, its record is kept in `.mutants`, and a run that is cut short
goes on where it stopped. After a change of a test alone, those that were killed count as killed; `--fresh` tries all
again. The exit status is 1 if a mutant
survives that `equivalent.toml` does not list, or if it lists one that does not.
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
from tests.mutation.report import SUITES, Score, equivalents, print_scores, write
from tests.mutation.runner import Runner

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def main() -> int:
    parser = argparse.ArgumentParser(prog="make mutants", description="Change the code in one place at a time.")
    parser.add_argument("files", nargs="*", help="the files to change; all that suites.toml names if none are given")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="mutants tried at a time (one for each core)")
    parser.add_argument("--fresh", action="store_true", help="try again what was killed before")
    options = parser.parse_args()
    known = [file for suite in SUITES for file in suite["files"]]
    if unknown := [file for file in options.files if file not in known]:
        parser.error(f"{unknown[0]} is in no suite of {HERE / 'suites.toml'}")
    start = time.perf_counter()
    scores: dict[str, Score] = {}
    kept = ROOT / ".mutants"
    kept.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mutants") as folder, use_db(str(kept / "session.sqlite")) as session:
        if options.fresh:
            session.clear()
        for suite in SUITES:
            asked = options.files or suite["files"]
            files = [file for file in suite["files"] if file in asked]
            if files:
                scores |= run(suite, files, session, Path(folder), options.jobs)
    found = {file: scores[file] for file in known if file in scores}
    ok = print_scores(found, equivalents(), time.perf_counter() - start)
    if not options.files:
        write(ROOT, found, equivalents())
    return 0 if ok else 1


def run(suite: dict, files: list[str], session: WorkDB, folder: Path, jobs: int) -> dict[str, Score]:
    """Try the mutants of these files that were not killed before."""
    todo: queue.SimpleQueue[Mutant] = queue.SimpleQueue()
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
                todo.put(mutant)
    if todo.qsize():
        print(f"{', '.join(files)}: {todo.qsize()} mutants to try", file=sys.stderr)
        with_threads(suite, todo, scores, session, folder, jobs)
    return scores


def with_threads(
    suite: dict, todo: queue.SimpleQueue[Mutant], scores: dict[str, Score], session: WorkDB, folder: Path, jobs: int
) -> None:
    """Each thread has a pytest of its own; the first one learns what autodiff says of the right program."""
    lock, failed = threading.Lock(), []

    def work(k: int) -> None:
        runner = Runner(ROOT, folder / str(k), suite)
        try:
            with lock:
                runner.baseline()
            for mutant in pending(todo):
                by, seconds = runner.judge(mutant.file, mutant.code)
                with lock:
                    keep(session, mutant, by)
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


def pending(todo: queue.SimpleQueue[Mutant]) -> Iterator[Mutant]:
    while not todo.empty():
        try:
            yield todo.get_nowait()
        except queue.Empty:
            return


def keep(session: WorkDB, mutant: Mutant, by: str) -> None:
    """Note in the session what came of a mutant."""
    outcome = TestOutcome.KILLED if by else TestOutcome.SURVIVED
    diff = "\n".join([*(f"-{line}" for line in mutant.before), *(f"+{line}" for line in mutant.after)])
    session.set_result(mutant.item.job_id, WorkResult(WorkerOutcome.NORMAL, by, outcome, diff))


if __name__ == "__main__":
    sys.exit(main())
