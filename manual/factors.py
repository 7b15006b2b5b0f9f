"""What takes δ3 and δ8 to the gates: factors of the forward pass alone, for many steps at once.

They are those of `manual.derivation`, put together as far as no step waits for another.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from manual.unit import Array, Tape


def room_for_factors(steps: int, B: int, H: int, dtype: np.dtype[Any]) -> list[Array]:
    """Room for the factors of so many steps, and for what they are made of."""
    shapes = [(steps, n, B, H) for n in (3, 3, 2)] + [(steps, B, H)] * 2
    return [np.empty(shape, dtype) for shape in shapes]


def factors(tape: Tape, steps: slice, room: list[Array]) -> tuple[Array, Array, Array]:
    """What takes δ8 to δ16, δ15 and δ14, (n, 3, B, H), and δ3 to δ13 and to δ8, (n, B, H) each."""
    slabs, h = tape.slabs[steps], tape.h[steps]
    f_i_o, i, o, g = slabs[:, 2:], slabs[:, 3], slabs[:, 4], slabs[:, 1]
    to_f_i_g, rests, addends, to_o, to_8 = room
    to_g = to_f_i_g[:, 2]
    np.subtract(1, f_i_o, rests)
    np.multiply(slabs[:, :2], slabs[:, 2:4], addends)  # C_prev * f and g * i
    np.multiply(addends, rests[:, :2], to_f_i_g[:, :2])  # C_prev * f * (1 - f) and g * i * (1 - i)
    np.multiply(addends[:, 1], g, to_g)
    np.subtract(i, to_g, to_g)  # i * (1 - g * g)
    np.multiply(h, rests[:, 2], to_o)  # tanh_C * o * (1 - o)
    np.multiply(h, tape.tanh_C[steps], to_8)
    np.subtract(o, to_8, to_8)  # o * (1 - tanh_C * tanh_C)
    return to_f_i_g, to_o, to_8
