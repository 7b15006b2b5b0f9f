"""Test vectors in files: JSON with its schema, in the manner of Wycheproof, and one `.npz` for each.

Every number in the JSON is a float64 in the fewest digits that give it back to the bit; of a float32
vector every one is a float32 as well. So any parser that reads into doubles is exact. An array is its
shape and its entries in one flat list, the last axis running fastest. The same vectors are written to
the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from lstm_oracle.diagnosis.bugs import CATALOGUE
from lstm_oracle.inputs.files import RunFileError, write_run
from lstm_oracle.run import INPUTS, Array, DType, sizes_of
from lstm_oracle.vectors.exposure import Effect
from lstm_oracle.vectors.flags import FLAGS, flags_of
from lstm_oracle.vectors.vector import DRAWS, Draws, Vector, vectors

SCHEMA = "lstm_vectors.schema.json"
WIDTH = 120

HEADER = (
    "An LSTM over T steps of B rows, D inputs, H units, and the gradients of a loss through all of it.",
    "For each gate k of f, i, g, o: z_k = h_prev @ W_k + x @ U_k + b_k; f, i, o = sigmoid(z), g = tanh(z).",
    "C = C_prev * f + i * g; h = tanh(C) * o; h_prev and C_prev of the first step are h0 and C0.",
    "dh is the loss gradient that arrives at h of every step; dh_T and dC_T arrive, besides, at the last h and C.",
    "dW_f … db_o, dx, dh0, dC0 are the gradients of that loss: of the weights summed over steps and rows.",
    "Shapes: W_k (H,H), U_k (D,H), b_k (H), x (T,B,D), h0 and C0 (B,H), dh, h and C (T,B,H), dh_T, dC_T, C_T (B,H).",
    "'data' holds an array's entries, the last axis running fastest: entry (t,b,j) of h is data[(t*B + b)*H + j].",
    "Expected values are the exact ones, rounded once to the dtype of the file; the inputs are exact as they stand.",
    "Entry n of an output may be off by tolerance[floor(n * tolerance.length / data.length)], an absolute number.",
    "'flags' say why a vector is there, 'exposes' which mistakes make which outputs wrong; 'notes' explains both.",
    "'perhaps' are outputs that such a mistake may change too little to be told from rounding.",
    "'stops' are the mistakes with which a program would stop here with an error: axes that do not fit.",
)


def write(folder: Path, dtypes: Sequence[DType], draws: Draws = DRAWS) -> list[Path]:
    """Write the vectors of these dtypes, and their schema, into a new or empty folder.

    Raises:
        RunFileError: the folder has something in it.
        OSError: it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise RunFileError(f"{folder}: the folder is not empty; expected a new or an empty one")
    return list(_written(folder, dtypes, draws))


def _written(folder: Path, dtypes: Sequence[DType], draws: Draws) -> Iterator[Path]:
    yield _text(folder / SCHEMA, files("lstm_oracle.vectors").joinpath(SCHEMA).read_text(encoding="utf-8"))
    for dtype in dtypes:
        found = vectors(dtype, draws)
        yield _text(folder / f"lstm_{dtype}.json", to_json(dtype, found))
        for number, vector in enumerate(found, 1):
            path = folder / f"lstm_{dtype}_{number:02}.npz"
            write_run(path, vector.case.inputs | vector.expected)
            yield path


def _text(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def to_json(dtype: DType, found: Sequence[Vector]) -> str:
    """The vectors of one dtype."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for number, vector in enumerate(found, 1):
        groups.setdefault(vector.group, []).append(_test(number, vector))
    document = {
        "algorithm": "LSTM",
        "schema": SCHEMA,
        "generatorVersion": version("lstm-oracle"),
        "header": HEADER,
        "dtype": dtype.name,
        "numberOfTests": len(found),
        "notes": _notes(found),
        "testGroups": [{"type": group, "tests": tests} for group, tests in groups.items()],
    }
    return _laid_out(document) + "\n"


def _test(number: int, vector: Vector) -> dict[str, Any]:
    """One vector, as the schema has it."""
    return {
        "tcId": number,
        "comment": str(vector.case),
        "flags": flags_of(vector),
        "sizes": sizes_of(vector.case.inputs),
        "inputs": {name: _array(vector.case.inputs[name]) for name in INPUTS},
        "expected": {n: _array(a) | {"tolerance": vector.tolerances[n]} for n, a in vector.expected.items()},
        "exposes": _alike(vector.effects),
        "stops": list(vector.stops),
    }


def _array(array: Array) -> dict[str, Any]:
    return {"shape": list(array.shape), "data": [float(number) for number in array.flat]}


def _alike(effects: Mapping[str, Effect]) -> list[dict[str, list[str]]]:
    """The mistakes that make the same outputs wrong, together."""
    together: dict[Effect, list[str]] = {}
    for name, effect in effects.items():
        together.setdefault(effect, []).append(name)
    return [{"outputs": [*e.outputs], "perhaps": [*e.perhaps], "mistakes": names} for e, names in together.items()]


def _notes(found: Sequence[Vector]) -> dict[str, dict[str, Any]]:
    """What the flags and the mistakes of these vectors mean."""
    flags = {name for vector in found for name in flags_of(vector)}
    mistakes = {name for vector in found for name in (*vector.effects, *vector.stops)}
    why = {
        name: {"bugType": flag.kind, "description": flag.description, "effect": flag.effect}
        for name, flag in FLAGS.items()
        if name in flags
    }
    what = {
        bug.id: {"bugType": bug.kind, "description": bug.text, "links": list(bug.seen_in)}
        for bug in CATALOGUE.values()
        if bug.id in mistakes
    }
    return why | what


def _laid_out(value: Any, indent: str = "") -> str:
    """JSON of which each line holds what fits on it, or one array of numbers."""
    line = json.dumps(value, ensure_ascii=False, allow_nan=False)
    inner = indent + "  "
    if len(indent + line) <= WIDTH or not isinstance(value, dict | list | tuple):
        return line
    if isinstance(value, dict):
        lines = [f"{json.dumps(key)}: {_laid_out(item, inner)}" for key, item in value.items()]
        return "{\n" + inner + f",\n{inner}".join(lines) + f"\n{indent}}}"
    if isinstance(value[0], float):
        return line
    return "[\n" + inner + f",\n{inner}".join(_laid_out(item, inner) for item in value) + f"\n{indent}]"
