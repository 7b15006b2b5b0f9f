"""Runs in files: an `.npz`, or a folder with one `.npy` per array, read as from a stranger.

Nothing is unpickled. What a file declares, its names, dtypes, shapes and sizes, is checked before
any of it is unpacked or memory is set aside for it, so that a small file cannot ask for much.
"""

from __future__ import annotations

import math
import stat
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.lib import format as npy

from lstm_oracle.run import INPUTS, OUTPUTS, Array, plain

MOST_BYTES = 2**30  # of one run, unpacked
MOST_MEMBERS = len(INPUTS) + len(OUTPUTS)
FLOATS = ("float32", "float64")
ZIP = b"PK\x03\x04"  # the first bytes of an .npz file; its directory is at the end
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


class RunFileError(ValueError):
    """A file that cannot be read as a run; the message is one line that says why."""

    def __str__(self) -> str:
        return printable(super().__str__())


def printable(text: str) -> str:
    """A text that may hold a stranger's words, such as a name in a file, with no sign that commands a terminal."""
    return "".join(sign if sign.isprintable() or sign == "\n" else "\N{REPLACEMENT CHARACTER}" for sign in text)


def read_run(path: Path, others: bool = False) -> dict[str, Array]:
    """The arrays of a recorded run, in this machine's byte order.

    Args:
        others: whether there may be arrays of other names.

    Raises:
        RunFileError: the path, a name, a dtype, a size or the file itself is not that of a run.
    """
    try:
        if path.is_dir():
            return dict(_from_folder(path, others))
        require_regular(path)
        if zipfile.is_zipfile(path):
            return dict(_from_zip(path, others))
        with open(path, "rb") as file:
            cut_short = file.read(len(ZIP)) == ZIP
    except RunFileError as error:
        raise RunFileError(f"{path}: {error}") from None
    except Exception as error:  # a hostile archive finds errors of any kind in the unpackers
        raise RunFileError(f"{path}: not readable as a run: {one_line(error)}") from None
    if cut_short:
        raise RunFileError(f"{path}: an .npz file whose end is missing: it was cut short")
    raise RunFileError(f"{path}: neither an .npz file nor a folder of .npy files")


def read_array(open_file: Callable[[], Any], size: int) -> Array:
    """The array in one `.npy` file of this many bytes.

    Raises:
        RunFileError: it is no such file, holds less or more than it declares, or not floats.
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
    except Exception as error:  # what a crafted header does to its parser has no one type
        raise RunFileError(f"not readable as .npy: {one_line(error)}") from None
    return array.astype(dtype.newbyteorder("="), order="C")


def read_header(file: IO[bytes]) -> tuple[tuple[int, ...], Literal["C", "F"], np.dtype[Any]]:
    """The shape, the order in memory and the dtype that an `.npy` file declares."""
    version = npy.read_magic(file)
    if version not in HEADERS:
        raise RunFileError(f"is .npy of version {version[0]}.{version[1]}; expected 1.0 or 2.0")
    shape, by_columns, dtype = HEADERS[version](file)
    if dtype.newbyteorder("=").name not in FLOATS:
        raise RunFileError(f"has dtype {dtype}; expected {' or '.join(FLOATS)}")
    if any(size < 0 for size in shape):
        raise RunFileError(f"declares the shape {shape}")
    return shape, "F" if by_columns else "C", dtype


def write_run(path: Path, run: Mapping[str, Array]) -> None:
    """Write a run as an `.npz` file, where the path ends so, else as a new or empty folder of `.npy` files."""
    if path.suffix == ".npz":
        arrays: dict[str, Any] = {name: plain(name, array) for name, array in run.items()}
        np.savez(path, **arrays)
        return
    path.mkdir(parents=True, exist_ok=True)
    if any(path.iterdir()):
        raise RunFileError(f"{path}: the folder is not empty")
    for name, array in run.items():  # in C order: simpler to read
        np.save(path / f"{name}.npy", np.ascontiguousarray(plain(name, array)), allow_pickle=False)


def require_regular(path: Path) -> int:
    """The size of a regular file within the limit: no device, no pipe that never ends."""
    try:
        found = path.stat()
    except OSError as error:
        raise RunFileError(error.strerror or "not there") from None
    if not stat.S_ISREG(found.st_mode):
        raise RunFileError("not a regular file")
    require_within(found.st_size)
    return found.st_size


def require_within(size: int) -> None:
    """Refuse what is too large to be a run."""
    if size > MOST_BYTES:
        raise RunFileError(f"holds {size} bytes; expected at most {MOST_BYTES}")


def one_line(error: BaseException) -> str:
    """What an error says, short and on one line."""
    return " ".join((str(error) or type(error).__name__).split())[:200]


def _from_folder(path: Path, others: bool) -> Iterator[tuple[str, Array]]:
    files = sorted(path.glob("*.npy"))
    if not files:
        raise RunFileError("no .npy files in this folder")
    _require_names([file.name for file in files], others)
    sizes = {file: _named(file.name, require_regular, file) for file in files}
    require_within(sum(sizes.values()))
    for file, size in sizes.items():
        yield file.stem, _named(file.name, read_array, partial(open, file, "rb"), size)


def _from_zip(path: Path, others: bool) -> Iterator[tuple[str, Array]]:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        _require_names([member.filename for member in members], others)
        require_within(sum(member.file_size for member in members))
        for member in members:
            name = member.filename.removesuffix(".npy")
            yield name, _named(member.filename, read_array, partial(archive.open, member), member.file_size)


def _require_names(names: list[str], others: bool) -> None:
    if len(names) > MOST_MEMBERS:
        raise RunFileError(f"{len(names)} arrays; a run has at most {MOST_MEMBERS}")
    for name in names:
        if not name.endswith(".npy") or not (others or name.removesuffix(".npy") in INPUTS | OUTPUTS):
            raise RunFileError(f"{name[:40]!r} is not an array of a run; expected {', '.join([*INPUTS, *OUTPUTS])}")
        if names.count(name) > 1:
            raise RunFileError(f"{name} is there twice")


def _named(name: str, function: Callable[..., Any], *args: Any) -> Any:
    try:
        return function(*args)
    except RunFileError as error:
        raise RunFileError(f"{name} {error}") from None
