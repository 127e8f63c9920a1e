"""A loaded network as host arrays, so that it can be pickled and loaded again on any machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from kandinsky_core.arrays import Array
from kandinsky_core.seam.backend import Backend
from kandinsky_core.seam.quantization import refuse_if_quantized
from kandinsky_core.seam.registry import get_backend
from kandinsky_core.seam.stored_dtypes import BY_NAME

__all__ = ["KEPT", "NetworkState", "load_again"]

KEPT = ("_adapters", "_config_file", "_originals", "_unused", "tiling")
"""What a network holds beside its weights: the adapters, the content of its config file, the
weights before a LoRA, what its files hold for other libraries, and how pictures are divided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkState:
    """All that makes a network again: it is a `ComponentSource` of arrays.

    Attributes:
        class_name: The network's class.
        config: The content of its config file.
        arrays: The weights of this moment by PyTorch's names, in its layout, on the host.
        backend: Name of the backend.
        dtype: Name of the dtype that it computes in.
        device: Where it runs.
        offloaded: Whether its weights are kept on the host.
        kept: What it holds beside its weights.
    """

    class_name: str
    config: Mapping[str, Any]
    arrays: Mapping[str, Array]
    backend: str
    dtype: str
    device: str
    offloaded: bool
    kept: Mapping[str, Any]

    @classmethod
    def of(cls, network: Any) -> NetworkState:
        """Return the state of a loaded network; its weights are copied to the host.

        Raises:
            InvalidInputError: The network keeps its weights in 8 bits.
        """
        refuse_if_quantized(network, "a pickle, or a UNet made anew")
        own = vars(network)
        config = own.get("_config_file") or network.config.to_dict()
        return cls(
            class_name=network.config.CLASS_NAME,
            config=dict(config),
            arrays={**network.state_dict(), **own.get("_unused", {})},
            backend=network.backend_name,
            dtype=str(network.dtype),
            device=str(network.device),
            offloaded=bool(own.get("_offloaded")),
            kept={name: own[name] for name in KEPT if name in own},
        )

    def tensors(self) -> HeldTensors:
        """Return the weights as a backend reads them."""
        return HeldTensors(self.arrays)


class HeldTensors:
    """The `kandinsky_core.seam.tensors.Tensors` of arrays that are in memory."""

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self._arrays = arrays

    def names(self) -> Iterable[str]:
        """Return every tensor name."""
        return self._arrays.keys()

    def spec(self, name: str) -> tuple[tuple[int, ...], str]:
        """Return shape and safetensors dtype of a tensor."""
        array = self._arrays[name]
        return array.shape, BY_NAME[array.dtype.name].code

    def read(self, name: str) -> Array:
        """Return a copy of a tensor."""
        return self._arrays[name].copy()


def load_again(state: NetworkState) -> Any:
    """Load a network from its state, to the device that it was on.

    Raises:
        BackendUnavailableError: This machine lacks the backend or the device.
    """
    network: Any = _backend(state.backend).load(state, state.dtype, state.device)
    vars(network).update(state.kept)
    if state.offloaded:
        network.offload()
    return network


@cache
def _backend(name: str) -> Backend:
    """Return one backend for all networks, as they take turns on a device and share programs."""
    return get_backend(name)
