"""The rounding tolerance: the one policy by which the oracle calls two numbers equal.

**Units.** An error is measured in units of rounding, which are multiples of eps · scale. The scale of a block at step
t is the magnitude of what enters this step, so that it depends neither on values that vanish within the step nor on
large values at other steps. Every edge of a step is linear in the three gradients that arrive (δ1, δ2, δ4), with
coefficients of at most 1 except where C_prev is a factor. Edges 17 to 26 and the weight gradients are sums of such
terms, whose rounding errors accumulate like a random walk (as the root of the sum of squares). A sigmoid may have an
absolute error of eps even where its value is small, because (1 + tanh(z/2)) / 2 is a legitimate formula, and then so
may h. Where f or h is a factor of a scale, it therefore counts as at least `SMALLEST_FACTOR`.

**Losses.** The scale does not account for the amplification of rounding errors over time. This is measured: a float32
evaluation by autodiff loses so many units of each block, and a correct implementation may lose `MARGIN` times as many.
Where a run amplifies errors, one direction outgrows all others, so that the loss is a random number times a magnitude
of the run, and one evaluation may lose little by chance: of two normal numbers, the first is more than 8 times the
second with probability 0.08. A run is therefore suspected of amplification if it loses more than the rounding of its
sums explains, which is about √(D + H) units. Then `NEIGHBOURS` runs whose inputs differ by about one unit of rounding
are evaluated as well, and the root of the sum of squares of all losses counts: a normal number is more than 8 times
that of eight others with probability 1.5e-8 (Student's t with 8 degrees of freedom).

**Floors.** Independently of losses, an implementation may lose `PER_STEP` units at every step, because a cell state
that hardly changes is rounded in the same direction at each step: the sigmoid f by one unit, and its product with
C_prev and the sum by half a unit each. It may also lose `LEAST` units. The largest of these bounds is the tolerance.

`make false-alarms` measures this policy on correct and on incorrect implementations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lstm_oracle.run import GATES, Array, DType

LEAST = 64.0  # units
MARGIN = 8.0  # times the loss
PER_STEP = 2.0  # units
EARLY_ACCEPT_FRACTION = 1 / 4  # of a tolerance: a smaller error is accepted without measuring any larger tolerance
SUSPECT = 1.5  # times √(D + H)
NEIGHBOURS = 7
SMALLEST_FACTOR = 1 / 16
MOST_ROUNDING = 0.01  # relative change of a block by rounding, on a well-conditioned run

Scales = dict[str, Array]


def scales(inputs: Mapping[str, Array], truth: Mapping[str, Array], rows: Array | float = 1.0) -> Scales:
    """Return the scale of every block of a run: (T, 1, 1) for blocks with steps, (1, 1) or (1,) for the others.

    Several runs of one shape may be stacked along additional leading dimensions.

    Args:
        inputs: the inputs of a complete run.
        truth: its blocks f, h, C, δ1, δ2 and δ4 in float64.
        rows: (1, B, 1), one for the rows of the run and zero for padding rows. All padding is zero.
    """
    h_prev, C_prev = (np.concatenate([as_step(inputs[f"{s}0"]), truth[s]], axis=-3)[..., :-1, :, :] for s in "hC")
    cell = np.maximum(1, largest(C_prev))
    arriving = arriving_scale(truth)
    gate = arriving * cell
    to_h, to_x = (gate * largest_row_norm([inputs[f"{s}_{k}"] for k in GATES]) for s in "WU")
    factors = {"W": np.maximum(np.abs(h_prev), SMALLEST_FACTOR) * rows, "U": inputs["x"]}
    factors["b"] = np.ones_like(h_prev) * rows
    return (
        value_scales(cell)
        | edge_scales(arriving, gate, to_h, to_x)
        | {"dx": to_x, "dh0": at_first_step(to_h, inputs["dh_T"]), "dC0": at_first_step(gate, inputs["dC_T"])}
        | {f"d{kind}_{k}": weight_scale(kind, factor, gate) for kind, factor in factors.items() for k in GATES}
    )


def arriving_scale(truth: Mapping[str, Array]) -> Array:
    """Return the largest gradient that arrives at each step, (T, 1, 1), or at a later step and is passed back.

    Later steps count because the error of δ4 remains even where δ7 and δ4 cancel.
    """
    arriving = np.maximum.reduce([largest(truth[δ]) for δ in ("δ1", "δ2", "δ4")])
    f = np.max(truth["f"], axis=(-2, -1), initial=SMALLEST_FACTOR, keepdims=True)
    return largest_passed_back(arriving, f)


def value_scales(cell: Array) -> Scales:
    """Return the scales of the values of a step, where the cell state has the scale `cell`, (T, 1, 1)."""
    one = np.ones_like(cell)
    scale = dict.fromkeys(("f", "i", "g", "o", "tanh_C", "h"), one)
    return scale | {"C": cell, "C_T": np.max(cell[..., -1:, :, :], axis=-3, initial=1)}


def edge_scales(arriving: Array, gate: Array, to_h: Array, to_x: Array) -> Scales:
    """Return the scales of all edges, each (T, 1, 1).

    Args:
        arriving: the scale of the gradients that arrive at each step.
        gate: the scale of the edges within a step.
        to_h, to_x: the scales of the edges from the gates to h_prev and to x.
    """
    scale = {"δ1": arriving, "δ2": of_next_step(to_h, arriving), "δ4": of_next_step(gate, arriving)}
    scale |= {f"δ{n}": gate for n in (3, *range(5, 17))}
    scale |= {f"δ{n}": to_x for n in (17, 19, 21, 23, 26)}
    return scale | {f"δ{n}": to_h for n in (18, 20, 22, 24, 25)}


def weight_scale(kind: str, factor: Array, gate: Array) -> Array:
    """Return the scale of dW or dU, (1, 1), or of db, (1,).

    This is the root of the sum over time of (gate · norm over the batch rows of the factor)².
    """
    by_step = gate[..., 0] * np.max(np.linalg.norm(factor, axis=-2), axis=-1, initial=0, keepdims=True)
    return np.sqrt(np.sum(by_step**2, axis=-2, keepdims=kind in "WU"))


def unit(scale: Array, dtype: DType) -> Array:
    """Return one unit of rounding for each scale: eps · scale, plus the smallest normal number.

    The second term allows results below the normal range to be flushed to zero, as JAX does among others.
    """
    info = np.finfo(dtype)
    return info.eps * scale + info.tiny


def units(error: Array, scale: Array, dtype: DType) -> Array:
    """Return an absolute error in units of rounding; infinite where the error or the scale is not finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        in_units = np.abs(error) / unit(scale, dtype)
    return np.where(np.isfinite(in_units) & np.isfinite(scale), in_units, np.inf)


