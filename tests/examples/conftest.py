"""The samples' pipelines come from one backend, so that a network is traced and compiled once."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import import_module

import pytest

from tests.parity.conftest import _one_thread, multilingual_root
from tests.support.backends import BACKENDS

__all__ = ["_one_thread", "multilingual_root"]  # fixtures, which pytest finds by name here


@pytest.fixture(scope="module", autouse=True)
def _one_backend() -> Iterator[None]:
    """Every file has its own: `from_pretrained(backend="jax")` finds what it gave before."""
    with pytest.MonkeyPatch.context() as patch:
        for name in (str(parameter.id) for parameter in BACKENDS):
            module = import_module(f"kandinsky_{name}")
            patch.setattr(module, "create", cache(module.create))
        yield
