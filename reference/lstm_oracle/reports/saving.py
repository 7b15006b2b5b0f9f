"""Saves a failing run, as arrays that can be judged again, or as a Python script that needs no oracle."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np

from lstm_oracle.inputs.files import write_run
from lstm_oracle.inputs.weight_layout import OWN_LAYOUT
from lstm_oracle.reports.verdict import Verdict, versions
from lstm_oracle.run import OUTPUTS, Array

SUFFIXES = (".npz", ".py")

SCRIPT = '''\
"""{title}

Written by lstm-oracle {version}. Requires NumPy and the LSTM that is judged. To run: python {file}
"""

import numpy as np

{imports}

def array(values, *shape):
    return np.array(values, dtype="{dtype}").reshape(shape)


inputs = {{
{inputs}
}}

# The correct value of every output, by autodiff in float64, and the rounding tolerance.
expected = {{
{expected}
}}

outputs = adapter(**inputs)
wrong = []
for name, (exact, allowed) in expected.items():
    if name in outputs:
        got = np.asarray(outputs[name], dtype="float64")
        error = np.abs(got - exact) if got.shape == exact.shape else np.inf
        if not np.all(error <= allowed):
            wrong.append(name)
            print(f"{{name}} differs by up to {{np.max(error):.3g}}; the rounding tolerance is {{np.max(allowed):.3g}}")
            print("got", got, "expected", exact, sep="\\n")
assert not wrong, f"wrong: {{', '.join(wrong)}}"
print("correct:", ", ".join(outputs))
'''

PROGRAM = """\
import subprocess
import tempfile
from pathlib import Path


def adapter(**inputs):
    with tempfile.TemporaryDirectory() as folder:
        given, returned = Path(folder, "inputs"), Path(folder, "outputs")
        given.mkdir()
        returned.mkdir()
        for name, value in inputs.items():
            np.save(given / f"{{name}}.npy", value)
        subprocess.run([*{command}, given, returned], check=True)
        return {{file.stem: np.load(file) for file in returned.glob("*.npy")}}

"""


def save(path: Path, verdict: Verdict) -> None:
    """Write the smallest failing run of a verdict.

    Raises:
        ValueError: nothing failed.
        OSError: the file cannot be written.
    """
    if verdict.ok or verdict.failing is None:
        raise ValueError("nothing failed, so there is no run to save")
    if path.suffix == ".npz":
        write_run(path, verdict.failing.inputs | verdict.failing.outputs)
    else:
        path.write_text(script(path.name, verdict), encoding="utf-8")


def script(file: str, verdict: Verdict) -> str:
    """Return a Python script that shows the failure without the oracle, to be saved under the name `file`."""
    run = verdict.failing
    assert run is not None
    dtype = run.inputs["x"].dtype
    expected = []
    for name in OUTPUTS:
        exact = run.truth.blocks[name]
        allowed = np.broadcast_to(run.truth.absolute_tolerance(name, dtype), exact.shape)
        expected.append(f'    "{name}": ({literal(exact)}, {literal(allowed)}),')
    return SCRIPT.format(
        title=f"{verdict.subject} fails on {run.id}.",
        version=versions()["lstm-oracle"],
        file=file,
        imports=imports(verdict.target, verdict.layout),
        dtype=dtype.name,
        inputs="\n".join(f'    "{name}": array({values(array)}),' for name, array in run.inputs.items()),
        expected="\n".join(expected),
    )


def imports(target: str | None, layout: str) -> str:
    """Return the lines that import or define `adapter`, which uses the names of a run for inputs and outputs."""
    if layout != OWN_LAYOUT:
        translated = f"adapter = in_own_layout(adapter, {layout!r})\n"
        return (
            f"from lstm_oracle.inputs.weight_layout import in_own_layout\n{imports(target, OWN_LAYOUT)}\n{translated}"
        )
    if target is None:
        return "from your_package import adapter  # replace this by your adapter\n"
    if target.startswith("exec:"):
        return PROGRAM.format(command=shlex.split(target.removeprefix("exec:")))
    module, _, name = target.partition(":")
    first, _, rest = name.partition(".")
    if rest:
        return f"from {module} import {first}\n\nadapter = {name}\n"
    return f"from {module} import {first} as adapter\n"


def values(array: Array) -> str:
    """Return the arguments of the script's function `array`: the values in full precision, and the shape."""
    return f"{array.ravel().tolist()}, {', '.join(map(str, array.shape))}"


def literal(array: Array) -> str:
    """Return a float64 array as an expression."""
    return f"np.array({array.ravel().tolist()}).reshape({array.shape})"
