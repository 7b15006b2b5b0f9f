"""Test vectors in files: JSON with a schema, in the style of Wycheproof, and one `.npz` file for each vector.

Every number in the JSON is a float64, in the fewest digits from which the same bits are read back; in a float32 vector,
every number is a float32 as well. Any parser that reads numbers as doubles is therefore exact. An array is given by
its shape and a flat list of its entries, in which the last axis varies fastest. The same vectors are always written to
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
WIDTH = 120  # of a line, unless the line is a list of numbers

HEADER = (
    "An LSTM over T steps with B rows, D inputs and H units, and the gradients of a loss through all steps.",
    "For each gate k of f, i, g, o: z_k = h_prev @ W_k + x @ U_k + b_k; f, i, o = sigmoid(z), g = tanh(z).",
    "C = C_prev * f + i * g; h = tanh(C) * o; h_prev and C_prev of the first step are h0 and C0.",
    "dh is the loss gradient arriving at h of every step; dh_T and dC_T arrive in addition at the last h and C.",
    "dW_f … db_o, dx, dh0, dC0 are the gradients of the loss; those of the weights are sums over steps and rows.",
    "Shapes: W_k (H,H), U_k (D,H), b_k (H), x (T,B,D), h0 and C0 (B,H), dh, h and C (T,B,H), dh_T, dC_T, C_T (B,H).",
    "'data' has the entries of an array, the last axis varying fastest: entry (t,b,j) of h is data[(t*B + b)*H + j].",
    "Expected values are the exact values, rounded once to the dtype of the file; the inputs are exact as given.",
    "Entry n of an output may be off by tolerance[floor(n * tolerance.length / data.length)], an absolute number.",
    "'flags' say why a vector is included, 'exposes' which mistakes make which outputs wrong; 'notes' explains both.",
    "'borderline' are outputs that such a mistake changes by about the tolerance: they may be wrong or not.",
    "'raises' are the mistakes with which a program would raise an error here, because axes do not fit each other.",
)


def write(folder: Path, dtypes: Sequence[DType], draws: Draws = DRAWS) -> list[Path]:
    """Write the vectors of these dtypes, and the schema, into a new or empty folder, and return the paths.

    Raises:
        RunFileError: the folder is not empty.
        OSError: the folder or a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise RunFileError(f"{folder}: the folder is not empty; expected a new or empty folder")
    return list(written_files(folder, dtypes, draws))


def written_files(folder: Path, dtypes: Sequence[DType], draws: Draws) -> Iterator[Path]:
    """Write one file after the other and yield the path of each."""
    yield write_text(folder / SCHEMA, files("lstm_oracle.vectors").joinpath(SCHEMA).read_text(encoding="utf-8"))
    for dtype in dtypes:
        found = vectors(dtype, draws)
        yield write_text(folder / f"lstm_{dtype}.json", to_json(dtype, found))
        for number, vector in enumerate(found, 1):
            path = folder / f"lstm_{dtype}_{number:02}.npz"
            write_run(path, vector.case.inputs | vector.expected)
            yield path


def write_text(path: Path, text: str) -> Path:
    """Write a text to a file, with the same bytes on every platform, and return the path."""
    path.write_bytes(text.encode())
    return path


def to_json(dtype: DType, found: Sequence[Vector]) -> str:
    """Return the JSON document of the vectors of one dtype."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for number, vector in enumerate(found, 1):
        groups.setdefault(vector.group, []).append(vector_json(number, vector))
    document = {
        "algorithm": "LSTM",
        "schema": SCHEMA,
        "generatorVersion": version("lstm-oracle"),
        "header": HEADER,
        "dtype": dtype.name,
        "numberOfTests": len(found),
        "notes": notes(found),
        "testGroups": [{"type": group, "tests": tests} for group, tests in groups.items()],
    }
    return formatted(document) + "\n"


def vector_json(number: int, vector: Vector) -> dict[str, Any]:
    """Return a vector as JSON."""
    return {
        "tcId": number,
        "comment": str(vector.case),
        "flags": flags_of(vector),
        "sizes": sizes_of(vector.case.inputs),
        "inputs": {name: array_json(vector.case.inputs[name]) for name in INPUTS},
        "expected": {n: array_json(a) | {"tolerance": vector.tolerances[n]} for n, a in vector.expected.items()},
        "exposes": exposed_json(vector.effects),
        "raises": list(vector.raising),
    }


def array_json(array: Array) -> dict[str, Any]:
    """Return an array as JSON."""
    return {"shape": list(array.shape), "data": [float(number) for number in array.flat]}


def exposed_json(effects: Mapping[str, Effect]) -> list[dict[str, list[str]]]:
    """Return effects as JSON, each with all mistakes that have it."""
    mistakes: dict[Effect, list[str]] = {}
    for name, effect in effects.items():
        mistakes.setdefault(effect, []).append(name)
    return [
        {"outputs": list(effect.outputs), "borderline": list(effect.borderline), "mistakes": names}
        for effect, names in mistakes.items()
    ]


def notes(found: Sequence[Vector]) -> dict[str, dict[str, Any]]:
    """Return what the flags and the mistakes of these vectors mean."""
    flags = {name for vector in found for name in flags_of(vector)}
    mistakes = {name for vector in found for name in (*vector.effects, *vector.raising)}
    of_flags = {
        name: {"bugType": flag.kind, "description": flag.description, "effect": flag.effect}
        for name, flag in FLAGS.items()
        if name in flags
    }
    of_mistakes = {
        bug.id: {"bugType": bug.kind, "description": bug.text, "links": list(bug.seen_in)}
        for bug in CATALOGUE.values()
        if bug.id in mistakes
    }
    return of_flags | of_mistakes


def formatted(value: Any, indent: str = "") -> str:
    """Return JSON in which each line has what fits on it, or one list of numbers."""
    line = json.dumps(value, ensure_ascii=False, allow_nan=False)
    inner = indent + "  "
    if len(indent + line) <= WIDTH or not isinstance(value, dict | list | tuple):
        return line
    if isinstance(value, dict):
        lines = [f"{json.dumps(key)}: {formatted(item, inner)}" for key, item in value.items()]
        return "{\n" + inner + f",\n{inner}".join(lines) + f"\n{indent}}}"
    if isinstance(value[0], float):
        return line
    return "[\n" + inner + f",\n{inner}".join(formatted(item, inner) for item in value) + f"\n{indent}]"
