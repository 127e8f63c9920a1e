"""diffusers' attention processors by name, for `unet.set_attn_processor(...)`.

Each names a way to compute the same attention. The backend chooses its own way, so the classes hold
nothing.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AttnAddedKVProcessor",
    "AttnAddedKVProcessor2_0",
    "AttnProcessor",
    "AttnProcessor2_0",
    "SlicedAttnAddedKVProcessor",
    "SlicedAttnProcessor",
    "XFormersAttnAddedKVProcessor",
    "XFormersAttnProcessor",
]


class AttnProcessor:
    """Base: a name for a way to compute attention."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """Take diffusers' arguments (`slice_size`, `attention_op`), which change nothing here."""


class AttnProcessor2_0(AttnProcessor):
    """Plain attention by PyTorch's fused function."""


class AttnAddedKVProcessor(AttnProcessor):
    """Attention of Kandinsky 2's UNet, which reads the picture and the conditioning at once."""


class AttnAddedKVProcessor2_0(AttnProcessor):
    """The same by PyTorch's fused function."""


class SlicedAttnProcessor(AttnProcessor):
    """Plain attention in slices."""


class SlicedAttnAddedKVProcessor(AttnProcessor):
    """Attention of Kandinsky 2's UNet in slices."""


class XFormersAttnProcessor(AttnProcessor):
    """Plain attention by xFormers."""


class XFormersAttnAddedKVProcessor(AttnProcessor):
    """Attention of Kandinsky 2's UNet by xFormers."""