def tolerance(loss: float, steps: int) -> float:
    """Return how many units a correct implementation may lose in a block of a run.

    Args:
        loss: how many units float32 evaluations by autodiff lose in this block.
        steps: T.
    """
    return max(LEAST, PER_STEP * steps, MARGIN * loss)


def is_suspected(loss: float, steps: int, terms: int) -> bool:
    """Return whether a run loses so much that it may amplify errors.

    The threshold is what the rounding of sums of D + H terms explains. It rises in proportion where the floor of
    PER_STEP units at every step exceeds LEAST.

    Args:
        loss: how many units a float32 evaluation loses of the worst block.
        steps: T.
        terms: D + H.
    """
    return loss > SUSPECT * max(1, terms) ** 0.5 * tolerance(0, steps) / LEAST


def is_well_conditioned(loss: float, steps: int, dtype: DType) -> bool:
    """Return whether a run distinguishes correct from incorrect implementations in a precision.

    On an ill-conditioned run, rounding alone may change a block by more than MOST_ROUNDING, or float32 loses so much
    that its loss no longer measures what another precision loses.

    Args:
        loss: how many units float32 evaluations lose of the worst block.
        steps: T.
        dtype: the precision.
    """
    worst = tolerance(loss, steps) * float(np.finfo(dtype).eps), loss * float(np.finfo(np.float32).eps)
    return max(worst) < MOST_ROUNDING


def as_step(state: Array) -> Array:
    """Return a state (B, H) as an array with one step, (1, B, H)."""
    return state[..., None, :, :]


def largest(block: Array) -> Array:
    """Return the largest magnitude in a block at every step, (T, 1, 1)."""
    return np.max(np.abs(block), axis=(-2, -1), initial=0, keepdims=True)


def largest_row_norm(matrices: Sequence[Array]) -> Array:
    """Return the largest Euclidean norm of a row of these matrices side by side, but at least 1; (1, 1, 1)."""
    rows = np.concatenate(matrices, axis=-1).astype(np.float64)
    return as_step(np.max(np.linalg.norm(rows, axis=-1, keepdims=True), axis=-2, initial=1, keepdims=True))


def largest_passed_back(arriving: Array, f: Array) -> Array:
    """Return the maximum, over each step and all later ones, of `arriving` there times every f passed on the way back.

    All arrays are (T, 1, 1).

    Each iteration doubles the distance that is covered, so that log2(T) iterations suffice.
    """
    passed = shifted_back(f, 1)
    distance = 1
    while distance < arriving.shape[-3]:
        arriving = np.maximum(arriving, passed * shifted_back(arriving, distance))
        passed = passed * shifted_back(passed, distance)
        distance *= 2
    return arriving


def shifted_back(block: Array, steps: int) -> Array:
    """Return a copy of a block shifted by so many steps towards the first step, with zeros at the last steps."""
    shifted = np.zeros_like(block)
    shifted[..., : block.shape[-3] - steps, :, :] = block[..., steps:, :, :]
    return shifted


def of_next_step(scale: Array, arriving: Array) -> Array:
    """Return the scale of the gradient that arrives at every step from the next step, or from beyond the last one."""
    from_next = arriving.copy()
    np.maximum(scale[..., 1:, :, :], arriving[..., :-1, :, :], out=from_next[..., :-1, :, :])
    return from_next


def at_first_step(scale: Array, arriving: Array) -> Array:
    """Return the scale at the first step, (1, 1); without steps, the scale of the upstream gradient that arrives."""
    return scale[..., 0, :, :] if scale.shape[-3] else largest(arriving)
