"""Runs in files: a written run is read back, and untrusted files are read safely or rejected."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lstm_oracle.cli import main as cli
from lstm_oracle.inputs.cases import draw_case
from lstm_oracle.inputs.files import RunFileError, read_run, write_run

RUN = draw_case(0, 1, np.dtype(np.float64), sizes=(2, 1, 3, 4)).inputs


def npy_bytes(array: object, **options: object) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)  # type: ignore[call-overload]
    return file.getvalue()


def header(text: str) -> bytes:
    padded = text.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded


def of_shape(shape: str) -> bytes:
    return header(f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}")


def zipped(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("name", ["run.npz", "folder"])
@pytest.mark.parametrize("dtype", ["<f8", ">f8", "<f4", ">f4"])
def test_a_written_run_is_read_back(name: str, dtype: str, tmp_path: Path) -> None:
    run = {key: np.asfortranarray(array.astype(dtype)) for key, array in RUN.items()}
    write_run(tmp_path / name, run)
    back = read_run(tmp_path / name)
    assert back.keys() == run.keys()
    for key, array in back.items():
        assert array.dtype.isnative
        assert np.array_equal(array, run[key])


def test_masked_arrays_are_not_written_and_folders_with_files_are_not_written_to(tmp_path: Path) -> None:
    for name in ("run.npz", "folder"):
        with pytest.raises(TypeError, match="x is a masked array"):
            write_run(tmp_path / name, RUN | {"x": np.ma.masked_array(RUN["x"])})
    (tmp_path / "notes").write_text("text")
    with pytest.raises(RunFileError, match="not empty"):
        write_run(tmp_path, RUN)


MALFORMED_ARRAYS = {
    "pickle": (
        npy_bytes(np.array([print], object), allow_pickle=True),
        "has dtype object; expected float32 or float64",
    ),
    "integers": (npy_bytes(np.arange(4)), "has dtype int64; expected float32 or float64"),
    "text": (npy_bytes(np.array(["a"])), "has dtype <U1"),
    "structure": (npy_bytes(np.zeros(1, [("a", "f8")])), "has dtype [('a', '<f8')]"),
    "truncated": (npy_bytes(np.zeros(4))[:-1], "holds 159 bytes where its header declares 160"),
    "extended": (npy_bytes(np.zeros(4)) + b"0", "holds 161 bytes where its header declares 160"),
    "no bytes": (b"", "not readable as .npy"),
    "no array": (b"a text of 28 bytes, no array" * 5, "not readable as .npy"),
    "another version": (
        npy_bytes(np.zeros(4)).replace(b"NUMPY\x01", b"NUMPY\x03"),
        "has .npy version 3.0; expected 1.0 or 2.0",
    ),
    "a huge shape": (of_shape("(2000000000, 2000000000)"), "where its header declares 32000000000000000"),
    "a negative shape": (of_shape("(-1, 4)"), "declares the shape (-1"),
    "code": (of_shape("(exit(),)"), "not readable as .npy"),
    "nested": (header("(" * 9000), "not readable as .npy"),
    "a long header": (header(" " * 60000), "not readable as .npy"),
}


@pytest.mark.filterwarnings("ignore::SyntaxWarning")
@pytest.mark.parametrize("fault", MALFORMED_ARRAYS)
def test_a_malformed_array_is_rejected_in_one_line(fault: str, tmp_path: Path) -> None:
    content, text = MALFORMED_ARRAYS[fault]
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "h.npy").write_bytes(content)
    for path in (zipped(tmp_path / "run.npz", {"h.npy": content}), tmp_path / "folder"):
        with pytest.raises(RunFileError) as raised:
            read_run(path)
        assert str(raised.value).startswith(f"{path}: h.npy ")
        assert text in str(raised.value)
        assert "\n" not in str(raised.value)


def modified(path: Path, method: int, change: Callable[[bytes], bytes]) -> None:
    """Write an archive of two arrays, with a change to its bytes."""
    path.write_bytes(
        change(zipped(path, {name: npy_bytes(np.zeros(400)) for name in ("h.npy", "C.npy")}, method).read_bytes())
    )


def encrypted(content: bytes) -> bytes:
    local, central = content.index(b"PK\x03\x04") + 6, content.index(b"PK\x01\x02") + 8
    return content[:local] + b"\x01" + content[local + 1 : central] + b"\x01" + content[central + 1 :]


def declaring_large_members(content: bytes) -> bytes:
    """Let the directory of the archive declare 2**29 and 2**29 + 1 bytes instead of 3328 for each array."""
    for size in (2**29, 2**29 + 1):
        at = content.index(struct.pack("<L", len(npy_bytes(np.zeros(400)))), content.index(b"PK\x01\x02"))
        content = content[:at] + struct.pack("<L", size) + content[at + 4 :]
    return content


def sparse(path: Path, *sizes: int) -> None:
    path.mkdir()
    for name, size in zip(("h.npy", "C.npy"), sizes, strict=False):
        with open(path / name, "wb") as file:
            file.truncate(size)


def twice(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("h.npy", npy_bytes(np.zeros(4)))
        archive.writestr("h.npy", npy_bytes(np.ones(4)))


MALFORMED_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "absent": (lambda path: None, "No such file"),
    "empty": (lambda path: path.write_bytes(b""), "neither an .npz file nor a folder"),
    "one array": (lambda path: path.write_bytes(npy_bytes(np.zeros(4))), "neither an .npz file nor a folder"),
    "truncated": (
        lambda path: modified(path, zipfile.ZIP_DEFLATED, lambda content: content[:-30]),
        "an .npz file that is truncated: its end is missing",
    ),
    "corrupt": (
        lambda path: modified(path, zipfile.ZIP_STORED, lambda content: content[:2000] + b"?" + content[2001:]),
        "CRC",
    ),
    "encrypted": (lambda path: modified(path, zipfile.ZIP_DEFLATED, encrypted), "encrypted"),
    "unknown name": (lambda path: zipped(path, {"a.npy": npy_bytes(np.zeros(4))}), "'a.npy' is not an array of a run"),
    "path": (lambda path: zipped(path, {"../h.npy": npy_bytes(np.zeros(4))}), "'../h.npy' is not an array of a run"),
    "many": (lambda path: zipped(path, {f"{k}.npy": b"" for k in range(1000)}), "1000 arrays; a run has at most"),
    "twice": (twice, "h.npy occurs twice"),
    "fifo": (os.mkfifo, "not a regular file"),
    "empty folder": (lambda path: path.mkdir(), "no .npy files"),
    "bomb": (
        lambda path: modified(path, zipfile.ZIP_DEFLATED, declaring_large_members),
        "holds 1073741825 bytes; expected at most 1073741824",
    ),
    "large array": (lambda path: sparse(path, 2**30 + 1), "h.npy holds 1073741825 bytes; expected at most 1073741824"),
    "large folder": (lambda path: sparse(path, 2**29, 2**29 + 1), ": holds 1073741825 bytes; expected at most"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("fault", MALFORMED_FILES)
def test_a_malformed_file_is_rejected_in_one_line_with_status_2(
    fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, text = MALFORMED_FILES[fault]
    make(tmp_path / "run.npz")
    assert cli.main(["judge", str(tmp_path / "run.npz")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert text in err
    assert err.startswith(f"lstm-oracle: {tmp_path / 'run.npz'}: ")
    assert err.count("\n") == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_are_read_or_rejected(data: st.DataObject, tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    zipped(path, {"h.npy": npy_bytes(np.zeros(4)), "x.npy": npy_bytes(np.ones((1, 2, 3)))})
    content = path.read_bytes()
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content = content[:at] + bytes([data.draw(st.integers(0, 255))]) + content[at + 1 :]
    path.write_bytes(content[: data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))])
    with contextlib.suppress(RunFileError):
        assert read_run(path).keys() <= {"h", "x"}


def test_an_error_about_a_file_cannot_control_the_terminal() -> None:
    message = str(RunFileError("run.npz: \x1b[31mW_f occurs twice"))
    assert message == "run.npz: \N{REPLACEMENT CHARACTER}[31mW_f occurs twice"
