"""The backends as parameters of tests; those that are not installed are skipped."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

__all__ = ["BACKENDS", "needs"]

_PACKAGES = {"jax": ("jax", "flax"), "mindspore": ("mindspore", "mindone")}


def needs(backend: str) -> pytest.MarkDecorator:
    """Skip a test where a backend is not installed."""
    missing = [package for package in _PACKAGES[backend] if find_spec(package) is None]
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}")


BACKENDS = [pytest.param(name, marks=needs(name), id=name) for name in _PACKAGES]
