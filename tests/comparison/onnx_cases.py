"""ONNX's node tests of the LSTM operator, run on a variant as on any backend."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from onnx import NodeProto, helper

from lstm_oracle.diagnosis.bugs import Unit
from lstm_oracle.diagnosis.bugs.equations import Step
from lstm_oracle.run import Array
from tests.comparison.variants import ARGUMENTS, Variant

LAYOUT = "iofg"  # ONNX's order of the gates; ONNX calls g "c"


class Peepholes(Unit):
    """The unit with peepholes, which one of the node tests has."""

    def preactivation(self, k: str, s: Step) -> Array:
        z = super().preactivation(k, s)
        return z if k == "g" else z + self.run["P_" + k] * (self.cell_state(s) if k == "o" else s.C_prev)


@cache
def cases() -> list[Any]:
    """Return the six node tests; the public `collect_testcases` first makes those of all operators, in seconds."""
    from onnx.backend.test.case.node import _NodeTestCases, lstm

    return [case for case in _NodeTestCases if case.model.graph.node[0].op_type == lstm.LSTM.__name__]


def passes(variant: Variant, case: Any) -> bool:
    """Return whether a variant passes a node test, by the comparison and the tolerance of ONNX's own runner."""
    from onnx.backend.test.runner import Runner

    (node,) = case.model.graph.node
    names = [name for name in node.input if name]
    for inputs, expected in case.data_sets:
        found = evaluate(variant, node, dict(zip(names, inputs, strict=True)))
        try:
            Runner.assert_similar_outputs(expected, found, rtol=case.rtol, atol=case.atol)
        except AssertionError:
            return False
    return True


def node_tests(variant: Variant) -> bool:
    """Return whether a variant passes all node tests."""
    return all(passes(variant, case) for case in cases())


def evaluate(variant: Variant, node: NodeProto, given: dict[str, Array]) -> list[Array]:
    """Return those of the outputs Y, Y_h and Y_c for which an LSTM node asks."""
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    direction = attributes.get("direction", b"forward").decode()
    batch_first = attributes.get("layout", 0)
    x = given["X"].swapaxes(0, 1) if batch_first else given["X"]
    each = []
    for d, turned in enumerate({"forward": [0], "reverse": [1], "bidirectional": [0, 1]}[direction]):
        own = {name: array[d] for name, array in given.items() if name not in ("X", "sequence_lens")}
        h, h_T, C_T = one_direction(variant, x[::-1] if turned else x, own)
        each.append((h[::-1] if turned else h, h_T, C_T))
    Y, Y_h, Y_c = (np.stack(arrays, axis) for arrays, axis in zip(zip(*each, strict=True), (1, 0, 0), strict=True))
    if batch_first:
        Y, Y_h, Y_c = Y.transpose(2, 0, 1, 3), Y_h.swapaxes(0, 1), Y_c.swapaxes(0, 1)
    return [array for name, array in zip(node.output, (Y, Y_h, Y_c), strict=False) if name]


def one_direction(variant: Variant, x: Array, given: dict[str, Array]) -> tuple[Array, Array, Array]:
    """Return h, h_T and C_T of a variant for ONNX's arrays of one direction."""
    H, zero = given["R"].shape[1], np.zeros((x.shape[1], given["R"].shape[1]), x.dtype)
    run = {"x": x, "h0": given.get("initial_h", zero), "C0": given.get("initial_c", zero)}
    bias = np.add(*np.split(given.get("B", np.zeros(8 * H, x.dtype)), 2))
    by_gate = (np.split(array, 4) for array in (given["W"], given["R"], bias))
    for k, U, W, b in zip(LAYOUT, *by_gate, strict=True):
        run |= {f"U_{k}": U.T, f"W_{k}": W.T, f"b_{k}": b}
    if "P" in given:
        peepholes = {f"P_{k}": p for k, p in zip("iof", np.split(given["P"], 3), strict=True)}
        variant = Variant(with_peepholes(variant.unit, peepholes))
    return variant.outputs([run[name] for name in ARGUMENTS])


def with_peepholes(unit: type[Unit], peepholes: dict[str, Array]) -> type[Unit]:
    """Return the unit with these peepholes, and with its mistake if it has one."""

    def read_inputs(self: Unit, run: dict[str, Array]) -> dict[str, Array]:
        return unit.read_inputs(self, run) | peepholes

    return type("WithPeepholes", (Peepholes, unit), {"read_inputs": read_inputs})
