"""The measurements as a table on the terminal, as Markdown, and as a plot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.benchmarks.lines import shares

PEERS = {
    "gemms": "its GEMMs alone",
    "calls": "its calls alone",
    "literal": "manual.bptt",
    "torch": "PyTorch",
    "jax": "JAX",
    "onnxruntime": "ONNX Runtime",
}
TASKS = {"both": "Forward and backward", "forward": "Forward alone, no tape"}
LISTED = [((64, 64, 256, 512), "float32"), ((1000, 8, 64, 128), "float64")]  # whose lines are shown
ABLATIONS = {
    "without_workspaces": "workspaces",
    "without_jacobians": "Jacobians",
    "without_single": "kernels for one sequence, with Jacobians",
}
GREY = "#727b85"  # legible on white and on black
COLOURS = {"torch": "#d1495b", "jax": "#00798c", "onnxruntime": "#8d6a9f", "gemms": "#8a8f98"}


def tables(found: dict[str, Any]) -> dict[str, list[list[str]]]:
    """Return all tables by title: rows, of which the first is the header."""
    made = {}
    for threads in ("one", "all"):
        for task, title in TASKS.items():
            rows = [row for row in found["races"] if (row["threads"], row["task"]) == (threads, task)]
            peers = [name for name in PEERS if any(name in row["ratio"] for row in rows)]
            if rows:
                head = ["T, B, D, H", "dtype", "manual, ms", *(f"/ {PEERS[name]}" for name in peers)]
                cells = [
                    [sizes(row), row["dtype"], f"{row['ms']:.3g}"]
                    + [f"{row['ratio'][name]:.2f}" if name in row["ratio"] else "–" for name in peers]
                    for row in rows
                ]
                plural = "one thread" if threads == "one" else "all threads"
                made[f"{title}, {plural}: time relative to each peer, below 1 is faster"] = [head, *cells]
    if found["lines"]:
        parts = [(row, shares(row["lines"])) for row in found["lines"]]
        made["Where manual spends its time: forward and backward, one thread, %"] = [
            ["T, B, D, H", "dtype", *parts[0][1]],
            *([sizes(row), row["dtype"], *(f"{100 * part:.0f}" for part in kinds.values())] for row, kinds in parts),
        ]
    head = ["T, B, D, H", "dtype", "to be kept", "peak", "with checkpoints"]
    cells = [
        [sizes(row), row["dtype"]]
        + ["–" if row[key] is None else f"{row[key]:.0f}" for key in ("must", "whole", "checkpointed")]
        for row in found["memory"]
    ]
    made[
        "Memory of forward and backward above the inputs, MiB; to be kept: f i g o C tanh(C) h of every step, and dx"
    ] = [
        head,
        *cells,
    ]
    if found.get("gains"):
        made["What optimisations gain, forward and backward, float32, one thread: time without / time with them"] = [
            ["T, B, D, H", *ABLATIONS.values()],
            *([sizes(row), *(f"{row['ratio'][name]:.2f}" for name in ABLATIONS)] for row in found["gains"]),
        ]
    if found["growth"]:
        rows = [[row["dim"], str(row["size"]), f"{row['ms']:.3g}"] for row in found["growth"]]
        made["Growth: forward and backward, float32, one thread, other sizes 256, 16, 64, 64"] = [
            ["size", "value", "ms"],
            *rows,
        ]
    return made


def sizes(row: dict[str, Any]) -> str:
    """Return T, B, D and H as a table shows them."""
    return ", ".join(map(str, row["shape"]))


def one_thread(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the races of forward and backward on one thread."""
    return [row for row in found["races"] if (row["threads"], row["task"]) == ("one", "both")]


def limits(found: dict[str, Any]) -> str:
    """Return how much of the time of peers the calls alone and the products alone take."""
    one = [row for row in one_thread(found) if row["shape"][1] == 1]
    large = [row for row in one_thread(found) if row["shape"][3] >= 128 and row["dtype"] == "float32"]
    texts = []
    if calls := span(one, "calls", "jax"):
        texts.append(
            f"For one sequence, the NumPy calls alone take {calls} of the time of JAX, which compiles the loop."
        )
    if products := span(large, "gemms", "torch"):
        texts.append(f"From 128 units on, the products alone take {products} of the time of PyTorch in float32.")
    slowest = max((row for row in large if "torch" in row["ratio"]), key=lambda row: row["shape"][3], default=None)
    if slowest and slowest["ratio"]["gemms"] > slowest["ratio"]["torch"] > 1:
        rest = slowest["ratio"]["gemms"] - 1
        wanted = slowest["ratio"]["gemms"] / slowest["ratio"]["torch"] - 1
        texts.append(
            f"To be as fast at {sizes(slowest)}, everything except products would have to take {100 * wanted:.0f} % of "
            f"the time of the products instead of {100 * rest:.0f} %."
        )
    return " ".join(texts)


