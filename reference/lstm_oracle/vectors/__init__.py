"""Test vectors: runs with their certified outputs, for those who cannot run Python.

A vector holds the complete inputs of a run in one dtype, float64 or float32, every output that
`lstm_oracle.run` names, correctly rounded from certified truth, and how far from it an honest
implementation may be: absolute numbers from the one policy (`lstm_oracle.truth.tolerance`), to three
digits, so that a reader needs a subtraction and a comparison alone.

Which vectors there are is data: `DRAWS`, each drawn by its number, sizes and regime. The first group
is the smallest set that exposes every mistake of the catalogue; `make vectors` computes it again, by
an integer program over thousands of drawn runs. The second holds what is simple or extreme by itself,
so that the vectors that fail, and those that do not, tell where to look. Why a vector is there, and
which mistakes it exposes in which outputs, is computed from its run.

A mistake is exposed by an output that it makes wrong by `CLEAR` tolerances, so that no platform's
rounding hides it. In the smallest set one of the forward pass must show in the states, however the
gradients are made; and to stop, as a program may whose axes do not fit each other, is not enough.
"""

from lstm_oracle.vectors.vector import DRAWS, DTYPES, Draw, Draws, Vector, drawn, vectors

__all__ = ["DRAWS", "DTYPES", "Draw", "Draws", "Vector", "drawn", "vectors"]
