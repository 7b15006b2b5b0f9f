"""The names of the package."""

from __future__ import annotations

import subprocess
import sys

import pytest

import manual


def test_the_public_names() -> None:
    public = "CheckpointedTape Gradients Params States Tape backward deltas forward infer layouts"
    assert " ".join(manual.__all__) == public
    assert all(hasattr(manual, name) for name in manual.__all__)


def test_layouts_need_no_import_of_their_own() -> None:
    subprocess.run([sys.executable, "-c", "import manual; manual.layouts.LAYOUTS"], check=True)


def test_an_unknown_name_is_refused_as_by_any_module() -> None:
    with pytest.raises(AttributeError, match=r"^module 'manual' has no attribute 'layout'$"):
        _ = manual.layout