def listings(found: dict[str, Any]) -> dict[str, list[str]]:
    """Return the lines of `manual` that take most of the time, by title."""
    return {
        f"{sizes(row)}, {row['dtype']}: lines that take at least 1 % of the time": [
            f"{100 * share:4.1f} %  {place:26}  {text}" for place, text, share in row["lines"] if share >= 0.01
        ]
        for row in found["lines"]
        if (tuple(row["shape"]), row["dtype"]) in LISTED
    }


def span(rows: list[dict[str, Any]], part: str, peer: str) -> str:
    """Return the time of a part of `manual` relative to a peer, from smallest to largest; empty without the peer."""
    parts = [100 * row["ratio"][peer] / row["ratio"][part] for row in rows if peer in row["ratio"]]
    return f"{min(parts):.0f} to {max(parts):.0f} %" if parts else ""


def caption(found: dict[str, Any]) -> str:
    """Return the machine, the versions and the import time."""
    known = dict(found["machine"])
    place = f"{known.pop('cpu')}, {known.pop('cores')} cores, {known.pop('system')}, {known.pop('date')}"
    versions = ", ".join(f"{name} {number}" for name, number in known.items())
    imports = found["import_ms"]
    return (
        f"{place}; {versions}. Medians of the ratios within rounds in which all take turns. "
        f"`import manual` adds {imports['manual']:.0f} ms to the {imports['numpy']:.0f} ms of NumPy."
    )


def show(found: dict[str, Any]) -> None:
    """Print the tables."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120
    for title, (head, *rows) in tables(found).items():
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1))
        for name in head:
            table.add_column(name, justify="left" if name in ("T, B, D, H", "dtype", "size") else "right")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    console.print(limits(found))
    console.print(caption(found))


def markdown(found: dict[str, Any]) -> str:
    """Return all tables as Markdown."""
    parts = []
    for title, (head, *rows) in tables(found).items():
        rule = ["---" if name in ("T, B, D, H", "dtype", "size") else "--:" for name in head]
        lines = ["| " + " | ".join(row) + " |" for row in (head, rule, *rows)]
        parts.append(f"{title}\n\n" + "\n".join(lines))
    parts += [f"{title}\n\n```text\n" + "\n".join(lines) + "\n```" for title, lines in listings(found).items()]
    return "\n\n".join([*parts, limits(found), caption(found)]) + "\n"


def plot(found: dict[str, Any], path: Path) -> None:
    """Plot the time relative to each peer, forward and backward, on one thread."""
    try:
        import matplotlib as mpl
    except ImportError:
        print(f"{path.name} is not drawn: matplotlib is not installed")
        return
    mpl.use("svg")
    mpl.rcParams |= {"svg.hashsalt": "speed", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9}
    mpl.rcParams |= dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), GREY
    )
    import matplotlib.pyplot as plt

    rows = one_thread(found)
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    for axis, dtype in zip(axes, ("float32", "float64"), strict=True):
        some = [row for row in rows if row["dtype"] == dtype]
        for k, name in enumerate(name for name in ("torch", "jax", "gemms") if any(name in r["ratio"] for r in some)):
            at = [n + 0.27 * (k - 1) for n in range(len(some))]
            above = [row["ratio"].get(name, 1) - 1 for row in some]  # bars start at 1, upwards or downwards
            axis.bar(at, above, 0.25, bottom=1, color=COLOURS[name], label=PEERS[name])
        axis.axhline(1, color=GREY, linewidth=0.8)
        axis.set(yscale="log", title=dtype, xticks=range(len(some)))
        axis.set_xticklabels(["\n".join(map(str, row["shape"])) for row in some])
        axis.set_yticks([0.125, 0.25, 0.5, 1, 2, 4, 8], ["⅛", "¼", "½", "1", "2", "4", "8"])
        axis.minorticks_off()
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set(ylabel="manual's time / its time", xlabel="T\nB\nD\nH")
    axes[0].xaxis.set_label_coords(-0.06, -0.03)
    axes[1].legend(frameon=False)
    figure.savefig(path, metadata={"Date": None}, transparent=True)
