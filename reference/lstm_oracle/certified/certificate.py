"""The hand derivation with certified digits: a proof beyond floating point.

`manual.bptt` itself, which is `manual.derivation` over time, runs here on balls (`flint.arb`): numbers with a bound on
their error that accounts for all rounding. Each of its results encloses the exact value of the derived formula. So
does each result of `manual.fused`, which regroups the same formulas. `lstm_oracle.certified.series` encloses the exact
derivative of the loss by a forward pass only. `certify` compares the two to 50 digits or more, in every gradient and,
for `manual.bptt`, on all 26 edges of every step.

What a certificate proves: on this run, every number that was compared differs from the derivative by at most 10⁻⁵⁰
of its magnitude, with all rounding accounted for, provided that FLINT and the forward equations are correct. The
numbers are every gradient and every edge (by="entry"), or one number per direction (by="block", by="all"). With
probability one, it proves more. For given sizes both sides are analytic functions of the inputs, made of sums,
products, quotients, exp and tanh, without a branch or a pole. Their difference is analytic too, and an analytic
function that is not zero everywhere is zero only on a set of measure zero. A wrong formula therefore differs at almost
every point. A wrong gradient is orthogonal to almost no direction, so that one random direction through all entries
tests all of them.

What a certificate does not prove: that the difference is zero rather than below 10⁻⁵⁰; anything about other sizes
T, B, D and H, except that the formulas are the same; anything about floating point. For floating point there is
`rounded`, which returns the values that a floating-point LSTM should come close to.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, TypeVar

import numpy as np
from flint import arb

from lstm_oracle.certified.series import Balls, derivative, precision
from lstm_oracle.run import GATES, WEIGHTS, Array, DType, complete
from manual import bptt
from manual.derivation import Edges
from manual.params import KernelParams

FIRST_BITS = 1 << 8
MOST_BITS = 1 << 14
By = Literal["entry", "block", "all"]
EdgesOf = Callable[[Edges], Edges]  # makes the dictionary of a step's edges
Result = TypeVar("Result")

ball = np.frompyfunc(lambda number: arb(float(number)), 1, 1)


@dataclass(frozen=True)
class Certificate:
    """To how many digits the derivation provably agrees with the derivative of the loss."""

    twin: str
    entries: int  # of gradients and edges that were compared, one by one or in a direction
    directions: int
    digits: float  # the decimal digits, relative to the value, to which every comparison agrees
    bits: int  # of the balls
    mismatch: str | None  # what provably differs

    @property
    def ok(self) -> bool:
        """True if all comparisons agree to the required digits."""
        return self.mismatch is None


def certify(
    run: Mapping[str, Any],
    digits: float = 50,
    by: By = "entry",
    seed: int = 0,
    edges: EdgesOf = dict,
    twin: ModuleType = bptt,
) -> Certificate:
    """Compare the derivation with the derivative of the loss, to this many decimal digits.

    Args:
        run: the inputs of a run.
        digits: the number of decimal digits to which the two have to agree.
        by: "entry" compares every entry of every block, "block" each block along a random direction, "all" all blocks
            along one random direction.
        seed: the seed of the random directions.
        edges: as for `manual.bptt.gradients`.
        twin: `manual.bptt`, or `manual.fused`, of which only the gradients are certified.

    Raises:
        ArithmeticError: a value cannot be enclosed to so many digits.
        TypeError, ValueError: not the inputs of a run, or an input that is not finite.
    """

    def attempt(balls: Balls, bits: int) -> Certificate | None:
        return compare(balls, derived(balls, edges, twin), twin, bits, digits, by, seed)

    return at_increasing_precision(complete(run), attempt)


def enclosed(run: Mapping[str, Any], digits: float = 50) -> dict[str, Array]:
    """Return every block of a run, as balls that are exactly zero or certain to this many decimal digits.

    Raises:
        ArithmeticError, TypeError, ValueError: as for `certify`.
    """

    def attempt(balls: Balls, bits: int) -> dict[str, Array] | None:
        blocks = derived(balls)
        numbers = (arb(number) for block in blocks.values() for number in block.flat)
        is_certain = all(number.rel_accuracy_bits() > digits * math.log2(10) for number in numbers)
        return blocks if is_certain else None

    return at_increasing_precision(complete(run), attempt)


def rounded(run: Mapping[str, Any], dtype: DType | None = None) -> dict[str, Array]:
    """Return every block of a run, correctly rounded: each entry is the number of the dtype nearest the exact value.

    As in IEEE 754, ties go to even, a magnitude below half the smallest subnormal number becomes zero, and one beyond
    the largest number becomes infinite.

    Args:
        run: the inputs of a run.
        dtype: float32 or float64; by default that of the run.

    Raises:
        ArithmeticError, TypeError, ValueError: as for `certify`.
    """
    inputs = complete(run)
    to_dtype: DType = inputs["x"].dtype if dtype is None else np.dtype(dtype)
    nearest = np.frompyfunc(Rounding(to_dtype).nearest, 1, 1)

    def attempt(balls: Balls, bits: int) -> dict[str, Array] | None:
        blocks = {name: np.asarray(nearest(block)) for name, block in derived(balls).items()}
        if any(number is None for block in blocks.values() for number in block.flat):
            return None
        return {name: block.astype(to_dtype) for name, block in blocks.items()}

    return at_increasing_precision(inputs, attempt)


def at_increasing_precision(inputs: Mapping[str, Array], attempt: Callable[[Balls, int], Result | None]) -> Result:
    """Call `attempt` with the inputs as balls, and their bits, and return its result at the first sufficient precision.

    Args:
        inputs: the inputs of a complete run.
        attempt: returns None if the balls are too wide.

    Raises:
        ArithmeticError: the balls are still too wide at MOST_BITS.
        ValueError: an input is not finite.
    """
    if wrong := [name for name, array in inputs.items() if not np.isfinite(array).all()]:
        raise ValueError(f"{wrong[0]} has entries that are not finite; expected only finite numbers")
    bits = FIRST_BITS
    while bits <= MOST_BITS:
        with precision(bits):
            balls = {name: np.asarray(ball(array), object).reshape(array.shape) for name, array in inputs.items()}
            result = attempt(balls, bits)
        if result is not None:
            return result
        bits *= 2
    raise ArithmeticError(
        f"balls of {MOST_BITS} bits are still too wide; is a value exactly zero because its terms cancel, or is a gate "
        "or a tanh saturated?"
    )


def derived(inputs: Balls, edges: EdgesOf = dict, twin: ModuleType = bptt) -> dict[str, Array]:
    """Return all blocks of a run of balls as a twin computes them.

    The names are those of `truth.batch.BLOCKS`; only `manual.bptt` has the edges δ1 … δ26.
    """
    recorded: list[Edges] = []

    def record(arriving: Edges) -> Edges:
        recorded.append(edges(arriving))
        return recorded[-1]

    params = KernelParams(*(np.concatenate([inputs[f"{kind}_{k}"] for k in GATES], axis=-1) for kind in "WUb"))
    tape = twin.run(params, inputs["x"], inputs["h0"], inputs["C0"])
    upstream = inputs["dh"], inputs["dh_T"], inputs["dC_T"]
    gradients = bptt.gradients(tape, *upstream, edges=record) if twin is bptt else twin.gradients(tape, *upstream)
    blocks = {name: getattr(tape, name) for name in ("f", "i", "g", "o", "C", "tanh_C", "h", "C_T")}
    if recorded:
        blocks |= {f"δ{n}": np.stack([δ[n] for δ in reversed(recorded)]) for n in sorted(recorded[0])}
    blocks |= {f"d{name}": d for name, d in gradients.params.gates().items()}
    return blocks | {"dx": gradients.x, "dh0": gradients.h0, "dC0": gradients.C0}


def compare(
    balls: Balls, blocks: Balls, twin: ModuleType, bits: int, digits: float, by: By, seed: int
) -> Certificate | None:
    """Return the certificate for the blocks of a twin; None if the balls are too wide for so many digits."""
    name = twin.__name__.removeprefix("manual.")
    gradients = {block: blocks[block] for block in blocks if block[0] == "δ"}
    gradients |= {block: blocks[f"d{block}"] for block in (*WEIGHTS, "x", "h0", "C0")}
    agreed, entries, count = math.inf, 0, 0
    for place, direction in directions(gradients, by, np.random.default_rng(seed)):
        by_derivation = sum((np.sum(gradients[block] * v) for block, v in direction.items()), arb(0))
        by_series = derivative_if_enclosed(balls, direction)
        if by_series is None:
            return None
        agreeing = common_digits(by_derivation, by_series)
        if not by_derivation.overlaps(by_series):
            mismatch = f"{place} is {by_derivation.str(60)} as derived, {by_series.str(60)} by series"
            return Certificate(name, entries, count, agreeing, bits, mismatch)
        agreed = min(agreed, agreeing)
        if agreed < digits:
            return None
        entries += int(sum(np.count_nonzero(v) for v in direction.values()))
        count += 1
    return Certificate(name, entries, count, agreed, bits, None)


def derivative_if_enclosed(balls: Balls, direction: Balls) -> arb | None:
    """Return the derivative of the loss along a direction; None if the balls are too wide to divide by."""
    try:
        return derivative(balls, direction)
    except ValueError as error:
        if "denominator" not in str(error):  # of FLINT: a series that begins with a ball around zero has no inverse
            raise
        return None


def directions(gradients: Balls, by: By, rng: np.random.Generator) -> Iterator[tuple[str, Balls]]:
    """Yield directions through blocks of these shapes, each with a description of where it leads.

    With by="entry", edges come first, from the last step to the first, so that the first entry that differs is the
    first error of the backward pass.
    """
    if by == "entry":
        places = [(name, index) for name, block in gradients.items() for index in np.ndindex(block.shape)]
        for name, index in sorted(places, key=lambda place: -place[1][0] if place[0][0] == "δ" else 1):
            unit = np.zeros(gradients[name].shape, object)
            unit[index] = 1
            yield f"{name}{list(index)}", {name: unit}
        return
    drawn = {name: np.asarray(ball(rng.normal(size=block.shape)), object) for name, block in gradients.items()}
    if by == "all":
        yield "a direction through all blocks", drawn
    else:
        yield from ((f"a direction through {name}", {name: v}) for name, v in drawn.items())


def common_digits(a: arb, b: arb) -> float:
    """Return the number of decimal digits, relative to their magnitude, to which two numbers certainly agree."""
    difference, magnitude = abs(a - b).upper(), max(abs(a).lower(), abs(b).lower())
    if difference == 0:
        return math.inf
    is_bounded = magnitude > 0 and difference.is_finite()  # a ball may contain all numbers, or be undefined
    return float((magnitude / difference).log_base(10).mid()) if is_bounded else -math.inf


class Rounding:
    """Rounds balls to the nearest number of a dtype, by integer arithmetic."""

    def __init__(self, dtype: DType) -> None:
        info = np.finfo(dtype)
        self.largest, self.digits, self.least_exponent = float(info.max), info.nmant + 1, int(info.minexp) - info.nmant

    def nearest(self, number: Any) -> float | None:
        """Return the number nearest to every number in a ball; None if there is no single one."""
        number = arb(number)
        if not number.is_finite():
            return None
        lower, upper = (self.nearest_to(*map(int, end.man_exp())) for end in (number.lower(), number.upper()))
        return lower if lower == upper else None

    def nearest_to(self, mantissa: int, exponent: int) -> float:
        """Return the number nearest to mantissa · 2 ** exponent."""
        last_place = max(exponent + mantissa.bit_length() - self.digits, self.least_exponent)  # as a power of 2
        cut = last_place - exponent
        if cut > mantissa.bit_length() + 1:
            return 0.0
        if cut > 0:
            mantissa, remainder = divmod(mantissa, 1 << cut)
            half = 1 << (cut - 1)
            mantissa += remainder > half or (remainder == half and mantissa % 2 == 1)
            exponent = last_place
        try:
            number = math.ldexp(mantissa, exponent)
        except OverflowError:
            number = math.copysign(math.inf, mantissa)
        return number if abs(number) <= self.largest else math.copysign(math.inf, mantissa)
