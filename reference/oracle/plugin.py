"""The pytest plugin: `pytest --lstm=pkg.module:adapter` runs the conformance suite on it, in any folder.

pytest imports this module wherever the package is installed, so it imports nothing itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from reference.oracle.conformance import Property
    from reference.oracle.report import Report


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, all of which begin with --lstm."""
    group = parser.getgroup("lstm", "conformance of an LSTM")
    group.addoption("--lstm", metavar="TARGET", help="judge pkg.module:adapter or 'exec:./program arguments'")
    group.addoption(
        "--lstm-layout",
        default="manual",
        metavar="NAME",
        help="how its weights and their gradients lie: torch, keras or another name of manual.layouts.LAYOUTS, by the "
        "names there, a gradient's with a d before it (default: manual, W_f … b_o as in reference/run.py)",
    )
    group.addoption("--lstm-dtype", default="float64", metavar="DTYPE", help="float64 (default) or float32")
    group.addoption("--lstm-runs", type=int, default=100, metavar="N", help="how many runs to draw (default: 100)")
    group.addoption("--lstm-seed", type=int, default=0, metavar="S", help="draws other runs (default: 0)")
    group.addoption("--lstm-timeout", type=float, default=60.0, metavar="S", help="seconds for one run (default: 60)")
    group.addoption("--lstm-xfails", metavar="FILE", help="tests that are known to fail: lines of `test reason`")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse what cannot be met. Where no file is named, judge the LSTM and collect nothing else."""
    if config.option.lstm is None:
        return
    if not all(map(find_spec, ("jax", "hypothesis"))):
        raise pytest.UsageError("--lstm needs more than is installed: pip install 'lstm-oracle[oracle]'")
    from reference.oracle.laid_out import NAMES

    if config.option.lstm_layout not in NAMES:
        raise pytest.UsageError(f"--lstm-layout is {config.option.lstm_layout!r}; expected one of {', '.join(NAMES)}")
    if config.option.lstm_dtype not in ("float64", "float32"):
        raise pytest.UsageError(f"--lstm-dtype is {config.option.lstm_dtype!r}; expected float64 or float32")
    read_xfails(config)
    if config.args_source != pytest.Config.ArgsSource.ARGS:
        config.args = []


def pytest_report_header(config: pytest.Config) -> str | None:
    """What is judged, by which versions, from which seed."""
    if config.option.lstm is None:
        return None
    from reference.oracle.report import versions

    option = config.option
    by = ", ".join(f"{package} {number}" for package, number in versions().items())
    runs = f"{option.lstm_runs} runs, {option.lstm_dtype}, layout {option.lstm_layout}, seed {option.lstm_seed}"
    return f"lstm: {option.lstm}, {runs}; {by}"


@pytest.hookimpl(tryfirst=True)  # before -k and -m choose
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add the suite to what was collected."""
    if config.option.lstm is not None:
        items.extend(session.genitems(Suite.from_parent(session, name="lstm", nodeid="lstm")))


class Suite(pytest.Collector):
    """The tests of one LSTM, which is judged once, when the first of them runs."""

    found: Report | None = None

    def collect(self) -> Iterator[pytest.Item]:
        """A test for each property, and one for each line of the xfails file that names none."""
        from reference.oracle.conformance import properties

        xfails = read_xfails(self.config)
        tests = {tested.name: tested for tested in properties()}
        for name, tested in tests.items():
            test = Test.from_parent(self, name=name, tested=tested)
            if name in xfails:
                test.add_marker(pytest.mark.xfail(reason=xfails[name][1], strict=True))
            yield test
        for name, (line, _) in xfails.items():
            if name not in tests:
                yield Stale.from_parent(self, name=f"xfails[{name}]", line=line, expected=tuple(tests))

    @property
    def report(self) -> Report:
        """What was found out about it."""
        from reference.oracle.checking import check

        option = self.config.option
        if self.found is None:
            try:
                self.found = check(
                    option.lstm,
                    dtype=option.lstm_dtype,
                    max_examples=option.lstm_runs,
                    seed=option.lstm_seed,
                    timeout=option.lstm_timeout,
                    layout=option.lstm_layout,
                )
            except ValueError as error:
                pytest.exit(f"--lstm: {error}", 2)
        return self.found


class Test(pytest.Item):
    """One property."""

    def __init__(self, *, tested: Property, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tested = tested

    def runtest(self) -> None:
        """Hold it against the report."""
        assert isinstance(self.parent, Suite)
        self.tested.hold(self.parent.report)

    def reportinfo(self) -> tuple[Path, None, str]:
        """How a failure is headed."""
        return self.path, None, self.name


class Stale(pytest.Item):
    """A line of the xfails file that names no test: it fails."""

    def __init__(self, *, line: int, expected: tuple[str, ...], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.line, self.expected = line, expected

    def runtest(self) -> None:
        """Say so."""
        file = self.config.option.lstm_xfails
        pytest.fail(f"{file}:{self.line} matches no test; expected one of {', '.join(self.expected)}", pytrace=False)

    def reportinfo(self) -> tuple[Path, None, str]:
        """How a failure is headed."""
        return self.path, None, self.name


def read_xfails(config: pytest.Config) -> dict[str, tuple[int, str]]:
    """The tests that the xfails file names, each with its line and its reason."""
    if config.option.lstm_xfails is None:
        return {}
    file = config.invocation_params.dir / config.option.lstm_xfails
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise pytest.UsageError(f"--lstm-xfails: {file} cannot be read: {error}") from None
    found = {}
    for number, line in enumerate(lines, 1):
        name, _, reason = line.strip().partition(" ")
        if not name or name.startswith("#"):
            continue
        if not reason.strip():
            raise pytest.UsageError(f"--lstm-xfails: {file}:{number} gives no reason; expected `test reason`")
        found[name.removeprefix("lstm::")] = number, reason.strip()
    return found
