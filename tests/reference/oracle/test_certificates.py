"""`lstm-oracle verify` certifies too, says so, and turns red when what is derived is off by 1e-40."""

from __future__ import annotations

import json
from functools import partial

import pytest
from flint import arb

from manual import fused, single
from reference import certified
from reference.oracle import verify
from reference.oracle.cli import main


class Altered(dict):
    """Edges with 1e-40 added to one entry of δ8."""

    def __setitem__(self, n, δ):
        if n == 8:
            δ = δ.copy()
            δ.flat[0] += arb("1e-40")
        super().__setitem__(n, δ)


@pytest.fixture
def certify_alone(monkeypatch):
    """Judges no runs, which takes seconds."""
    monkeypatch.setattr(verify, "_judge_all", lambda *arguments: None)


@pytest.mark.usefixtures("certify_alone")
def test_verify_says_how_many_entries_to_how_many_digits(capsys):
    assert main(["verify", "--runs=2"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "bptt 13646 gradients and edges, 652 one by one; fused 812 gradients, 118 one by one." in out
    assert main(["verify", "--runs=2", "--seed=7", "--json"]) == 0
    certificates = json.loads(capsys.readouterr().out)["certified"]
    assert all(certificate["ok"] and certificate["digits"] >= 50 for certificate in certificates)
    assert [certificate["twin"] for certificate in certificates] == ["bptt"] * 3 + ["fused"] * 3


@pytest.mark.usefixtures("certify_alone")
def test_an_alteration_by_1e_40_turns_verify_red(monkeypatch, capsys):
    monkeypatch.setattr(certified, "certify", partial(certified.certify, edges=Altered))
    assert main(["verify", "--runs=2"]) == 1
    out = capsys.readouterr().out
    assert "Not certified: δ8[2, 0, 0] is " in out
    assert "MISMATCH in ball arithmetic" in out
    assert main(["verify", "--runs=2", "--json"]) == 1
    certificates = json.loads(capsys.readouterr().out)["certified"]
    assert [certificate["ok"] for certificate in certificates] == [False] * 3 + [True] * 3


@pytest.mark.parametrize("seed", [0, 38])
@pytest.mark.parametrize("ignored", ["dh", "dh_T", "dC_T"])
def test_a_twin_that_ignores_what_arrives_is_not_certified(ignored, seed, monkeypatch):
    right = fused.gradients

    def deaf(tape, dh, dh_T, dC_T):
        arriving = {"dh": dh, "dh_T": dh_T, "dC_T": dC_T}
        return right(tape, **(arriving | {ignored: 0 * arriving[ignored]}))

    monkeypatch.setattr(fused, "gradients", deaf)
    assert not all(certificate.ok for certificate in verify.certificates(seed) if certificate.twin == "fused")


def test_the_way_back_through_one_sequence_is_certified_too(monkeypatch):
    right = single.Backward.go

    def altered(way, *arguments):
        Δ = right(way, *arguments)
        δ25 = arguments[-2]
        δ25 += arb("1e-40")
        return Δ

    monkeypatch.setattr(single.Backward, "go", altered)
    assert not all(certificate.ok for certificate in verify.certificates(0))


@pytest.mark.usefixtures("certify_alone")
def test_without_python_flint_verify_says_so(monkeypatch, capsys):
    monkeypatch.setattr(verify, "find_spec", lambda module: None if module == "flint" else object())
    assert main(["verify", "--runs=2"]) == 0
    assert "Not certified to 50 digits: python-flint is not installed." in capsys.readouterr().out
    assert main(["verify", "--runs=2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["certified"] is None
