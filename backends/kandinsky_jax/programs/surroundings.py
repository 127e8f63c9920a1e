"""Describes what compiles and runs a program: versions, source code, devices and settings."""

from __future__ import annotations

import functools
import os
import re
import sys
import types
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any

import jax

import kandinsky_backend_kit
import kandinsky_core
from kandinsky_backend_kit.processor import processor_identity
from kandinsky_backend_kit.source_digest import SourceDigest
from kandinsky_jax.layers import (
    attention,
    attention_kernels,
    group_statistics,
    products,
    winograd,
)

__all__ = ["TRACED_ROOMS", "compiler", "sources", "tuning"]

_CORE = Path(kandinsky_core.__path__[0])

TRACED_ROOMS = (
    Path(__file__).parents[1],
    Path(kandinsky_backend_kit.__path__[0]),
    *(_CORE / room for room in ("configs", "schedulers", "seam")),
)
"""The folders of this library's code that runs while a program is traced; a test sees to that."""

_SOURCES = SourceDigest(TRACED_ROOMS)

# Numbers by which these modules choose between forms of a layer; tests and users set some of them.
_TUNED = (attention, attention_kernels, group_statistics, products, winograd)

# Modules of functions that are traced, and where such functions may come from.
_REPLACEABLE = ("kandinsky_jax.layers.", "kandinsky_jax.networks.", "kandinsky_backend_kit.")
_KNOWN = {"jax", "jaxlib", "flax", "numpy", *sys.stdlib_module_names}

# How the names of packages begin that bring cuDNN and its like, or a device's compiler.
_LIBRARIES = ("nvidia-", "jax-cuda", "jax-rocm", "libtpu")

# The environment variables that compilers read. The client's are about memory.
_FLAGS = re.compile(r"(XLA_(?!PYTHON_CLIENT)|TF_XLA_|LIBTPU_|TPU_|NVIDIA_|CUDNN_|CUBLAS_).*")

# Settings of JAX that say how it reports, where it keeps its own cache, or which device is first.
_WITHOUT_EFFECT = re.compile(
    r"jax_(.*cache.*|.*log.*|.*traceback.*|platforms|platform_name|default_device|cuda_visible.*"
    r"|explain.*|check_tracer_leaks|transfer_guard.*|dump_.*|hlo_source_file.*"
    r"|include_full_tracebacks.*|pprint.*|num_cpu_devices|pjrt_client_create_options)"
)


def sources() -> bytes | None:
    """Return a digest of the code that is traced, or None where it is not that of the files.

    `SourceDigest.value` says when that is. It also is where somebody has put a function of their
    own in the place of one of ours.
    """
    return None if _has_foreign_functions() else _SOURCES.value()


def _has_foreign_functions() -> bool:
    for name, module in list(sys.modules.items()):
        if name.startswith(_REPLACEABLE):
            for value in list(vars(module).values()):
                own = isinstance(value, type) and value.__module__ == name
                for item in list(vars(value).values()) if own else (value,):
                    if isinstance(item, types.FunctionType) and not _is_known(item.__module__):
                        return True
    return False


def _is_known(module: str | None) -> bool:
    package = str(module).partition(".")[0]
    return package.startswith("kandinsky_") or package in _KNOWN


def compiler(device: jax.Device) -> Any:
    """Return nested tuples of text: versions, machine and settings by which code is compiled.

    Args:
        device: One of those that the program runs on.
    """
    return _machine(device), _settings()


def tuning() -> Any:
    """Return the numbers by which layers choose between forms, as they are now."""
    return tuple(
        (module.__name__, name, repr(value))
        for module in _TUNED
        for name, value in sorted(vars(module).items())
        if name.isupper() and isinstance(value, int | float)
    )


@functools.cache
def _machine(device: jax.Device) -> Any:
    client = device.client
    packages = ("jax", "jaxlib", "flax", "numpy")
    return (
        tuple((name, version(name)) for name in packages),
        (sys.implementation.cache_tag or sys.version, sys.platform),
        (device.platform, device.device_kind, client.platform_version),
        tuple(str(other.id) for other in client.devices()),
        tuple(sorted(item for item in os.environ.items() if _FLAGS.fullmatch(item[0]))),
        processor_identity() if device.platform == "cpu" else _libraries(),
    )


def _libraries() -> Any:
    """Return the packages of an accelerator's own libraries, whose kernels programs call."""
    found = {(str(each.name).lower(), each.version) for each in distributions()}
    return tuple(sorted(item for item in found if item[0].startswith(_LIBRARIES)))


def _settings() -> Any:
    """Return the settings of JAX in this thread, those of a `with` block among them."""
    return tuple(
        (name, repr(getattr(jax.config, name, value)))
        for name, value in sorted(jax.config.values.items())
        if not _WITHOUT_EFFECT.fullmatch(name)
    )
