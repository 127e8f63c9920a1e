"""JAX set up by its user for other code: pictures are the same, or one line says what is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from kandinsky_core import AutoPipelineForText2Image, get_backend  # noqa: E402
from kandinsky_core.errors import BackendUnavailableError  # noqa: E402
from kandinsky_core.seam.compilations import CompilationLog  # noqa: E402
from kandinsky_core.seam.registry import backend_reports  # noqa: E402
from kandinsky_jax.placement.devices import default_device, device_name  # noqa: E402
from kandinsky_jax.placement.places import OneDevice  # noqa: E402
from kandinsky_jax.programs.program import Program  # noqa: E402
from kandinsky_jax.runtime import at_work  # noqa: E402

_x64: Any = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64

SETTINGS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "JAX_DISABLE_JIT": lambda: jax.disable_jit(True),
    "jax_debug_infs": lambda: jax.debug_infs(True),
    "jax_debug_nans": lambda: jax.debug_nans(True),
    "jax_default_device": lambda: jax.default_device(jax.local_devices()[-1]),
    "jax_default_matmul_precision": lambda: jax.default_matmul_precision("bfloat16"),
    "jax_enable_x64": lambda: _x64(True),
    "jax_numpy_dtype_promotion": lambda: jax.numpy_dtype_promotion("strict"),
    "jax_numpy_rank_promotion": lambda: jax.numpy_rank_promotion("raise"),
    "jax_transfer_guard": lambda: jax.transfer_guard("disallow"),
    "jax_transfer_guard, explicit": lambda: jax.transfer_guard("disallow_explicit"),
}
TOGETHER = tuple(name for name in SETTINGS if "debug" not in name and "explicit" not in name)


def pictures(model: Path) -> list[Any]:
    """Load, make a picture, cast there and back, read a weight, offload, make it again."""
    pipe = AutoPipelineForText2Image.from_pretrained(model, backend=get_backend("jax"))
    pipe.set_progress_bar_config(disable=True)

    def made() -> Any:
        steps = {"num_inference_steps": 2, "prior_num_inference_steps": 2}
        return pipe("a circle", height=16, width=16, seed=1, output_type="np", **steps).images

    first = made()
    weight = pipe.unet.read_weights(["conv_in.weight"])
    pipe.unet.update_weights(weight)
    pipe.unet.restore_weights()
    pipe.enable_model_cpu_offload()
    return [first, made()]


@pytest.fixture(scope="module")
def expected(shallow: Path) -> list[Any]:
    return pictures(shallow)


def test_settings_for_other_code_do_not_reach_a_program() -> None:
    """Each of them would refuse something: ranks, dtypes, transfers, an ahead-of-time program."""
    place = OneDevice(default_device())

    def function(weights: Any, x: Any) -> Any:
        return (x + weights) * jax.numpy.arange(3) + jax.numpy.ones(3, "float16")

    def result() -> Any:
        program = Program("sum", function, CompilationLog())
        with at_work(place.name):
            x = np.ones((2, 3), np.float32)
            return place.read(program(place, np.ones(3, np.float32), x))

    expected = result()
    with ExitStack() as stack:
        for name in SETTINGS:
            stack.enter_context(SETTINGS[name]())
        found = result()
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == expected.dtype == np.float32


@pytest.mark.slow(seconds=8)
def test_settings_for_other_code_change_no_picture(shallow: Path, expected: list[Any]) -> None:
    with ExitStack() as stack:
        for name in TOGETHER:
            stack.enter_context(SETTINGS[name]())
        found = pictures(shallow)
    np.testing.assert_array_equal(found, expected)


def test_the_caller_s_default_device_is_ours() -> None:
    device = jax.local_devices()[-1]
    with jax.default_device(device):
        assert default_device() == device
    with jax.default_device("cpu"):
        assert device_name(default_device()) == "cpu"


@pytest.fixture
def asked_for_cuda() -> Iterator[None]:
    """The setting as `JAX_PLATFORMS` leaves it; JAX's devices are there already."""
    before = jax.config.values["jax_platforms"]
    jax.config.update("jax_platforms", "cuda")
    yield
    jax.config.update("jax_platforms", before)


@pytest.mark.usefixtures("asked_for_cuda")
@pytest.mark.parametrize("error", [RuntimeError("no\nplugin"), AssertionError()])
def test_a_platform_that_is_not_there_is_named(
    error: Exception, shallow: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """JAX fails in both ways; loading, the report and a mesh say so in one line."""

    def fail(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(jax, "local_devices", fail)
    with pytest.raises(BackendUnavailableError, match=r"JAX_PLATFORMS='cuda': [^\n]*leave") as told:
        AutoPipelineForText2Image.from_pretrained(shallow, backend="jax")
    with pytest.raises(BackendUnavailableError, match="JAX_PLATFORMS='cuda'"):
        get_backend("jax", mesh="data=2")
    (report,) = [report for report in backend_reports() if report.name == "jax"]
    assert report.problem == str(told.value)


def script(body: str, **environment: str) -> str:
    """Run a script in a process of its own, and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(body)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


LOAD = """
    from kandinsky_core import AutoPipelineForText2Image
    from kandinsky_core.errors import KandinskyError
    try:
        AutoPipelineForText2Image.from_pretrained("shapes", backend="jax")
    except KandinskyError as error:
        print(type(error).__name__, error)
"""


@pytest.mark.slow(seconds=6)
@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("JAX_PLATFORMS", "cuda", "BackendUnavailableError JAX_PLATFORMS='cuda': JAX cannot start"),
        ("JAX_PLATFORMS", "vax", "BackendUnavailableError JAX_PLATFORMS='vax': JAX cannot start"),
        ("JAX_PLATFORMS", "cpu", ""),
        ("XLA_FLAGS", "--xla_force_host_platform_device_count=0", "BackendUnavailableError JAX"),
        ("XLA_FLAGS", "--xla_force_host_platform_device_count=3", ""),
        ("KANDINSKY_MAX_PROGRAMS", "none", "InvalidInputError the environment's KANDINSKY_MAX"),
    ],
)
def test_environments_of_a_process(variable: str, value: str, said: str) -> None:
    if value == "cuda" and any(device.platform == "gpu" for device in jax.local_devices()):
        pytest.skip("there is one")
    printed = script(LOAD, **{variable: value})
    assert printed.startswith(said)
    assert printed.count("\n") == (1 if said else 0)


@pytest.mark.slow(seconds=6)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_fork_of_a_process_with_a_model_is_refused_at_once(shallow: Path) -> None:
    """Without the check the child waits for ever: the alarm would end it."""
    printed = script(
        """
        import os, signal, sys, warnings
        from kandinsky_core import AutoPipelineForText2Image
        from kandinsky_core.errors import BackendUnavailableError
        warnings.simplefilter("ignore")
        pipe = AutoPipelineForText2Image.from_pretrained(os.environ["MODEL"], backend="jax")
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            load = lambda: AutoPipelineForText2Image.from_pretrained("shapes", backend="jax")
            for use in (lambda: pipe("x"), lambda: pipe.to("float16"), pipe.compile, load):
                try:
                    use()
                except BackendUnavailableError as error:
                    print(error, flush=True)
            os._exit(0)
        sys.exit(os.waitpid(child, 0)[1])
        """,
        MODEL=str(shallow),
    )
    lines = printed.splitlines()
    assert len(lines) == 4
    assert all("was forked from process" in line and "'spawn'" in line for line in lines)
