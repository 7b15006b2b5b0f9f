"""How much error is rounding: the one policy by which the oracle calls two numbers equal.

An error is measured in *units*: multiples of eps · scale, where the scale of a block at step t is
the size of what enters that step, so that neither a vanished value nor a large step elsewhere sets
the measure. Every edge of a step is linear in the three gradients that arrive (δ1, δ2, δ4), with
coefficients of at most 1 but where C_prev multiplies; edges 17 to 26 and the weights' gradients are
sums of such terms, whose rounding errors add as a random walk does (root of the sum of squares).
A sigmoid may be off by eps however small it is, for (1 + tanh(z/2)) / 2 is an honest way to compute
it; and then so may h. Where f or h is a factor of a scale it counts as `SMALLEST` at least.

What one run does to rounding errors over time is not in the scale. It is measured: of each block a
float32 evaluation by autodiff loses so many units, and an honest implementation may lose `MARGIN`
times as many. Where a run amplifies errors, one direction outgrows all others, and what is lost is a
random number times a size that is the run's. One evaluation may be lucky: of two normal numbers, the
first is more than 8 times the second with a probability of 0.08. So a run is suspected that loses
more than the rounding of its sums explains, which is about √(D + H) units. Then `NEIGHBOURS` runs are
evaluated besides whose inputs are a unit of rounding away, and what counts is the root of the sum of
squares of all that is lost: a normal number is more than 8 times that of eight others with a
probability of 1.5e-8 (Student's t of 8 degrees of freedom). Or an implementation may lose `PER_STEP`
units at every step, for a cell state that hardly changes is rounded the same way at each: the sigmoid
f by one unit, its product and the sum by half of one; or `LEAST` units, whatever is most.
`make false-alarms` measures this on honest and on wrong implementations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from reference.run import GATES, Array, DType

LEAST = 64.0
MARGIN = 8.0
PER_STEP = 2.0
FAR_BELOW = 1 / 4  # of a tolerance: so small an error is right, and no reason to find out how much more is allowed
SUSPECT = 1.5  # times √(D + H)
NEIGHBOURS = 7
SMALLEST = 1 / 16
MOST_ROUNDING = 0.01


def scales(inputs: Mapping[str, Array], truth: Mapping[str, Array], rows: Array | float = 1.0) -> dict[str, Array]:
    """The scale of every block of a run, as an array of as many dimensions: (T, 1, 1) where it has steps.

    Several runs of one shape may be stacked, with as many more dimensions in front.

    Args:
        inputs: a complete run.
        truth: its blocks in float64, the edges `δ1` … `δ26` among them.
        rows: (1, B, 1), zero for batch rows that only pad the run, else one. Whatever pads it is zero.
    """
    h_prev, C_prev = (np.concatenate([at(inputs[f"{s}0"]), truth[s]], axis=-3)[..., :-1, :, :] for s in "hC")
    arriving = np.maximum.reduce([largest(truth[δ]) for δ in ("δ1", "δ2", "δ4")])
    let_through = np.max(truth["f"], axis=(-2, -1), initial=SMALLEST, keepdims=True)
    arriving = handed_back(arriving, let_through)  # where δ4 cancels, the error that came with it stays
    cell = np.maximum(1, largest(C_prev))
    gate = arriving * cell
    to_h, to_x = (gate * largest_norm([inputs[f"{s}_{k}"] for k in GATES]) for s in "WU")
    one = np.ones_like(gate)

    scale = dict.fromkeys(("f", "i", "g", "o", "tanh_C", "h"), one) | {"C": cell}
    scale |= {f"δ{n}": gate for n in range(3, 17)}
    scale |= {f"δ{n}": to_x for n in (17, 19, 21, 23, 26)} | {f"δ{n}": to_h for n in (18, 20, 22, 24, 25)}
    scale |= {"δ1": arriving, "δ2": later(to_h, arriving), "δ4": later(gate, arriving)}
    scale |= {"dx": to_x, "dh0": first(to_h, inputs["dh_T"]), "dC0": first(gate, inputs["dC_T"])}
    scale["C_T"] = np.max(cell[..., -1:, :, :], axis=-3, initial=1)
    h_prev = np.maximum(np.abs(h_prev), SMALLEST) * rows
    for factor, values in {"W": h_prev, "U": inputs["x"], "b": np.ones_like(h_prev) * rows}.items():
        by_step = gate[..., 0] * np.max(np.linalg.norm(values, axis=-2), axis=-1, initial=0, keepdims=True)
        over_time = np.sqrt(np.sum(by_step**2, axis=-2, keepdims=factor in "WU"))
        scale |= {f"d{factor}_{k}": over_time for k in GATES}
    return scale


def unit(scale: Array, dtype: DType) -> Array:
    """One unit of rounding.

    A number below the normal range counts as zero: JAX, among others, flushes it.
    """
    info = np.finfo(dtype)
    return info.eps * scale + info.tiny


def units(error: Array, scale: Array, dtype: DType) -> Array:
    """An error in units of rounding; infinite where it is not a number, or the scale is out of the range."""
    with np.errstate(over="ignore"):
        in_units = np.abs(error) / unit(scale, dtype)
    return np.where(np.isfinite(in_units) & np.isfinite(scale), in_units, np.inf)


def tolerance(loss: float, steps: int) -> float:
    """How many units of error an honest implementation may have in a block of a run.

    Args:
        loss: how many units float32 evaluations by autodiff lose there.
        steps: T.
    """
    return max(LEAST, PER_STEP * steps, MARGIN * loss)


def suspected(loss: float, steps: int, terms: int) -> bool:
    """Whether a run that loses so many units may amplify errors, rather than round sums of so many terms, D + H.

    Where its steps allow for more than `LEAST`, that many times as much is no reason yet.
    """
    return loss > SUSPECT * max(1, terms) ** 0.5 * tolerance(0, steps) / LEAST


def tells(loss: float, steps: int, dtype: DType) -> bool:
    """Whether a run that loses so many units of its worst block tells right from wrong in a precision.

    Else rounding alone may change it beyond 1 %; or changes so much in float32 that what is lost
    there is no measure any more of what another precision loses.
    """
    most = tolerance(loss, steps) * float(np.finfo(dtype).eps), loss * float(np.finfo(np.float32).eps)
    return max(most) < MOST_ROUNDING


def at(state: Array) -> Array:
    """A state as that of one step, (1, B, H)."""
    return state[..., None, :, :]


def largest(block: Array) -> Array:
    """The largest magnitude at every step, (T, 1, 1)."""
    return np.max(np.abs(block), axis=(-2, -1), initial=0, keepdims=True)


def largest_norm(matrices: Sequence[Array]) -> Array:
    """The largest Euclidean norm of a row of these matrices side by side, at least 1; (1, 1, 1)."""
    rows = np.concatenate(matrices, axis=-1).astype(np.float64)
    return at(np.max(np.linalg.norm(rows, axis=-1, keepdims=True), axis=-2, initial=1, keepdims=True))


def handed_back(arriving: Array, let_through: Array) -> Array:
    """The most that arrives at a step, or at a later one and is let through by the steps between; all (T, 1, 1)."""
    passed = earlier(let_through, 1)
    reach = 1  # steps ahead that are seen by now
    while reach < arriving.shape[-3]:
        arriving = np.maximum(arriving, passed * earlier(arriving, reach))
        passed = passed * earlier(passed, reach)
        reach *= 2
    return arriving


def earlier(block: Array, steps: int) -> Array:
    """A block moved so many steps to the front, with zeros behind."""
    moved = np.zeros_like(block)
    moved[..., : block.shape[-3] - steps, :, :] = block[..., steps:, :, :]
    return moved


def later(scale: Array, arriving: Array) -> Array:
    """What arrives at a step left the one after it, or came from above."""
    found = arriving.copy()
    np.maximum(scale[..., 1:, :, :], arriving[..., :-1, :, :], out=found[..., :-1, :, :])
    return found


def first(scale: Array, arriving: Array) -> Array:
    """The scale of the first step, or of what passes through where there is none; (1, 1)."""
    return scale[..., 0, :, :] if scale.shape[-3] else largest(arriving)
