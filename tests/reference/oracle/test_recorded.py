"""What `judge` reads of a run, and what it refuses: the message says which array it is, and what was expected."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reference.oracle import judging
from reference.oracle.cases import Sizes
from reference.oracle.files import RunFileError, write_run
from reference.oracle.judging import (
    Recorded,
    announce,
    exact,
    path_of,
    require_numbers,
    require_telling,
    require_within_reason,
)
from reference.run import INPUTS, OUTPUTS
from tests.reference.oracle.pages import recorded
from tests.reference.oracle.test_findings import truth
from tests.strategies import drawn
from tests.twins import same_bits

RUN = drawn((3, 2, 4, 5), "ordinary", "float64", 0)
RIGHT = {name: truth().blocks[name] for name in OUTPUTS}


def refusal(error: type[Exception], function: Callable[..., Any], *args: Any) -> str:
    """What a call says as it raises this error."""
    with pytest.raises(error) as raised:
        function(*args)
    return str(raised.value)


def test_a_run_is_its_inputs_in_float64_and_its_outputs_as_they_are() -> None:
    run = recorded(dtype="float32")
    read = judging.recorded(run)
    assert (read.file, read.case.number, read.case.regime, read.case.sizes) == (None, 0, "recorded", (4, 2, 3, 5))
    assert same_bits(read.case.inputs, {name: run[name].astype(np.float64) for name in INPUTS})
    assert same_bits(read.outputs, {name: run[name] for name in OUTPUTS})


def test_a_missing_input_is_zero_and_a_missing_output_is_not_judged() -> None:
    run = recorded()
    for name in ("b_f", "dh_T", "h", "dx"):
        del run[name]
    read = judging.recorded(run)
    assert not read.case.inputs["b_f"].any()
    assert not read.case.inputs["dh_T"].any()
    assert read.outputs.keys() == OUTPUTS.keys() - {"h", "dx"}


def test_outputs_are_in_this_machine_s_byte_order_and_have_no_mask() -> None:
    run = recorded()
    turned = run["h"].astype(run["h"].dtype.newbyteorder())
    assert judging.recorded(run | {"h": turned}).outputs["h"].dtype.isnative
    masked = run | {"h": np.ma.masked_array(run["h"])}
    assert refusal(TypeError, judging.recorded, masked).startswith("h is a masked array; expected one without")


@pytest.mark.parametrize("kind", [Path, str])
def test_a_file_is_named_as_it_was_given(kind: Callable[[Path], Any], tmp_path: Path) -> None:
    write_run(tmp_path / "run.npz", recorded())
    read = judging.recorded(kind(tmp_path / "run.npz"))
    assert (type(read.file), read.file) == (str, str(tmp_path / "run.npz"))
    np.testing.assert_array_equal(read.outputs["dx"], recorded()["dx"])


def test_the_precisions_of_all_outputs_are_named_once() -> None:
    outputs = {name: array.astype("f4" if name == "C" else "f8") for name, array in RIGHT.items()}
    assert Recorded(None, RUN, outputs, 0).dtype == "float32/float64"
    assert Recorded(None, RUN, RIGHT, 0).dtype == "float64"


def test_a_shape_that_takes_a_while_is_announced_once(capsys: pytest.CaptureFixture[str]) -> None:
    announce.cache_clear()
    for _ in range(2):
        judging.recorded(recorded(sizes=(71, 9, 3, 11)))
    said = "Compiling the truth for up to T=80 B=10 D=3 H=12; this takes some seconds.\n"
    assert tuple(capsys.readouterr()) == ("", said)
    judging.recorded(recorded())
    assert tuple(capsys.readouterr()) == ("", "")


def test_an_array_that_no_run_has_is_refused() -> None:
    said = f"p is not an array of a run; expected {', '.join([*INPUTS, *OUTPUTS])}"
    assert refusal(TypeError, judging.recorded, {"p": 1, "q": 2}) == said


def test_a_run_without_outputs_is_refused() -> None:
    said = f"the run has no outputs; expected any of {', '.join(OUTPUTS)}"
    assert refusal(ValueError, judging.recorded, RUN.inputs) == said


def test_a_run_without_units_is_refused() -> None:
    size = {"T": 3, "B": 2, "D": 4, "H": 0}
    run = {name: np.zeros([size[dim] for dim in dims]) for name, dims in (INPUTS | OUTPUTS).items()}
    assert refusal(ValueError, judging.recorded, run) == "the run has T=3 B=2 D=4 H=0; expected H at least 1"


def test_outputs_without_a_number_are_refused() -> None:
    empty = {"h": np.zeros((3, 0, 5)), "dx": np.zeros((3, 0, 4))}
    said = "the run has T=3 B=0 D=4 H=5, and no number in h, dx; expected an output that holds one"
    assert refusal(ValueError, require_numbers, empty, (3, 0, 4, 5)) == said
    require_numbers(empty | {"db_f": np.zeros(5)}, (3, 0, 4, 5))


@pytest.mark.parametrize("dtype", ["float16", "int64"])
def test_an_array_of_another_dtype_is_refused(dtype: str) -> None:
    run = recorded()
    for name in ("dx", "x"):
        change = {name: run[name].astype(dtype)}
        said = f"{name} has dtype {dtype}; expected float32 or float64"
        assert refusal(TypeError, judging.recorded, run | change) == said


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_input_is_the_same_in_float64(dtype: str) -> None:
    found = exact("x", np.array([0, 0.5, -3], dtype))
    np.testing.assert_array_equal(found, np.array([0, 0.5, -3]), strict=True)


def test_an_input_with_a_mask_is_refused() -> None:
    assert refusal(TypeError, exact, "x", np.ma.masked_array(np.zeros(3))).startswith("x is a masked array")


def test_an_input_that_is_not_finite_is_refused_by_its_first_place() -> None:
    x = np.zeros((2, 3))
    x[0, 1], x[1, 2] = -np.inf, np.nan
    said = "x is -inf at [0, 1]; expected finite inputs, nothing else can be judged"
    assert refusal(ValueError, exact, "x", x) == said


@pytest.mark.parametrize("run", [3, None, b"run.npz"])
def test_what_is_neither_a_run_nor_a_path_is_refused(run: Any) -> None:
    expected = "expected a mapping from name to array, an .npz file or a folder of .npy files"
    assert refusal(TypeError, path_of, run) == f"run is of type {type(run).__name__}; {expected}"


def test_an_empty_path_of_any_type_is_refused() -> None:
    class Empty:
        def __fspath__(self) -> str:
            return ""

    for path in ("", Empty()):
        said = "the path is empty; expected an .npz file or a folder of .npy files"
        assert refusal(RunFileError, path_of, path) == said
    assert path_of("here") == path_of(Path("here")) == Path("here")


def test_a_run_whose_truth_does_not_fit_into_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "MOST_BYTES", 10**4)
    assert refusal(ValueError, judging.recorded, recorded()).startswith("the run has T=4 B=2 D=3 H=5, for which")


@pytest.mark.parametrize(("sizes", "needed"), [((4, 2, 3, 5), 51_200), ((3, 2, 7, 5), 59_520)])
def test_the_memory_is_that_of_120_arrays_as_wide_as_x_or_h_and_of_40_as_a_gate_s_weights(
    sizes: Sizes, needed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for enough in (needed, needed + 1):
        monkeypatch.setattr(judging, "MOST_BYTES", enough)
        require_within_reason(sizes)
    monkeypatch.setattr(judging, "MOST_BYTES", needed - 1)
    assert refusal(ValueError, require_within_reason, sizes)


def test_a_run_that_needs_more_than_4_gib_is_refused() -> None:
    require_within_reason((100, 100, 30, 400))
    said = (
        "the run has T=200 B=100 D=30 H=400, for which autodiff needs about 7.2 GiB; "
        "expected at most 4: take fewer steps or rows"
    )
    assert refusal(ValueError, require_within_reason, (200, 100, 30, 400)) == said


def test_outputs_in_a_precision_in_which_rounding_may_change_everything_are_refused() -> None:
    chaotic = truth(loss=2 * 10**4)
    require_telling(chaotic, RIGHT)
    said = (
        "C is of a run on which rounding in float32 may change everything (chaotic, or near the end of the range); "
        "expected one that tells right from wrong: fewer steps, smaller weights or gradients"
    )
    assert refusal(ValueError, require_telling, chaotic, RIGHT | {"C": RIGHT["C"].astype("f4")}) == said
