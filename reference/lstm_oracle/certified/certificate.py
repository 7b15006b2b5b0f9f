"""The hand derivation with certified digits: proof beyond floating point.

`manual.derivation` itself runs here on balls (`flint.arb`): numbers with a bound on their error that
holds in spite of all rounding. Each of its results encloses the exact value of the derived formula.
`manual.fused`, the same formulas regrouped, runs on balls just so.
`lstm_oracle.certified.series` encloses the exact derivative of the loss, by a forward pass alone. `certify` has
the two agree to 50 digits and more: in every gradient, and in all 26 edges of every step, which
`manual.bptt` alone has.

What that proves. At this run, with no doubt about rounding, every number compared lies within 10⁻⁵⁰
of the derivative, relatively: as proven as FLINT and the forward equations are right. By "entry" that
is every gradient and every edge, by "block" or "all" one number for each direction. And more, though
only with probability one. For given sizes both are analytic functions of the inputs, made of sums,
products and quotients, exp and tanh, without a branch or a pole; so is their difference, and an
analytic function that is not zero everywhere is zero only on a set of measure zero. So a wrong
formula differs at a random point, almost surely; and a wrong gradient is orthogonal to a random
direction, almost never: one direction through all entries tests them all.

What it does not prove: that the difference is zero, rather than below 10⁻⁵⁰; anything of other
sizes T, B, D, H, except that the formulas are the same; anything of floating point, which is what
`rounded` is for: the values that a floating-point LSTM should come close to.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, TypeVar

import numpy as np
from flint import arb

from lstm_oracle.certified.series import Balls, loss, precision
from lstm_oracle.run import GATES, WEIGHTS, Array, DType, complete
from manual import bptt
from manual.derivation import Edges
from manual.unit import unchecked

MOST_BITS = 1 << 14
By = Literal["entry", "block", "all"]
EdgesOf = Callable[[Edges], Edges]  # makes the dictionary that holds a step's edges
Result = TypeVar("Result")

ball = np.frompyfunc(lambda number: arb(float(number)), 1, 1)


@dataclass(frozen=True)
class Certificate:
    """How far the derivation and the derivative of the loss are proven to agree."""

    twin: str
    entries: int  # of gradients and edges that were compared, alone or in a direction
    directions: int
    digits: float  # the decimal digits, relative to the value, that every comparison agrees to
    bits: int  # of the balls
    mismatch: str | None  # what is proven to differ

    @property
    def ok(self) -> bool:
        """Whether every entry has the digits that were asked for."""
        return self.mismatch is None


def certify(
    run: Mapping[str, Any],
    digits: float = 50,
    by: By = "entry",
    seed: int = 0,
    edges: EdgesOf = dict,
    twin: ModuleType = bptt,
) -> Certificate:
    """Hold the derivation against the derivative of the loss, to this many decimal digits.

    Args:
        run: the inputs of a run.
        by: "entry", every entry of every block alone; "block", each block along a random direction;
            "all", one random direction through all blocks at once.
        seed: draws the directions.
        edges: as in `manual.bptt.gradients`.
        twin: `manual.bptt`, or `manual.fused`, of which the gradients are certified.

    Raises:
        ArithmeticError: a value cannot be enclosed to so many digits.
    """

    def compared(balls: Balls, bits: int) -> Certificate | None:
        return _compare(balls, derived(balls, edges, twin), twin, bits, digits, by, seed)

    return _refined(complete(run), compared)


def derived(inputs: Balls, edges: EdgesOf = dict, twin: ModuleType = bptt) -> dict[str, Array]:
    """All values and gradients of a run of balls by a twin, and `manual.bptt`'s edges; named as the oracle's blocks."""
    kept: list[Edges] = []

    def keep(arriving: Edges) -> Edges:
        kept.append(edges(arriving))
        return kept[-1]

    params = unchecked(*(np.concatenate([inputs[f"{kind}_{k}"] for k in GATES], axis=-1) for kind in "WUb"))
    tape = twin.run(params, inputs["x"], inputs["h0"], inputs["C0"])
    upstream = inputs["dh"], inputs["dh_T"], inputs["dC_T"]
    found = bptt.gradients(tape, *upstream, edges=keep) if twin is bptt else twin.gradients(tape, *upstream)
    blocks = {name: getattr(tape, name) for name in ("f", "i", "g", "o", "C", "tanh_C", "h", "C_T")}
    if kept:
        blocks |= {f"δ{n}": np.stack([δ[n] for δ in reversed(kept)]) for n in sorted(kept[0])}
    blocks |= {f"d{name}": d for name, d in found.params.gates().items()}
    return blocks | {"dx": found.x, "dh0": found.h0, "dC0": found.C0}


def enclosed(run: Mapping[str, Any], digits: float = 50) -> dict[str, Array]:
    """Every block of a run in balls that are certain to this many decimal digits, or exactly zero."""

    def certain(inputs: Balls, bits: int) -> dict[str, Array] | None:
        blocks = derived(inputs)
        numbers = (arb(number) for block in blocks.values() for number in block.flat)
        enough = all(number.rel_accuracy_bits() > digits * math.log2(10) for number in numbers)
        return blocks if enough else None

    return _refined(complete(run), certain)


def rounded(run: Mapping[str, Any], dtype: DType | None = None) -> dict[str, Array]:
    """Every block of a run, each entry correctly rounded: the floating-point number nearest the exact value.

    The dtype is float32 or float64, that of the run if missing. Ties go to even, as IEEE 754 has it;
    what is below half the smallest subnormal number is zero, what is beyond the largest infinite.
    """
    inputs = complete(run)
    into: DType = inputs["x"].dtype if dtype is None else np.dtype(dtype)
    nearest = np.frompyfunc(Rounding(into).nearest, 1, 1)

    def unambiguous(balls: Balls, bits: int) -> dict[str, Array] | None:
        found = {name: np.asarray(nearest(block)) for name, block in derived(balls).items()}
        if any(number is None for block in found.values() for number in block.flat):
            return None
        return {name: block.astype(into) for name, block in found.items()}

    return _refined(inputs, unambiguous)


class Rounding:
    """To the nearest number of a dtype, by integer arithmetic."""

    def __init__(self, dtype: DType) -> None:
        info = np.finfo(dtype)
        self.largest, self.digits, self.least_exponent = float(info.max), info.nmant + 1, int(info.minexp) - info.nmant

    def nearest(self, number: Any) -> float | None:
        """The number nearest all of a ball; None if they differ over it."""
        number = arb(number)
        if not number.is_finite():
            return None
        lower, upper = (self._nearest(*map(int, end.man_exp())) for end in (number.lower(), number.upper()))
        return lower if lower == upper else None

    def _nearest(self, mantissa: int, exponent: int) -> float:
        """The number nearest mantissa · 2 ** exponent."""
        last = max(exponent + mantissa.bit_length() - self.digits, self.least_exponent)  # place, as a power of 2
        cut = last - exponent
        if cut > mantissa.bit_length() + 1:
            return 0.0
        if cut > 0:
            mantissa, rest = divmod(mantissa, 1 << cut)
            half = 1 << (cut - 1)
            mantissa += rest > half or (rest == half and mantissa % 2 == 1)
            exponent = last
        try:
            number = math.ldexp(mantissa, exponent)
        except OverflowError:
            number = math.copysign(math.inf, mantissa)
        return number if abs(number) <= self.largest else math.copysign(math.inf, mantissa)


def _refined(inputs: Mapping[str, Array], attempt: Callable[[Balls, int], Result | None]) -> Result:
    """What `attempt` returns at the first precision that is enough for it."""
    if wrong := [name for name, array in inputs.items() if not np.isfinite(array).all()]:
        raise ValueError(f"{wrong[0]} has entries that are not finite; expected numbers")
    bits = 256
    while bits <= MOST_BITS:
        with precision(bits):
            balls = {name: np.asarray(ball(array), object).reshape(array.shape) for name, array in inputs.items()}
            result = attempt(balls, bits)
        if result is not None:
            return result
        bits *= 2
    why = "is a value zero, but not in every term, or a gate or tanh saturated?"
    raise ArithmeticError(f"balls of {MOST_BITS} bits are still too wide: {why}")


def _compare(
    balls: Balls, blocks: Balls, twin: ModuleType, bits: int, digits: float, by: By, seed: int
) -> Certificate | None:
    """The certificate at one precision; None if it has too few digits."""
    name = twin.__name__.removeprefix("manual.")
    moves = {block: blocks[block] for block in blocks if block[0] == "δ"}
    moves |= {block: blocks[f"d{block}"] for block in (*WEIGHTS, "x", "h0", "C0")}
    agreed, entries, count = math.inf, 0, 0
    for place, direction in directions(moves, by, np.random.default_rng(seed)):
        along = sum((np.sum(moves[block] * v) for block, v in direction.items()), arb(0))
        derivative = _by_series(balls, direction)
        if derivative is None:
            return None
        if not along.overlaps(derivative):
            apart = f"{place} is {along.str(60)} as derived, {derivative.str(60)} by series"
            return Certificate(name, entries, count, _digits(along, derivative), bits, apart)
        agreed = min(agreed, _digits(along, derivative))
        if agreed < digits:
            return None
        entries += int(sum(np.count_nonzero(v) for v in direction.values()))
        count += 1
    return Certificate(name, entries, count, agreed, bits, None)


def _by_series(balls: Balls, direction: Balls) -> arb | None:
    """The derivative of the loss along a direction; None if these balls are too wide to divide by."""
    try:
        return loss(balls, direction)[1]
    except ValueError as error:
        if "denominator" not in str(error):  # of FLINT: a series that begins with a ball around zero has no inverse
            raise
        return None


def directions(moves: Balls, by: By, rng: np.random.Generator) -> Iterator[tuple[str, Balls]]:
    """Directions over the blocks in `moves`, each with the name of the place it leads to.

    Entries come in the order of a backward pass, so that the first one that differs is where it went wrong.
    """
    if by == "entry":
        places = [(name, index) for name, block in moves.items() for index in np.ndindex(block.shape)]
        for name, index in sorted(places, key=lambda at: -at[1][0] if at[0][0] == "δ" else 1):
            unit = np.zeros(moves[name].shape, object)
            unit[index] = 1
            yield f"{name}{list(index)}", {name: unit}
        return
    drawn = {name: np.asarray(ball(rng.normal(size=block.shape)), object) for name, block in moves.items()}
    if by == "all":
        yield "a direction through all", drawn
    else:
        yield from ((f"a direction through {name}", {name: v}) for name, v in drawn.items())


def _digits(a: arb, b: arb) -> float:
    """To how many decimal digits two numbers are certain to agree, relative to their size."""
    apart, size = abs(a - b).upper(), max(abs(a).lower(), abs(b).lower())
    if apart == 0:
        return math.inf
    certain = size > 0 and apart.is_finite()  # a ball may hold all numbers, or none
    return float((size / apart).log_base(10).mid()) if certain else -math.inf
