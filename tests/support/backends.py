"""The backends as parameters of tests; those that are not installed are skipped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.util import find_spec

import pytest
from _pytest.mark import ParameterSet

__all__ = ["BACKENDS", "all_on_jax", "needs", "on_jax", "one_backend_of_each_name"]

_PACKAGES = {"jax": ("jax", "flax"), "mindspore": ("mindspore", "mindone")}


def needs(backend: str) -> pytest.MarkDecorator:
    """Skip a test where a backend is not installed."""
    missing = [package for package in _PACKAGES[backend] if find_spec(package) is None]
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}")


BACKENDS = [pytest.param(name, marks=needs(name), id=name) for name in _PACKAGES]


def all_on_jax(cases: Iterable[str], *on_mindspore: str) -> list[ParameterSet]:
    """Pair each case with JAX, and some with MindSpore: core decides in what cases differ."""
    pairs = [("jax", case) for case in cases] + [("mindspore", case) for case in on_mindspore]
    return [pytest.param(*pair, marks=needs(pair[0]), id="-".join(pair)) for pair in pairs]


def on_jax(fixture: str) -> pytest.MarkDecorator:
    """Give a fixture with a backend as its parameter JAX alone, where core decides."""
    name = [pytest.param("jax", marks=needs("jax"))]
    return pytest.mark.parametrize(fixture, name, indirect=True, scope="module")


@contextmanager
def one_backend_of_each_name() -> Iterator[None]:
    """Let `from_pretrained(backend="jax")` find the same backend each time.

    A network that differs from an earlier one in its weights alone is then compiled only once.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name, packages in _PACKAGES.items():
            if all(find_spec(package) for package in packages):
                module = import_module(f"kandinsky_{name}")
                patch.setattr(module, "create", cache(module.create))
        yield
