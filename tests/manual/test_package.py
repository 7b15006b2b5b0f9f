"""The names of the package."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

import manual


def test_the_public_names() -> None:
    public = "CheckpointedTape Gradients Params States Tape __version__ backward deltas forward infer layouts"
    assert " ".join(manual.__all__) == public


def test_the_version_is_that_of_the_distribution() -> None:
    assert manual.__version__ == version("lstm-oracle")


def test_layouts_are_loaded_on_demand() -> None:
    program = "import sys, manual; assert 'manual.layouts' not in sys.modules; manual.layouts.LAYOUTS"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_an_unknown_name_is_refused_as_by_any_module() -> None:
    with pytest.raises(AttributeError, match=r"^module 'manual' has no attribute 'layout'$"):
        _ = manual.layout
