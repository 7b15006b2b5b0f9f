"""The pytest plugin, `pytest --lstm=…`, and `parametrize_with_checks` in a test file."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from lstm_oracle import parametrize_with_checks
from lstm_oracle.conformance import properties
from lstm_oracle.inputs.cases import LARGEST_SIZES, draw_case
from lstm_oracle.run import OUTPUTS
from tests.candidates import adapters
from tests.strategies import range_of

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
MODULE = adapters.__name__
COUNT = len(list(properties()))


def judged(pytester: pytest.Pytester, name: str, *options: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess(f"--lstm={MODULE}:{name}", "--lstm-runs=14", "-p", "no:randomly", *options)


def test_a_correct_lstm_passes_every_test_in_an_empty_folder(pytester: pytest.Pytester) -> None:
    result = judged(pytester, "right", "-v")
    result.assert_outcomes(passed=COUNT)
    result.stdout.fnmatch_lines([
        f"lstm: {MODULE}:right, 14 runs, float64, layout manual, seed 0; lstm-oracle *, numpy *, jax *",
        f"*collected {COUNT} items",
        "lstm::returns PASSED*",
        "lstm::values?dW_f? PASSED*",
        "lstm::regime?saturated? PASSED*",
        "lstm::empty?T=0? PASSED*",
    ])  # fmt: skip


def test_a_wrong_output_is_named_with_the_command_that_repeats_the_run(pytester: pytest.Pytester) -> None:
    result = judged(pytester, "only_long", "-k", "values")
    result.assert_outcomes(passed=len(OUTPUTS) - 1, failed=1, deselected=COUNT - len(OUTPUTS))
    result.stdout.fnmatch_lines([
        "*h is wrong on * runs, worst on run *",
        f"Repeat with: lstm-oracle check {MODULE}:only_long --run * --seed 0 --dtype float64 --sizes 4,1,1,1*",
        "FAILED lstm::values?h?*",
    ])  # fmt: skip


def test_misbehaviour_fails_its_own_test_alone(pytester: pytest.Pytester) -> None:
    result = judged(pytester, "segfaults", "--lstm-dtype=float32")
    result.assert_outcomes(passed=COUNT - 2, failed=1, skipped=1)  # the only run with B=0 crashed
    result.stdout.fnmatch_lines(["Crashes its process: killed by SIGSEGV*", "FAILED lstm::returns*"])


def test_an_output_that_is_not_returned_and_an_empty_run_that_is_not_supported_are_skipped(
    pytester: pytest.Pytester,
) -> None:
    result = judged(pytester, "forward_only", "-rs")
    result.assert_outcomes(passed=COUNT - 16, skipped=16)
    result.stdout.fnmatch_lines(["*dW_f was not returned"])
    result = judged(pytester, "refuses_empty", "-rs")
    result.assert_outcomes(passed=COUNT - 3, skipped=3)
    result.stdout.fnmatch_lines(["*no such run was judged: ValueError: no empty input*"])


def test_the_tests_of_the_xfails_file_are_expected_to_fail_and_lines_without_a_test_fail(
    pytester: pytest.Pytester,
) -> None:
    pytester.makefile(
        ".txt",
        xfails="""
        # a comment
        values[h]  h is scaled from the fourth step on
        lstm::split_sequence  likewise
        values[C]  was wrong in an earlier version
        values[H]  no such test
        """,
    )
    result = judged(pytester, "only_long", "--lstm-xfails=xfails.txt", "-k", "values or split or xfails", "-rxf")
    result.assert_outcomes(passed=len(OUTPUTS) - 2, xfailed=2, failed=2, deselected=COUNT - len(OUTPUTS) - 1)
    result.stdout.fnmatch_lines([
        "*XPASS(strict)* was wrong in an earlier version",
        "*xfails.txt:5 matches no test; expected one of returns, *",
        "XFAIL lstm::values?h? - h is scaled from the fourth step on",
    ])  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--lstm-layout=pytorch"], "--lstm-layout is 'pytorch'; expected one of manual, source, torch, keras, *"),
        (["--lstm-dtype=float16"], "--lstm-dtype is 'float16'; expected float64 or float32"),
        (["--lstm-xfails=absent"], "--lstm-xfails: *absent cannot be read*"),
        (["--lstm-xfails=bare"], "--lstm-xfails: *bare:1 gives no reason*"),
    ],
)
def test_an_unusable_option_is_refused(options: list[str], message: str, pytester: pytest.Pytester) -> None:
    (pytester.path / "bare").write_text("values[h]\n")
    result = judged(pytester, "right", *options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{message}*"])


def test_an_lstm_that_cannot_be_imported_ends_the_session_with_status_2(pytester: pytest.Pytester) -> None:
    result = judged(pytester, "absent")
    assert result.ret == 2
    result.stdout.fnmatch_lines([f"*--lstm: {MODULE}:absent cannot be imported: AttributeError*"])


def test_named_files_run_beside_the_suite(pytester: pytest.Pytester) -> None:
    file = pytester.makepyfile("def test_mine(): pass")
    judged(pytester, "right", "-k", "mine or quiet").assert_outcomes(passed=1, deselected=COUNT - 1)
    judged(pytester, "right", "-k", "mine or quiet", str(file)).assert_outcomes(passed=2, deselected=COUNT - 1)


def test_without_its_option_the_plugin_imports_neither_numpy_nor_jax_nor_manual(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile("import sys\ndef test_mine(): assert not {'jax', 'numpy', 'manual'} & set(sys.modules)")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # other plugins may import NumPy
    result = pytester.runpytest_subprocess("-p", "lstm-oracle", "--trace-config")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*lstm_oracle*pytest_plugin.py"])


def test_parametrize_with_checks_runs_every_test_on_every_adapter(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        from lstm_oracle import parametrize_with_checks
        from {MODULE} import right

        @parametrize_with_checks([right, "{MODULE}:forward_only"], max_examples=7)
        def test_lstm(adapter, check):
            check(adapter)
        """
    )
    result = pytester.runpytest_inprocess("-v")
    result.assert_outcomes(passed=2 * COUNT - 16, skipped=16)
    result.stdout.fnmatch_lines(
        ["*::test_lstm?right-values?h?? PASSED*", f"*::test_lstm?{MODULE}:forward_only-quiet? PASSED*"]
    )


