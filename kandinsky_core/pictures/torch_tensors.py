"""Results as PyTorch tensors, for who asks for them; PyTorch is imported then and not before."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np

from kandinsky_core.arrays import Array
from kandinsky_core.errors import BackendUnavailableError

__all__ = ["as_torch", "require_torch_for"]


def require_torch_for(output_type: str) -> str:
    """Return the form of a result, where the packages that it needs are there.

    Raises:
        BackendUnavailableError: It is `pt`, and PyTorch is not installed.
    """
    if output_type == "pt" and find_spec("torch") is None:
        raise BackendUnavailableError(
            "output_type='pt' gives PyTorch tensors, and PyTorch is not installed: "
            "pip install torch, or take output_type='np'"
        )
    return output_type


def as_torch(array: Array) -> Any:
    """Return an array as a PyTorch tensor, which shares the memory of a contiguous one."""
    import torch

    return torch.from_numpy(np.asarray(array, order="C"))
