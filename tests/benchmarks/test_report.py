"""What is published is what was measured."""

from __future__ import annotations

import json
from pathlib import Path

from tests.benchmarks import report

HERE = Path(__file__).parent
FOUND = json.loads((HERE / "speed.json").read_text())


def test_the_tables_are_those_of_the_measurements() -> None:
    assert (HERE / "speed.md").read_text() == report.markdown(FOUND)


def test_limits_are_computed_from_the_ratios() -> None:
    ratios = {"gemms": 1.25, "calls": 20, "torch": 1.5, "jax": 4}
    rows = [{"shape": [5, B, 3, H], "dtype": "float32", "ratio": ratios} for B, H in ((1, 8), (2, 128))]
    found = {"races": [row | {"threads": "one", "task": "both"} for row in rows]}
    assert "alone take 20 to 20 % of what JAX takes" in report.limits(found)
    assert "take 120 to 120 % of what PyTorch takes" in report.limits(found)
    assert "To be as fast" not in report.limits(found)  # the products alone take longer
    ratios["torch"] = 1.1
    assert "at 5, 2, 3, 128, all that is no product would have to take 14 % of the products' time instead of 25 %" in (
        report.limits(found)
    )
    ratios["torch"] = 0.99
    assert "To be as fast" not in report.limits(found)
    del ratios["torch"]
    assert "PyTorch" not in report.limits(found)


def test_lines_are_listed_from_a_hundredth_on() -> None:
    lines = [
        ["batch.Forward.go", "dot(a)", 0.5],
        ["batch.Forward.go", "exp(b)", 0.0101],
        ["fused.run", "c[0] = d", 0.0099],
    ]
    rows = [
        {"shape": list(shape), "dtype": dtype, "lines": lines} for shape, dtype in (*report.LISTED, ((1, 1, 1, 1), "f"))
    ]
    found = report.listings({"lines": rows})
    assert len(found) == len(report.LISTED)
    for listed in found.values():
        assert listed == ["50.0 %  batch.Forward.go            dot(a)", " 1.0 %  batch.Forward.go            exp(b)"]
