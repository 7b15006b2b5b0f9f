"""The profile: every line that computes has its kind, and the shares are those of a pass."""

from __future__ import annotations

import inspect

import pytest

from manual import batch, factors, fused, single
from tests.benchmarks import lines
from tests.benchmarks.contenders import Work


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("matmul(h_x_1_t, W, to)", "products"),
        ("product(Δ_t, W_T, to_δ25)", "products"),
        ("np.matmul(a, b, c)", "products"),
        ("tanh(C, tanh_C_t)", "exp, tanh"),
        ("np.multiply(C_g, f_i, addends)  # C_prev * f and g * i", "+ − × ÷"),
        ("dWUb += of_a_block", "+ − × ÷"),
        ("slab_t[...] = slab", "copies"),
        ("self.hs[0], self.Cs[0] = self.hs[n], self.Cs[n]", "copies"),
        ("H, U_T, dtype = p.hidden_size, p.U.T.copy(), p.W.dtype", "copies"),
        ("n, H = len(dh), self.H", ""),
        ("for s, Δ, h_x_1 in blocks_back(stretch, dh[start:], δ25, δ11, by_jacobians):", ""),
        ("way.go(x[at], tape.slabs[:-1][at], tape.tanh_C[at], tape.h[at])", ""),
    ],
)
def test_a_line_has_its_kind(text: str, kind: str) -> None:
    assert lines.kind_of(text) == kind


@pytest.mark.parametrize("module", [batch, factors, fused, single])
def test_no_call_that_computes_is_without_one(module: object) -> None:
    source = [line.strip() for line in inspect.getsource(module).splitlines()]
    calls = "dot(", "matmul(", "product(", "exp(", "tanh(", "add(", "multiply(", "subtract(", "divide(", "reciprocal("
    computing = [line for line in source if line.removeprefix("np.").startswith(calls)]
    assert computing
    assert all(lines.kind_of(line) for line in computing)


def test_the_shares_of_all_kinds_and_the_rest_are_the_whole() -> None:
    found = lines.shares([("a", "dot(x)", 0.5), ("b", "dot(y)", 0.1), ("a", "exp(z)", 0.15)])
    assert found == pytest.approx(
        {"products": 0.6, "exp, tanh": 0.15, "+ − × ÷": 0, "copies": 0, "loops, views, checks": 0.25}
    )


def test_a_profile_finds_the_products_of_both_passes() -> None:
    pytest.importorskip("line_profiler")
    found = lines.measured(Work(40, 32, 64, 128, "float64", "both"))
    by_line = {(place, text): share for place, text, share in found}
    assert by_line["batch.Forward.go", "matmul(h_x_1_t, W, to)"] > 0.05
    assert by_line["batch.Backward.go_together", "product(Δ_t, W_T, to_δ25)"] > 0.05
    assert [share for *_, share in found] == sorted(by_line.values(), reverse=True)
    assert all(0 <= share < 1.05 for share in lines.shares(found).values())
    assert lines.shares(found)["products"] > 0.3
