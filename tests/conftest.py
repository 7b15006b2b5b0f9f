"""Two Hypothesis profiles, selected by HYPOTHESIS_PROFILE, and the test files that run first.

    fast   for every run: the same examples each time, in shapes that JAX compiles once
    deep   for long runs: many examples, new ones each time, also in shapes of any size

The header of a deep run has the command that repeats it.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pytest
from hypothesis import settings

PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "fast")
# The first file locates a mistake in the derivation, where a later test could only show that there is one. A second
# process starts with the second file, which does not depend on the derivation.
FIRST = ("test_derivation.py", "test_lstm.py")

settings.register_profile("fast", deadline=None, derandomize=True, max_examples=50)
settings.register_profile("deep", deadline=None, print_blob=True, max_examples=3000)
settings.load_profile(PROFILE)

# Parallel processes, the commands that tests start, and later runs share what JAX has compiled.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "compiled"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")


@pytest.hookimpl(tryfirst=True)  # before Hypothesis reads its option
def pytest_configure(config: pytest.Config) -> None:
    if PROFILE == "deep" and config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = str(secrets.randbits(32))


def pytest_report_header(config: pytest.Config) -> str:
    seed = config.option.hypothesis_seed
    repeat = "" if seed is None else f"; to repeat: HYPOTHESIS_PROFILE={PROFILE} pytest --hypothesis-seed={seed}"
    return f"examples: {PROFILE}{repeat}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: FIRST.index(item.path.name) if item.path.name in FIRST else len(FIRST))
