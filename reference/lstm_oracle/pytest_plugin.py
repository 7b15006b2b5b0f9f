"""The pytest plugin: `pytest --lstm=pkg.module:adapter` runs the conformance suite on an LSTM, in any folder.

pytest imports this module in every environment where the package is installed. The rest of the package, and with it
NumPy and JAX, is therefore imported only by functions that run when `--lstm` is given.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from lstm_oracle.conformance import Property
    from lstm_oracle.reports.report import Report


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, whose names all begin with `--lstm`."""
    group = parser.getgroup("lstm", "conformance of an LSTM")
    group.addoption("--lstm", metavar="TARGET", help="judge pkg.module:adapter or 'exec:./program arguments'")
    group.addoption(
        "--lstm-layout",
        default="manual",
        metavar="NAME",
        help="how the weights are arranged: torch, keras or another name in manual.layouts.LAYOUTS; the gradient of an "
        "array has the name of the array with a d before it (default: manual, which means W_f … b_o)",
    )
    group.addoption("--lstm-dtype", default="float64", metavar="DTYPE", help="float64 (default) or float32")
    group.addoption("--lstm-runs", type=int, default=100, metavar="N", help="number of runs to draw (default: 100)")
    group.addoption(
        "--lstm-seed", type=int, default=0, metavar="S", help="determines which runs are drawn (default: 0)"
    )
    group.addoption(
        "--lstm-timeout", type=float, default=60.0, metavar="S", help="time limit for one run in seconds (default: 60)"
    )
    group.addoption(
        "--lstm-xfails",
        metavar="FILE",
        help="file of the tests that are expected to fail, with one `test reason` per line",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Check the options. If no test files are named, collect none: only the conformance suite runs."""
    if config.option.lstm is None:
        return
    if not all(map(find_spec, ("jax", "hypothesis"))):
        raise pytest.UsageError("--lstm needs packages that are not installed: pip install 'lstm-oracle[oracle]'")
    require_layout(config.option.lstm_layout)
    if config.option.lstm_dtype not in ("float64", "float32"):
        raise pytest.UsageError(f"--lstm-dtype is {config.option.lstm_dtype!r}; expected float64 or float32")
    read_xfails(config)
    if config.args_source != pytest.Config.ArgsSource.ARGS:
        config.args = []


def require_layout(layout: str) -> None:
    """Raise UsageError unless a layout is known; exit with status 2 if another module shadows our `manual`."""
    if layout == "manual":  # the default, for which `manual` is not needed
        return
    from lstm_oracle.inputs.weight_layout import layout_names

    try:
        names = layout_names()
    except ImportError as error:
        pytest.exit(f"--lstm-layout: {error}", 2)
    if layout not in names:
        raise pytest.UsageError(f"--lstm-layout is {layout!r}; expected one of {', '.join(names)}")


def pytest_report_header(config: pytest.Config) -> str | None:
    """Return a line with the target, the options and the versions."""
    if config.option.lstm is None:
        return None
    from lstm_oracle.reports.verdict import versions

    option = config.option
    by = ", ".join(f"{package} {number}" for package, number in versions().items())
    runs = f"{option.lstm_runs} runs, {option.lstm_dtype}, layout {option.lstm_layout}, seed {option.lstm_seed}"
    return f"lstm: {option.lstm}, {runs}; {by}"


@pytest.hookimpl(tryfirst=True)  # before -k and -m select
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add the conformance suite to the collected tests."""
    if config.option.lstm is not None:
        items.extend(session.genitems(Suite.from_parent(session, name="lstm", nodeid="lstm")))


class Suite(pytest.Collector):
    """The conformance tests of one LSTM, which is judged once, when the first of them runs."""

    _report: Report | None = None

    def collect(self) -> Iterator[pytest.Item]:
        """Yield a test for each property, and a failing test for each line of the xfails file that matches no test."""
        from lstm_oracle.conformance import properties

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
        """The report on the LSTM."""
        from lstm_oracle.judging.check import check

        option = self.config.option
        if self._report is None:
            try:
                self._report = check(
                    option.lstm,
                    dtype=option.lstm_dtype,
                    max_examples=option.lstm_runs,
                    seed=option.lstm_seed,
                    timeout=option.lstm_timeout,
                    layout=option.lstm_layout,
                )
            except ValueError as error:
                pytest.exit(f"--lstm: {error}", 2)
        return self._report


class Test(pytest.Item):
    """The test of one property."""

    def __init__(self, *, tested: Property, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tested = tested

    def runtest(self) -> None:
        """Pass, fail or skip, depending on the report."""
        assert isinstance(self.parent, Suite)
        self.tested.hold(self.parent.report)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Return the heading of a failure."""
        return self.path, None, self.name


class Stale(pytest.Item):
    """A failing test for a line of the xfails file that matches no test."""

    def __init__(self, *, line: int, expected: tuple[str, ...], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.line, self.expected = line, expected

    def runtest(self) -> None:
        """Fail with the number of the line and the expected names."""
        file = self.config.option.lstm_xfails
        pytest.fail(f"{file}:{self.line} matches no test; expected one of {', '.join(self.expected)}", pytrace=False)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Return the heading of a failure."""
        return self.path, None, self.name


def read_xfails(config: pytest.Config) -> dict[str, tuple[int, str]]:
    """Return the tests of the xfails file by name, each with its line number and its reason."""
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
