"""Sets the environment in which libtpu compiles where there is no TPU."""

from __future__ import annotations

import os
from importlib.util import find_spec

import jax

__all__ = ["ENVIRONMENT", "MISSING", "has_libtpu", "prepare"]

ENVIRONMENT = {
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # a lock would end every process but the first
    "JAX_PLATFORMS": "cpu",
    "KANDINSKY_COMPILATION_CACHE": "",  # programs for devices that are not there cannot be kept
    "TPU_SKIP_MDS_QUERY": "1",  # of a cloud's own address, which nobody answers here
    "TPU_WORKER_HOSTNAMES": "localhost",
}
MISSING = (
    "there is no libtpu, whose compiler is asked: pip install --target tpu --no-deps "
    "libtpu==0.0.42.1, and PYTHONPATH=tpu before the command (docs/accelerators.md)"
)


def has_libtpu() -> bool:
    """Whether Google's library for TPUs is installed; its compiler runs on any x86-64 CPU."""
    return find_spec("libtpu") is not None


def prepare() -> None:
    """Set the environment; JAX must not have started its devices yet.

    Raises:
        SystemExit: There is no libtpu.
    """
    if not has_libtpu():
        raise SystemExit(MISSING)
    os.environ.update(ENVIRONMENT)
    jax.config.update("jax_platforms", ENVIRONMENT["JAX_PLATFORMS"])  # read on import
