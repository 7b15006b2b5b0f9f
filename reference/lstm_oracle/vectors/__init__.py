"""Test vectors: runs with certified outputs, for those who cannot run Python.

A vector has the complete inputs of a run in one dtype, float64 or float32; every output of `lstm_oracle.run`, which is
the exact value rounded once; and the error that an implementation may have in each output. This is an absolute number
with three digits, from the one policy in `lstm_oracle.truth.tolerance`, so that a reader needs no more than a
subtraction and a comparison.

`DRAWS` lists the vectors, each by the number, sizes and regime of its run. The first group is the smallest
set that exposes every mistake of the catalogue; `make vectors` computes it again, by an integer program over thousands
of drawn runs. The second group has simple and extreme runs, so that the vectors that fail, and those that pass, show
where to look. Why a vector is included, and which mistakes it exposes in which outputs, is computed from its run.

A mistake is exposed by an output whose error is at least `exposure.CLEAR` tolerances, so that the rounding of no
platform hides it. In the smallest set, a mistake in the forward pass must show in the states, because the gradients may
be derived in any way; and an error that stops a program, such as axes that do not fit each other, does not count.
"""

from lstm_oracle.vectors.vector import DRAWS, DTYPES, Draw, Draws, Vector, drawn, vectors

__all__ = ["DRAWS", "DTYPES", "Draw", "Draws", "Vector", "drawn", "vectors"]
