"""The samples' pipelines come from one backend, so that a network is traced and compiled once."""

from __future__ import annotations

import pytest

from tests.parity.conftest import _one_thread, multilingual_root

__all__ = ["_one_thread", "multilingual_root"]  # fixtures, which pytest finds here


@pytest.fixture(scope="module", autouse=True)
def _one_backend(one_backend: None) -> None:
    """Use it in every file of this folder."""