def test_the_example_of_parametrize_with_checks_runs(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_lstm=inspect.getdoc(parametrize_with_checks).split("::\n\n")[1])  # type: ignore[union-attr]
    result = pytester.runpytest_inprocess()
    assert result.ret == 0
    result.assert_outcomes(passed=COUNT - 15, skipped=15)


def test_parametrize_with_checks_takes_a_list() -> None:
    with pytest.raises(TypeError, match="expected a list of adapters"):
        parametrize_with_checks(adapters.right)  # type: ignore[arg-type]


def test_the_wheel_works_in_an_empty_folder_without_a_checkout(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "mine.py").write_text(
        "import numpy as np, lstm_oracle\n"
        "assert 'installed' in lstm_oracle.__file__\n"
        "def adapter(x, h0, **run): return {'h': np.zeros((*x.shape[:2], h0.shape[1]))}\n"
    )
    seed = next(seed for seed in range(100) if is_small(seed))
    command = [sys.executable, "-m", "pytest", "--lstm=mine:adapter", "--lstm-runs=1", f"--lstm-seed={seed}"]
    env = os.environ | {"PYTHONPATH": str(tmp_path / "installed")}
    ran = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert f"lstm: mine:adapter, 1 runs, float64, layout manual, seed {seed}; lstm-oracle " in ran.stdout
    assert "FAILED lstm::values[h]" in ran.stdout


def is_small(seed: int) -> bool:
    sizes = draw_case(seed, 0, np.dtype(np.float64)).sizes
    return range_of(sizes) == LARGEST_SIZES[0] and min(sizes) > 1
