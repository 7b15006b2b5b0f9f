"""The published tables match the measurements, and the profile assigns every line to its kind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmarks import lines, report
from tests.benchmarks.contenders import Work

HERE = Path(__file__).parent


def test_the_tables_match_the_measurements() -> None:
    assert (HERE / "speed.md").read_text() == report.markdown(json.loads((HERE / "speed.json").read_text()))


def test_limits_are_computed_from_the_ratios() -> None:
    ratios = {"gemms": 1.25, "calls": 20, "torch": 1.5, "jax": 4}
    rows = [{"shape": [5, B, 3, H], "dtype": "float32", "ratio": ratios} for B, H in ((1, 8), (2, 128))]
    found = {"races": [row | {"threads": "one", "task": "both"} for row in rows]}
    assert "alone take 20 to 20 % of the time of JAX" in report.limits(found)
    assert "take 120 to 120 % of the time of PyTorch" in report.limits(found)
    assert "To be as fast" not in report.limits(found)  # the products alone take longer
    ratios["torch"] = 1.1
    assert "have to take 14 % of the time of the products instead of 25 %" in report.limits(found)
    del ratios["torch"]
    assert "PyTorch" not in report.limits(found)


def test_lines_that_take_at_least_one_percent_are_listed() -> None:
    some = [
        ["batch.forward_block", "dot(a)", 0.5],
        ["batch.forward_block", "exp(b)", 0.0101],
        ["fused.run", "c = d", 0.0099],
    ]
    rows = [{"shape": [*shape], "dtype": dtype, "lines": some} for shape, dtype in (*report.LISTED, ((1, 1), "f"))]
    expected = ["50.0 %  batch.forward_block         dot(a)", " 1.0 %  batch.forward_block         exp(b)"]
    assert [*report.listings({"lines": rows}).values()] == [expected] * len(report.LISTED)


def test_the_shares_of_all_kinds_and_the_rest_add_up_to_one() -> None:
    some = [("a", "dot(x)", 0.5), ("b", "np.matmul(a, b, c)", 0.1), ("a", "exp(z)", 0.15), ("a", "np.add(a, b)", 0.1)]
    found = lines.shares([*some, ("c", "hs[0], Cs[0] = hs[n], Cs[n]", 0.05)])
    expected = {"products": 0.6, "exp, tanh": 0.15, "+ − × ÷": 0.1, "copies": 0.05, "loops, views, checks": 0.1}
    assert found == pytest.approx(expected)
    assert lines.kind_of("n, H = len(dh), self.H") == ""


def test_a_profile_measures_the_share_of_the_products() -> None:
    pytest.importorskip("line_profiler")
    found = lines.measured(Work(40, 32, 64, 128, "float64", "both"))
    shares = [share for *_, share in found]
    assert shares == sorted(shares, reverse=True)
    assert all(0 <= share < 1.05 for share in lines.shares(found).values())
    assert lines.shares(found)["products"] > 0.3
