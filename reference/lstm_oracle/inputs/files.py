"""Reads and writes runs: an `.npz` file, or a folder with one `.npy` file per array.

Files are not trusted. Nothing is unpickled, and what a file declares, its names, dtypes, shapes and sizes, is checked
before it is decompressed or memory is allocated for it, so that a small file cannot demand much memory.
"""

from __future__ import annotations

import math
import stat
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.lib import format as npy

from lstm_oracle.run import INPUTS, OUTPUTS, Array, plain

MOST_BYTES = 2**30  # of one run, decompressed
MOST_MEMBERS = len(INPUTS) + len(OUTPUTS)
FLOATS = ("float32", "float64")
ZIP = b"PK\x03\x04"  # the first bytes of an .npz file, whose directory is at the end
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


class RunFileError(ValueError):
    """A file that cannot be read as a run. The message is one line that says why."""

    def __str__(self) -> str:
        return printable(super().__str__())


def printable(text: str) -> str:
    """Return a text that may contain untrusted words, such as a name in a file, without terminal control characters."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def read_run(path: Path, any_names: bool = False) -> dict[str, Array]:
    """Return the arrays of a recorded run, in native byte order.

    Args:
        path: an `.npz` file or a folder of `.npy` files.
        any_names: whether arrays may have names that are not those of a run.

    Raises:
        RunFileError: the path, a name, a dtype, a size or the file itself is not that of a run.
    """
    try:
        if path.is_dir():
            return dict(read_folder(path, any_names))
        require_regular(path)
        if zipfile.is_zipfile(path):
            return dict(read_zip(path, any_names))
        with open(path, "rb") as file:
            is_truncated = file.read(len(ZIP)) == ZIP
    except RunFileError as error:
        raise RunFileError(f"{path}: {error}") from None
    except Exception as error:  # a malicious archive makes the decompressors raise errors of any kind
        raise RunFileError(f"{path}: not readable as a run: {one_line(error)}") from None
    if is_truncated:
        raise RunFileError(f"{path}: an .npz file that is truncated: its end is missing")
    raise RunFileError(f"{path}: neither an .npz file nor a folder of .npy files")


def read_folder(path: Path, any_names: bool) -> Iterator[tuple[str, Array]]:
    """Yield the name and array of every `.npy` file in a folder; see `read_run`."""
    files = sorted(path.glob("*.npy"))
    if not files:
        raise RunFileError("no .npy files in this folder")
    require_names([file.name for file in files], any_names)
    sizes = {}
    for file in files:
        with member(file.name):
            sizes[file] = require_regular(file)
    require_at_most(sum(sizes.values()))
    for file, size in sizes.items():
        with member(file.name):
            array = read_array(partial(open, file, "rb"), size)
        yield file.stem, array


def read_zip(path: Path, any_names: bool) -> Iterator[tuple[str, Array]]:
    """Yield the name and array of every member of an `.npz` file; see `read_run`."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        require_names([info.filename for info in members], any_names)
        require_at_most(sum(info.file_size for info in members))
        for info in members:
            with member(info.filename):
                array = read_array(partial(archive.open, info), info.file_size)
            yield info.filename.removesuffix(".npy"), array


def read_array(open_file: Callable[[], Any], size: int) -> Array:
    """Return the array in a `.npy` file of this many bytes, in native byte order and in C order.

    Raises:
        RunFileError: not a `.npy` file, or one that holds less or more than it declares, or other numbers than floats.
    """
    try:
        with open_file() as file:
            shape, order, dtype = read_header(file)
            needed = math.prod(shape) * dtype.itemsize
            if file.tell() + needed != size:
                raise RunFileError(f"holds {size} bytes where its header declares {file.tell() + needed}")
            array = np.frombuffer(file.read(needed), dtype).reshape(shape, order=order)
    except RunFileError:
        raise
    except Exception as error:  # a crafted header makes its parser raise errors of any kind
        raise RunFileError(f"not readable as .npy: {one_line(error)}") from None
    return array.astype(dtype.newbyteorder("="), order="C")


def read_header(file: IO[bytes]) -> tuple[tuple[int, ...], Literal["C", "F"], np.dtype[Any]]:
    """Return the shape, the memory order and the dtype that a `.npy` file declares."""
    version = npy.read_magic(file)
    if version not in HEADERS:
        raise RunFileError(f"has .npy version {version[0]}.{version[1]}; expected 1.0 or 2.0")
    shape, is_fortran_order, dtype = HEADERS[version](file)
    if dtype.newbyteorder("=").name not in FLOATS:
        raise RunFileError(f"has dtype {dtype}; expected {' or '.join(FLOATS)}")
    if any(size < 0 for size in shape):
        raise RunFileError(f"declares the shape {shape}; expected no negative size")
    return shape, "F" if is_fortran_order else "C", dtype


def write_run(path: Path, run: Mapping[str, Array]) -> None:
    """Write a run to an `.npz` file or, if the path has another suffix, to a new or empty folder of `.npy` files.

    Raises:
        RunFileError: the folder is not empty.
        TypeError: an array is masked.
    """
    arrays: dict[str, Any] = {name: plain(name, array) for name, array in run.items()}
    if path.suffix == ".npz":
        np.savez(path, **arrays)
        return
    path.mkdir(parents=True, exist_ok=True)
    if any(path.iterdir()):
        raise RunFileError(f"{path}: the folder is not empty")
    for name, array in arrays.items():  # in C order, because programs in other languages read these files
        np.save(path / f"{name}.npy", np.ascontiguousarray(array), allow_pickle=False)


def require_regular(path: Path) -> int:
    """Return the size in bytes of a file; raise RunFileError if it is too large or not regular, such as a pipe."""
    try:
        status = path.stat()
    except OSError as error:
        raise RunFileError(error.strerror or "cannot be found") from None
    if not stat.S_ISREG(status.st_mode):
        raise RunFileError("not a regular file")
    require_at_most(status.st_size)
    return status.st_size


def require_at_most(size: int) -> None:
    """Raise RunFileError if a run of this many bytes is too large."""
    if size > MOST_BYTES:
        raise RunFileError(f"holds {size} bytes; expected at most {MOST_BYTES}")


def require_names(names: list[str], any_names: bool) -> None:
    """Raise RunFileError unless the names of files are those of arrays, each occurring once."""
    if len(names) > MOST_MEMBERS:
        raise RunFileError(f"{len(names)} arrays; a run has at most {MOST_MEMBERS}")
    for name in names:
        if not name.endswith(".npy") or not (any_names or name.removesuffix(".npy") in INPUTS | OUTPUTS):
            expected = "a .npy file" if any_names else f"any of {', '.join([*INPUTS, *OUTPUTS])}"
            raise RunFileError(f"{name[:40]!r} is not an array of a run; expected {expected}")
        if names.count(name) > 1:
            raise RunFileError(f"{name} occurs twice")


def one_line(error: BaseException) -> str:
    """Return the message of an error on one line of at most 200 characters, or its type if there is no message."""
    return " ".join((str(error) or type(error).__name__).split())[:200]


@contextmanager
def member(name: str) -> Iterator[None]:
    """Put the name of a file before the message of any RunFileError raised in this context."""
    try:
        yield
    except RunFileError as error:
        raise RunFileError(f"{name} {error}") from None
