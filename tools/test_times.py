"""A pytest plugin that says where the time of the tests goes, file by file.

    python -m pytest -p tools.test_times

The table has a line for each file: all its seconds, then the seconds in which JAX traced and
compiled, PyTorch ran a reference, and a test waited for a subprocess. The rest is MindSpore, NumPy
and Python. The column `cpu` holds the seconds of all cores, subprocesses included, which stay the
same on a busy machine.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Generator
from typing import Any

import pytest

__all__: list[str] = []

_KINDS = ("cpu", "compiling", "reference", "subprocess")
_PROPERTY = "seconds by kind"
_COMPILE_EVENTS = (
    "/jax/core/compile/jaxpr_trace_duration",
    "/jax/core/compile/jaxpr_to_mlir_module_duration",
    "/jax/core/compile/backend_compile_duration",
)

_cpu_before = [0.0]
_spent: dict[str, float] = defaultdict(float)
_open: set[str] = set()
_watched: set[str] = set()
_by_file: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))


def _timed(kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with its seconds counted; a call within a call counts once."""

    def call(*args: Any, **kwargs: Any) -> Any:
        if kind in _open:
            return function(*args, **kwargs)
        _open.add(kind)
        start = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            _spent[kind] += time.perf_counter() - start
            _open.discard(kind)

    return call


def _watch() -> None:
    """Count the calls of libraries that have been imported by now."""
    if "subprocess" not in _watched:
        _watched.add("subprocess")
        for name in ("wait", "communicate"):
            waiting = _timed("subprocess", getattr(subprocess.Popen, name))
            setattr(subprocess.Popen, name, waiting)
    if "torch.nn" in sys.modules and "torch" not in _watched:
        _watched.add("torch")
        module = sys.modules["torch.nn"].Module
        module.__call__ = _timed("reference", module.__call__)
    if "jax.monitoring" in sys.modules and "jax" not in _watched:
        _watched.add("jax")
        sys.modules["jax.monitoring"].register_event_duration_secs_listener(_compiled)


def _cpu() -> float:
    """Return the CPU seconds of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _compiled(event: str, seconds: float, **_: Any) -> None:
    if event in _COMPILE_EVENTS:
        _spent["compiling"] += seconds


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Count what libraries do during one test with its fixtures."""
    _watch()
    _spent.clear()
    _cpu_before[0] = _cpu()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Put the seconds so far into the report, which may travel to another process."""
    report = yield
    _watch()
    now = _cpu()
    _spent["cpu"], _cpu_before[0] = now - _cpu_before[0], now
    report.user_properties = [(_PROPERTY, {kind: round(_spent[kind], 3) for kind in _KINDS})]
    _spent.clear()
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add one report to its file's line."""
    line = _by_file[report.nodeid.partition("::")[0]]
    line["all"] += report.duration
    for name, seconds in report.user_properties:
        if name == _PROPERTY:
            for kind, spent in dict(seconds).items():  # type: ignore[call-overload]
                line[kind] += spent


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the table, the longest file first."""
    columns = ("all", *_KINDS)
    terminalreporter.section("seconds by file")
    terminalreporter.write_line(" ".join(f"{name:>10}" for name in columns) + "  file")
    lines = sorted(_by_file.items(), key=lambda item: -item[1]["all"])
    total = {name: sum(line[name] for _, line in lines) for name in columns}
    for name, line in [("in all", total), *lines]:
        figures = " ".join(f"{line[column]:10.1f}" for column in columns)
        terminalreporter.write_line(f"{figures}  {name}")
