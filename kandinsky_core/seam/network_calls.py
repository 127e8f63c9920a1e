"""Methods of diffusers' and PyTorch's networks, on the networks of every backend."""

from __future__ import annotations

from kandinsky_core.seam.network_names import NetworkNames

__all__ = ["NetworkCalls"]


class NetworkCalls(NetworkNames):
    """Base of the networks of every backend: what a script written for diffusers calls on them."""
