"""What every test has: no network but the loopback interface, caches and a hub of its own."""

from __future__ import annotations

import gc
import ipaddress
import os
import shutil
import socket
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import hypothesis  # noqa: F401 - before objects are frozen, as it asks who refers to some
import pytest

from kandinsky_core.checkpoints.hub import EMBEDDED
from tests.support.fake_hub import FakeHub

# What a developer's shell may hold and no test may see.
_PERSONAL = (
    "HF_HUB_CACHE",
    "HF_HUB_OFFLINE",
    "HF_TOKEN",
    "HF_TOKEN_PATH",
    "HUGGINGFACE_HUB_CACHE",
    "HUGGING_FACE_HUB_TOKEN",
    "JAX_COMPILATION_CACHE_DIR",
    "KANDINSKY_BACKEND",
    "KANDINSKY_COMPILATION_CACHE_GIB",
    "KANDINSKY_MEMORY_CHECK",
    "TRANSFORMERS_OFFLINE",
)
# Most of what tests on JAX do is compiling, and small programs need no optimising by LLVM: without
# it the first picture of the embedded model takes two thirds of the time. Tests of the wheel and of
# the README's first command run without this.
_OPTIMISATION = "--xla_backend_optimization_level"
# MLIR takes a third more time for fusions than what it replaces, and a program in 32 parts, which
# gain nothing on one core, sets LLVM up 32 times. XLA ends a process that gives it a flag which it
# does not know, so these go to the version that was tried.
_TRIED = "0.7.1", "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
# Tracing makes objects by the million, nearly all of which stay until a program is compiled. Python
# would look through them after every 700.
_GARBAGE = 20_000
_HUB = pytest.StashKey[FakeHub]()


class NetworkAccessError(RuntimeError):
    """A test reached for the network. No OSError, which libraries would take for bad luck."""


def pytest_configure(config: pytest.Config) -> None:
    """Set the scene before test modules import what reads the environment once."""
    _take_own_cores()
    gc.set_threshold(_GARBAGE)
    if hasattr(config.option, "loadscopereorder"):  # pytest-xdist would order files itself
        config.option.loadscopereorder = False
    patch = pytest.MonkeyPatch()
    config.add_cleanup(patch.undo)
    caches = Path(tempfile.mkdtemp(prefix="kandinsky-tests-"))
    config.add_cleanup(lambda: shutil.rmtree(caches, ignore_errors=True))
    hub = config.stash[_HUB] = FakeHub()
    config.add_cleanup(hub.close)
    for name in _PERSONAL:
        patch.delenv(name, raising=False)
    settings = {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(caches / "huggingface"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DOWNLOAD_TIMEOUT": "60",  # seconds; a busy machine answers late
        "HF_HUB_ETAG_TIMEOUT": "60",
        "KANDINSKY_COMPILATION_CACHE": str(_compiled(config) or caches / "jax"),
        "NO_PROXY": "127.0.0.1,localhost",
    }
    flags = os.environ.get("XLA_FLAGS", "")
    if _OPTIMISATION not in flags:
        settings["XLA_FLAGS"] = f"{flags} {_flags()}".strip()
    for name, value in settings.items():
        patch.setenv(name, value)
    patch.setattr(socket.socket, "connect", _guarded(socket.socket.connect))
    patch.setattr(socket.socket, "connect_ex", _guarded(socket.socket.connect_ex))
    patch.setattr(socket, "getaddrinfo", _guarded_lookup(socket.getaddrinfo))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave slow tests out, and put the longest files first, so that none ends alone.

    A file counts as long as its slow tests together, as files of many slow tests have many others.
    `-m` has the last word, and a test that is named by its node id always runs.
    """
    seconds: dict[Path, float] = defaultdict(float)
    for item in items:
        seconds[item.path] += _seconds(item)
    items.sort(key=lambda item: -seconds[item.path])
    if not config.option.markexpr and not any("::" in named for named in config.args):
        config.hook.pytest_deselected(items=[item for item in items if _is_slow(item)])
        items[:] = [item for item in items if not _is_slow(item)]


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Spare Python a look through all that earlier files imported and traced, by the million.

    What a file leaves that is not garbage by then is not looked at again. Code that is tested
    collects garbage itself, which took a fifth of the time of some files.
    """
    if nextitem is not None and nextitem.path != item.path:
        gc.collect()
        gc.freeze()


def _flags() -> str:
    """Return what XLA does otherwise than for users."""
    tried, flags = _TRIED
    try:
        knows = version("jaxlib") == tried
    except PackageNotFoundError:
        knows = False
    return f"{_OPTIMISATION}=0 {flags}" if knows else f"{_OPTIMISATION}=0"


def _is_slow(item: pytest.Item) -> bool:
    return item.get_closest_marker("slow") is not None


def _seconds(item: pytest.Item) -> float:
    """Return about how long a slow test takes: what its mark says, else a few seconds."""
    mark = item.get_closest_marker("slow")
    return 0.0 if mark is None else float(mark.kwargs.get("seconds", 10))


def _take_own_cores() -> None:
    """Keep to this process's share of the cores, where pytest-xdist runs several processes.

    Threads of PyTorch, XLA and MindSpore wait for each other in loops: of more than there are cores
    each makes the others many times slower. They count the cores that they may use.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    if worker and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        workers = min(int(os.environ["PYTEST_XDIST_WORKER_COUNT"]), len(cores))
        os.sched_setaffinity(0, cores[int(worker) % workers :: workers])


def _compiled(config: pytest.Config) -> Path | None:
    """Where compiled programs stay until the next run, of which they take half the time.

    All processes of pytest-xdist share them.
    """
    cache = getattr(config, "cache", None)
    return None if cache is None else Path(cache.mkdir("compiled"))


def _guarded(connect: Any) -> Any:
    def guarded(self: socket.socket, address: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            _require_loopback(address[0])
        return connect(self, address)

    return guarded


def _guarded_lookup(lookup: Any) -> Any:
    def guarded(host: Any, *arguments: Any, **options: Any) -> Any:
        _require_loopback(host)
        return lookup(host, *arguments, **options)

    return guarded


def _require_loopback(host: str | bytes | None) -> None:
    name = os.fsdecode(host or "localhost")
    try:
        local = name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:  # a name
        local = False
    if not local:
        raise NetworkAccessError(f"a test reached for {name}")


@pytest.fixture
def hub(pytestconfig: pytest.Config) -> Iterator[FakeHub]:
    """The hub that `HF_ENDPOINT` names, without repositories; nothing of it was fetched before."""
    hub = pytestconfig.stash[_HUB]
    hub.clear()
    yield hub
    hub.clear()
    shutil.rmtree(Path(os.environ["HF_HOME"], "hub"), ignore_errors=True)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of the embedded model, free to be damaged."""
    return Path(shutil.copytree(EMBEDDED["shapes"], tmp_path / "model"))


@pytest.fixture(scope="session")
def shallow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded model with fewer layers and random weights, for what any weights show."""
    from tests.support.shallow_shapes import write_shallow_shapes

    return write_shallow_shapes(tmp_path_factory.mktemp("shallow") / "shapes")


@pytest.fixture(scope="module")
def shallow_shapes(shallow: Path) -> Iterator[None]:
    """Let `shapes` name that model, where a command or a sample names it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(EMBEDDED, "shapes", shallow)
        yield


@pytest.fixture(scope="module")
def one_backend() -> Iterator[None]:
    """Give a file one backend of each name."""
    from tests.support.backends import one_backend_of_each_name

    with one_backend_of_each_name():
        yield
