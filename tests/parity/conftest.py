"""What tests against the reference share: small models on disk, and one backend of each kind.

The reference runs on one thread: small networks gain nothing from more, and waiting costs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def backend_of() -> Callable[[str], Any]:
    """Give the backend of a name: the same one to all, whose pipelines share their programs."""
    from kandinsky_core import get_backend

    return cache(get_backend)


@pytest.fixture(scope="session")
def random_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random prior, decoder, inpaint and controlnet that diffusers saved."""
    from tests.parity.random_models import save_decoder, save_image_tasks, save_prior

    root = tmp_path_factory.mktemp("random")
    save_prior(root / "prior")
    save_decoder(root / "decoder")
    save_image_tasks(root)
    return root


@pytest.fixture(scope="session")
def multilingual_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random prior, decoder and inpaint of Kandinsky 2.1 that diffusers saved."""
    from tests.parity.random_models_2_1 import save_kandinsky2_1

    root = tmp_path_factory.mktemp("multilingual")
    save_kandinsky2_1(root)
    return root
