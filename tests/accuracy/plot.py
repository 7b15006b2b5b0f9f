"""Plots the rounding error against T, as an SVG that is legible on light and dark backgrounds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
from measure import LENGTHS, SUBJECTS, Error

from lstm_oracle.inputs.cases import REGIMES
from lstm_oracle.run import OUTPUTS

matplotlib.use("svg")
import matplotlib.pyplot as plt

GREY = "#727b85"  # with equal contrast to white and to a dark page
COLOURS = "#2f81f7", "#2da44e", "#d9730d", "#a371f7", "#e5534b", "#1b9aaa", "#b08800"
MARKERS = "o", "s", "^", "D", "v", "P", "X"
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "lstm-oracle",  # equal figures give equal files
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), GREY),
    "legend.labelcolor": GREY,
    "grid.color": GREY,
    "grid.alpha": 0.25,
}


def draw(errors: list[Error], path: Path) -> None:
    errors = [error for error in errors if error.block in OUTPUTS]
    with plt.rc_context(STYLE):
        figure, (left, middle, right) = plt.subplots(1, 3, figsize=(10, 3.9), layout="constrained")
        for *style, subject in zip(COLOURS, MARKERS, SUBJECTS, strict=False):
            for line, dtype in (("-", "float64"), (":", "float32")):
                some = [e for e in errors if (e.subject, e.dtype) == (subject, dtype)]
                label = f"{'autodiff' if subject == 'JAX' else subject}, {dtype}"
                over_time(left, some, typical, *style, line, label)
                over_time(middle, some, usual_worst, *style, line, label)
        for *style, regime in zip(COLOURS, MARKERS, REGIMES, strict=True):
            some = [e for e in errors if e.subject == "bptt" and e.dtype == "float64" and e.regime == regime]
            over_time(right, some, worst, *style, "-", regime)
        left.set(title="Relative error of a result", ylabel="‖error‖ / (eps ‖truth‖), median", ylim=(0, None))
        middle.set(title="Worst entry of a run", ylabel="error / (eps · scale), median", ylim=(0, None))
        right.set(title="Worst entry of all runs, bptt, float64", ylabel="error / (eps · scale)", yscale="log")
        for axes in (left, middle, right):
            axes.set(xscale="log", xlabel="T, the number of steps")
            axes.set_xticks(list(LENGTHS), labels=[f"{T}" for T in LENGTHS])
            axes.minorticks_off()
            axes.grid(True)
            axes.title.set_fontsize(11)
        left.legend()
        right.legend(ncols=2, columnspacing=1)
        figure.savefig(
            path, transparent=True, metadata={"Date": None, "Title": "Rounding error against the number of steps"}
        )
        plt.close(figure)


def typical(errors: list[Error]) -> float:
    return float(np.median([error.norm for error in errors]))


def usual_worst(errors: list[Error]) -> float:
    by_run: dict[tuple[str, int], float] = {}
    for e in errors:
        by_run[e.regime, e.run] = max(by_run.get((e.regime, e.run), 0), e.units)
    return float(np.median(list(by_run.values())))


def worst(errors: list[Error]) -> float:
    return max(error.units for error in errors)


def over_time(
    axes: plt.Axes,
    errors: list[Error],
    figure: Callable[[list[Error]], float],
    colour: str,
    marker: str,
    line: str,
    label: str,
) -> None:
    lengths = sorted({e.T for e in errors})
    points = [figure([e for e in errors if e.T == T]) for T in lengths]
    axes.plot(lengths, points, line, color=colour, label=label, marker=marker, markersize=3.5, linewidth=1.6)
