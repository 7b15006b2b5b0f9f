"""A cache of what autodiff computes, so that mutants which do not change autodiff need not compute it again."""

from __future__ import annotations

import hashlib
import os
import pickle
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

FILE = Path(os.environ.get("MUTATION_CACHE", "truths.pickle"))
# The code that computes a truth. The file outlives a change of this code, so that every key depends on the code.
PACKAGE = Path(__file__).parents[2] / "reference/lstm_oracle"
SOURCES = [PACKAGE / "run.py", *sorted((PACKAGE / "autodiff").glob("*.py")), PACKAGE / "truth/batch.py"]
STATE = hashlib.sha256(b"".join(source.read_bytes() for source in SOURCES)).digest()
known: dict[bytes, bytes] = {}
new: dict[bytes, bytes] = {}


def load() -> None:
    """Load the file, before any mutant is written."""
    if FILE.exists():
        known.update(pickle.loads(FILE.read_bytes()))


def save() -> None:
    """Write the file if anything was computed."""
    if new:
        FILE.write_bytes(pickle.dumps({**known, **new}, protocol=5))


def install() -> None:
    """Cache the blocks of padded runs; without effect if a mutant cannot be imported, because its tests fail anyway."""
    try:
        from lstm_oracle.truth import batch
    except Exception:
        return
    batch.compiled = with_cache(batch.compiled, (batch.padded_blocks, batch.float32_errors))


def with_cache(compiled: Callable[..., Any], functions: Sequence[Any]) -> Callable[..., Any]:
    """Return `compiled` with a cache for these functions only; other functions may be under test."""

    def compiled_with_cache(function: Any, multi_threaded: bool = False) -> Any:
        call = compiled(function, multi_threaded)

        def cached(*inputs: Any) -> Any:
            name = key(function.__name__, inputs)
            packed = known.get(name) or new.get(name)
            if packed is None:  # compressed, because most of a batch is padding
                result = jax.tree.map(np.asarray, call(*inputs))
                packed = new[name] = zlib.compress(pickle.dumps(result, protocol=5), 1)
            return pickle.loads(zlib.decompress(packed))

        return cached if function in functions else call

    return compiled_with_cache


def key(function: str, inputs: Any) -> bytes:
    """Return a key that depends on the function and on every bit of its inputs."""
    digest = hashlib.blake2b(STATE + function.encode(), digest_size=16)
    for array in map(np.asarray, jax.tree.leaves(inputs)):
        digest.update(f"{array.shape}{array.dtype}".encode() + np.ascontiguousarray(array).tobytes())
    return digest.digest()
