"""What autodiff said of every run, so that a mutant which does not touch it need not ask again."""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(os.environ.get("MUTATION_MEMORY", "memory.pickle"))
known: dict[bytes, dict[str, Any]] = {}
news: dict[bytes, dict[str, Any]] = {}


def load() -> None:
    if FILE.exists():
        known.update(pickle.loads(FILE.read_bytes()))


def save() -> None:
    if news:
        FILE.write_bytes(pickle.dumps({**known, **news}, protocol=5))


def install() -> None:
    """Put a memory before `reference.oracle.truth.evaluate`; where that module fails on import, the tests will too."""
    try:
        from reference.oracle import truth
    except Exception:
        return
    truth.evaluate = remembering(truth.evaluate)


def remembering(evaluate: Callable[..., list[dict[str, Any]]]) -> Callable[..., list[dict[str, Any]]]:
    def remembered(function: Any, cases: Sequence[Any], dtype: Any, lanes: int = 32) -> list[dict[str, Any]]:
        keys = [key(function.__name__, case, dtype) for case in cases]
        asked = [k for k, name in enumerate(keys) if name not in known and name not in news]
        for k, found in zip(asked, evaluate(function, [cases[k] for k in asked], dtype, lanes), strict=True):
            news[keys[k]] = found
        return [dict(known.get(name) or news[name]) for name in keys]

    return remembered


def key(function: str, case: Any, dtype: Any) -> bytes:
    parts = [function, np.dtype(dtype).name, *(f"{name}{array.shape}{array.dtype}" for name, array in case.inputs.items())]
    digest = hashlib.blake2b("|".join(parts).encode(), digest_size=16)
    for array in case.inputs.values():
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.digest()
