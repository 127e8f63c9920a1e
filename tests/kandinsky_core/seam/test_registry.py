"""Finding backends, and saying which extra installs a missing one."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, PackageNotFoundError

import pytest

from kandinsky_core.errors import BackendUnavailableError, InvalidInputError, KandinskyError
from kandinsky_core.seam import registry as backend
from kandinsky_core.seam.backend import Backend
from kandinsky_core.seam.registry import (
    ENTRY_POINT_GROUP,
    backend_names,
    backend_reports,
    environment_problem,
    get_backend,
    require_packages,
)


class Fake:
    """A backend of nothing."""

    name = "fake"


class Tunable(Fake):
    """A backend with an option."""

    def __init__(self, *, speed: int = 1) -> None:
        self.speed = speed


def broken() -> None:
    raise RuntimeError("jaxlib version 0.1 is newer than\nand incompatible with jax")


def without_device() -> None:
    raise RuntimeError("Unable to initialize backend 'cuda':\nset JAX_PLATFORMS")


def missing() -> None:
    require_packages("mindspore", "kandinsky-no-such-package")


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replace the registered backends."""
    monkeypatch.delenv("KANDINSKY_BACKEND", raising=False)

    def replace(**targets: str) -> None:
        points = [EntryPoint(name, value, ENTRY_POINT_GROUP) for name, value in targets.items()]
        monkeypatch.setattr(backend, "entry_points", lambda group: points)

    return replace


HERE = __name__


def refusal(name: str | None) -> str:
    with pytest.raises(BackendUnavailableError) as caught:
        get_backend(name)
    assert isinstance(caught.value, ImportError)
    assert isinstance(caught.value, KandinskyError)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_jax_comes_first(register: Callable[..., None]) -> None:
    register(zeta=f"{HERE}:Fake", mindspore=f"{HERE}:Fake", jax=f"{HERE}:Fake")
    assert backend_names() == ("jax", "mindspore", "zeta")


def test_first_installed_one_is_taken(register: Callable[..., None]) -> None:
    register(jax=f"{HERE}:missing", mindspore=f"{HERE}:Fake")
    assert isinstance(get_backend(), Fake)


def test_environment_chooses_and_is_named(
    register: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    register(jax=f"{HERE}:missing", other=f"{HERE}:Fake")
    monkeypatch.setenv("KANDINSKY_BACKEND", "other")
    assert isinstance(get_backend(), Fake)
    assert "kandinsky-no-such-package" in refusal("jax")  # an argument beats the environment
    monkeypatch.setenv("KANDINSKY_BACKEND", "jaxx")
    assert "'jaxx' (from the environment's KANDINSKY_BACKEND): choose one of" in refusal(None)


def test_unknown_name_lists_the_known(register: Callable[..., None]) -> None:
    register(jax=f"{HERE}:Fake", mindspore=f"{HERE}:Fake")
    assert refusal("torch") == "there is no backend 'torch': choose one of jax, mindspore"
    register()
    assert "kandinsky-anywhere is not installed" in refusal("jax")


def test_missing_packages_name_the_extra(register: Callable[..., None]) -> None:
    register(mindspore=f"{HERE}:missing")
    said = refusal("mindspore")
    assert said.startswith("the mindspore backend needs kandinsky-no-such-package, not installed")
    assert "pip install 'kandinsky-anywhere[mindspore]'" in said
    assert said in refusal(None)
    assert "kandinsky-anywhere[jax]" in refusal(None)


def test_options_reach_the_backend_chosen(
    register: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    register(jax=f"{HERE}:missing", other=f"{HERE}:Tunable")
    assert speed(get_backend("other")) == 1
    assert speed(get_backend("other", speed=2)) == 2
    with pytest.raises(InvalidInputError, match="speed: options are one backend's own; give its"):
        get_backend(speed=3)
    monkeypatch.setenv("KANDINSKY_BACKEND", "other")
    assert speed(get_backend(speed=4)) == 4


def speed(chosen: Backend) -> int:
    assert isinstance(chosen, Tunable)
    return chosen.speed


def test_options_that_a_backend_lacks_are_refused(register: Callable[..., None]) -> None:
    register(jax=f"{HERE}:Fake", other=f"{HERE}:Tunable")
    with pytest.raises(InvalidInputError, match="the jax backend has no option 'speed': it has no"):
        get_backend("jax", speed=1)
    with pytest.raises(InvalidInputError, match="no option 'sped': choose from speed"):
        get_backend("other", speed=1, sped=2)


@pytest.mark.parametrize("target", ["broken", "no_such_name"])
def test_broken_packages_are_a_typed_error(register: Callable[..., None], target: str) -> None:
    register(jax=f"{HERE}:{target}", gone="no_such_module:create", good=f"{HERE}:Fake")
    assert "the jax backend cannot be imported" in refusal("jax")
    assert "the gone backend cannot be imported" in refusal("gone")
    assert isinstance(get_backend(), Fake)


def test_upgrade_is_advised_only_where_it_helps(register: Callable[..., None]) -> None:
    register(old=f"{HERE}:broken", device=f"{HERE}:without_device")
    assert "pip install --upgrade" in refusal("old")
    said = refusal("device")
    assert "cannot start (Unable to initialize backend 'cuda': set JAX_PLATFORMS)" in said
    assert "pip" not in said


def test_environment_problem(
    register: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    register(jax=f"{HERE}:Fake")
    assert environment_problem() is None
    for name, wrong in (("jax", False), ("", False), ("jacks", True)):
        monkeypatch.setenv("KANDINSKY_BACKEND", name)
        assert (environment_problem() is not None) is wrong


def test_reports_tell_why_a_backend_is_not_available(register: Callable[..., None]) -> None:
    register(jax=f"{HERE}:broken", mindspore=f"{HERE}:missing")
    reports = backend_reports()
    assert [report.name for report in reports] == ["jax", "mindspore"]
    assert not any(report.available for report in reports)
    assert "incompatible" in str(reports[0].problem)
    assert "kandinsky-anywhere[mindspore]" in str(reports[1].problem)


def test_missing_jax_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the test's own backend, but the real one, as if jaxlib and flax were not installed."""
    real = importlib.metadata.version

    def version(package: str) -> str:
        if package in ("jaxlib", "flax"):
            raise PackageNotFoundError(package)
        return real(package)

    monkeypatch.setattr(backend, "version", version)
    said = refusal("jax")
    assert said == (
        "the jax backend needs jaxlib, flax, not installed: pip install 'kandinsky-anywhere[jax]'"
    )


def test_blocked_import_of_jax_is_a_typed_error() -> None:
    """As where the package's metadata is there and its module is not."""
    code = (
        "import sys; sys.modules['jax'] = None\n"
        "from kandinsky_core import get_backend, KandinskyError\n"
        "try:\n    get_backend('jax')\nexcept KandinskyError as error:\n    sys.exit(str(error))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("the jax backend cannot be imported")
    assert "kandinsky-anywhere[jax]" in done.stderr
