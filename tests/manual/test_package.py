"""The names of the package: those that are public, and `layouts`, which is imported when it is first used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import manual

PUBLIC = "CheckpointedTape Gradients Params States Tape backward deltas forward infer layouts"


def test_the_public_names_are_there() -> None:
    assert " ".join(manual.__all__) == PUBLIC
    assert all(hasattr(manual, name) for name in manual.__all__)


def test_layouts_are_imported_when_they_are_first_used() -> None:
    program = """
import sys
import manual
assert "manual.layouts" not in sys.modules
assert manual.layouts is sys.modules["manual.layouts"]
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("name", ["layout", "unpack"])
def test_another_name_is_refused_as_by_any_module(name: str) -> None:
    with pytest.raises(AttributeError) as raised:
        getattr(manual, name)
    assert str(raised.value) == f"module 'manual' has no attribute {name!r}"
