"""The versions of the packages with which a measurement was made."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of Python and of these packages; "not installed" for a missing package."""
    found = {"Python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def versions_text(known: dict[str, str]) -> str:
    """Return versions as text, such as "Python 3.11.7, numpy 2.4.6"."""
    return ", ".join(f"{name} {number}" for name, number in known.items())
