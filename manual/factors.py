"""What takes δ3 and δ8 to the gates: factors of the forward pass alone, for many steps at once.

They are those of `manual.derivation`, put together as far as no step waits for another.
"""

from __future__ import annotations

import numpy as np

from manual.unit import Array


def factors(
    slabs: Array, tanh_C: Array, h: Array, to_f_i_g: Array, to_o: Array, to_8: Array, rests: Array, addends: Array
) -> None:
    """Write what takes δ8 to δ16, δ15 and δ14, (3, …), δ3 to δ13, and δ3 to δ8, whatever the axes are.

    C_prev, g, f, i and o are in `slabs`, (5, …); `rests`, (3, …), and `addends`, (2, …), are room.
    """
    C_g, f_i, f_i_o, (_, g, _, i, o) = slabs[:2], slabs[2:4], slabs[2:], slabs
    to_f_i, to_g = to_f_i_g[:2], to_f_i_g[2]
    np.subtract(1, f_i_o, rests)
    np.multiply(C_g, f_i, addends)  # C_prev * f and g * i
    np.multiply(addends, rests[:2], to_f_i)  # C_prev * f * (1 - f) and g * i * (1 - i)
    np.multiply(addends[1], g, to_g)
    np.subtract(i, to_g, to_g)  # i * (1 - g * g)
    np.multiply(h, rests[2], to_o)  # tanh_C * o * (1 - o)
    np.multiply(h, tanh_C, to_8)
    np.subtract(o, to_8, to_8)  # o * (1 - tanh_C * tanh_C)
