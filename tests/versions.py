"""The versions that a measurement rests on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version


def versions(*packages: str) -> dict[str, str]:
    """Of Python and of these packages; "not installed" where one is not."""
    found = {"Python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def listed(known: dict[str, str]) -> str:
    """In one line."""
    return ", ".join(f"{name} {number}" for name, number in known.items())
