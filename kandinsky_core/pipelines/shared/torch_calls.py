"""Calls of diffusers' guides that tune PyTorch: they do nothing here, and say so in the log."""

from __future__ import annotations

import logging
from typing import Any

__all__ = ["TorchCalls"]

logger = logging.getLogger(__name__)

_ATTENTION = "the backend chooses how attention is computed"


class TorchCalls:
    """Methods that scripts written for diffusers call; the results are the same without them."""

    def enable_xformers_memory_efficient_attention(self, attention_op: Any = None) -> None:
        """Log that the backend chooses its attention itself."""
        _log("enable_xformers_memory_efficient_attention", _ATTENTION)

    def disable_xformers_memory_efficient_attention(self) -> None:
        """Log that the backend chooses its attention itself."""
        _log("disable_xformers_memory_efficient_attention", _ATTENTION)

    def enable_attention_slicing(self, slice_size: Any = "auto") -> None:
        """Log that the backend chooses its attention itself."""
        _log("enable_attention_slicing", f"{_ATTENTION}; enable_model_cpu_offload saves memory")

    def disable_attention_slicing(self) -> None:
        """Log that the backend chooses its attention itself."""
        _log("disable_attention_slicing", _ATTENTION)


def _log(name: str, reason: str) -> None:
    logger.info("%s changes nothing: %s", name, reason)
