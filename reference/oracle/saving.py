"""A failing run in a file: as arrays to be judged again, or as Python that shows the failure by itself."""

from __future__ import annotations

import shlex
from importlib.metadata import version
from pathlib import Path

import numpy as np

from reference.oracle import tolerance
from reference.oracle.files import write_run
from reference.oracle.laid_out import OWN
from reference.oracle.report import Report
from reference.run import OUTPUTS, Array

SUFFIXES = (".npz", ".py")

SCRIPT = '''\
"""{title}

Written by lstm-oracle {version}; needs NumPy and the LSTM that is judged. Run it: python {file}
"""

import numpy as np

{imports}

def array(values, *shape):
    return np.array(values, dtype="{dtype}").reshape(shape)


inputs = {{
{inputs}
}}

# What every output should be, by autodiff in float64, and how far rounding may take it from there.
expected = {{
{expected}
}}

outputs = adapter(**inputs)
wrong = []
for name, (right, allowed) in expected.items():
    if name in outputs:
        got = np.asarray(outputs[name], dtype="float64")
        error = np.abs(got - right) if got.shape == right.shape else np.inf
        if not np.all(error <= allowed):
            wrong.append(name)
            print(f"{{name}} differs by up to {{np.max(error):.3g}}, where rounding may do {{np.max(allowed):.3g}}")
            print("got", got, "expected", right, sep="\\n")
assert not wrong, f"wrong: {{', '.join(wrong)}}"
print("right:", ", ".join(outputs))
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


def save(path: Path, report: Report) -> None:
    """Write the smallest failing run of a report.

    Raises:
        ValueError: the report has none; OSError: the file cannot be written.
    """
    if report.ok or report.kept is None:
        raise ValueError("nothing failed, so there is no run to save")
    if path.suffix == ".npz":
        write_run(path, report.kept.inputs | report.kept.outputs)
    else:
        path.write_text(script(path.name, report), encoding="utf-8")


def script(file: str, report: Report) -> str:
    """The run as a Python file that shows the failure by itself."""
    kept = report.kept
    assert kept is not None
    dtype = kept.inputs["x"].dtype
    expected = []
    for name in OUTPUTS:
        right = kept.truth.blocks[name]
        unit = tolerance.unit(kept.truth.scales[name], dtype)
        allowed = np.broadcast_to(kept.truth.tolerances[name] * unit, right.shape)
        expected.append(f'    "{name}": ({literal(right)}, {literal(allowed)}),')
    return SCRIPT.format(
        title=f"What {report.subject} gives on {kept.which} is not what an LSTM gives.",
        version=version("lstm-oracle"),
        file=file,
        imports=imports(report.target, report.layout),
        dtype=dtype.name,
        inputs="\n".join(f'    "{name}": array({values(array)}),' for name, array in kept.inputs.items()),
        expected="\n".join(expected),
    )


def imports(target: str | None, layout: str) -> str:
    """The lines that bring `adapter`, which takes and returns the run's own names."""
    if layout != OWN:
        translated = f"adapter = in_manual(adapter, {layout!r})\n"
        return f"from reference.oracle.laid_out import in_manual\n{imports(target, OWN)}\n{translated}"
    if target is None:
        return "from your_package import adapter  # put your own here\n"
    if target.startswith("exec:"):
        return PROGRAM.format(command=shlex.split(target.removeprefix("exec:")))
    module, _, name = target.partition(":")
    first, _, rest = name.partition(".")
    if rest:
        return f"from {module} import {first}\n\nadapter = {name}\n"
    return f"from {module} import {first} as adapter\n"


def values(array: Array) -> str:
    """An array's values in full precision, flat, and its shape."""
    return f"{array.ravel().tolist()}, {', '.join(map(str, array.shape))}"


def literal(array: Array) -> str:
    """A float64 array as an expression."""
    return f"np.array({array.ravel().tolist()}).reshape({array.shape})"
