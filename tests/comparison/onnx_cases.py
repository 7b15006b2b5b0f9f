"""ONNX's node tests of its LSTM operator, run on a program as on any backend."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from onnx import NodeProto, helper

from lstm_oracle.diagnosis.bugs import Unit
from lstm_oracle.run import Array
from tests.comparison.programs import ARGUMENTS, Program

LAYOUT = "iofg"  # ONNX's order of the gates; it calls g c


class Peepholes(Unit):
    """The unit whose gates see the cell state, as one of the node tests has it."""

    def sum(self, k: str, s: Any) -> Array:
        z = super().sum(k, s)
        return z if k == "g" else z + self.run["P_" + k] * (self.cell(s) if k == "o" else s.C_prev)


@cache
def cases() -> list[Any]:
    """The six of them. (`collect_testcases`, which is public, makes those of all operators first: seconds.)"""
    from onnx.backend.test.case.node import _NodeTestCases, lstm

    return [case for case in _NodeTestCases if case.model.graph.node[0].op_type == lstm.LSTM.__name__]


def passed(program: Program, case: Any) -> bool:
    """Whether a program passes a node test, by the comparison and the tolerance of ONNX's own runner."""
    from onnx.backend.test.runner import Runner

    (node,) = case.model.graph.node
    names = [name for name in node.input if name]
    for inputs, expected in case.data_sets:
        found = evaluate(program, node, dict(zip(names, inputs, strict=True)))
        try:
            Runner.assert_similar_outputs(expected, found, rtol=case.rtol, atol=case.atol)
        except AssertionError:
            return False
    return True


def node_tests(program: Program) -> bool:
    """Whether a program passes them all."""
    return all(passed(program, case) for case in cases())


def evaluate(program: Program, node: NodeProto, given: dict[str, Array]) -> list[Array]:
    """The outputs of an LSTM node: Y, Y_h, Y_c, whichever it asks for."""
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    direction = attributes.get("direction", b"forward").decode()
    batch_first = attributes.get("layout", 0)
    x = given["X"].swapaxes(0, 1) if batch_first else given["X"]
    each = []
    for d, turned in enumerate({"forward": [0], "reverse": [1], "bidirectional": [0, 1]}[direction]):
        own = {name: array[d] for name, array in given.items() if name not in ("X", "sequence_lens")}
        h, h_T, C_T = one_direction(program, x[::-1] if turned else x, own)
        each.append((h[::-1] if turned else h, h_T, C_T))
    Y, Y_h, Y_c = (np.stack(arrays, axis) for arrays, axis in zip(zip(*each, strict=True), (1, 0, 0), strict=True))
    if batch_first:
        Y, Y_h, Y_c = Y.transpose(2, 0, 1, 3), Y_h.swapaxes(0, 1), Y_c.swapaxes(0, 1)
    return [array for name, array in zip(node.output, (Y, Y_h, Y_c), strict=False) if name]


def one_direction(program: Program, x: Array, given: dict[str, Array]) -> tuple[Array, Array, Array]:
    """The program on ONNX's arrays of one direction."""
    H, zero = given["R"].shape[1], np.zeros((x.shape[1], given["R"].shape[1]), x.dtype)
    run = {"x": x, "h0": given.get("initial_h", zero), "C0": given.get("initial_c", zero)}
    bias = np.add(*np.split(given.get("B", np.zeros(8 * H, x.dtype)), 2))
    by_gate = (np.split(array, 4) for array in (given["W"], given["R"], bias))
    for k, U, W, b in zip(LAYOUT, *by_gate, strict=True):
        run |= {f"U_{k}": U.T, f"W_{k}": W.T, f"b_{k}": b}
    if "P" in given:
        peepholes = {f"P_{k}": p for k, p in zip("iof", np.split(given["P"], 3), strict=True)}
        program = Program(seeing(program.unit, peepholes))
    return program.outputs([run[name] for name in ARGUMENTS])


def seeing(unit: type[Unit], peepholes: dict[str, Array]) -> type[Unit]:
    """A program with peepholes: with its mistake, if it has one."""

    def read(self: Unit, run: dict[str, Array]) -> dict[str, Array]:
        return unit.read(self, run) | peepholes

    return type("Seeing", (Peepholes, unit), {"read": read})
