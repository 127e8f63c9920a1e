"""Methods of diffusers' and PyTorch's networks, on the networks of every backend."""

from __future__ import annotations

import json
import logging
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Self

from kandinsky_core.arrays import Array
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.models.attention_processor import __all__ as PROCESSORS
from kandinsky_core.seam.network_names import NetworkNames
from kandinsky_core.seam.network_pickling import NetworkState, load_again
from kandinsky_core.seam.network_weights import Weight, is_embedding
from kandinsky_core.seam.placement import read_placement

__all__ = ["NetworkCalls"]

logger = logging.getLogger(__name__)


class NetworkCalls(NetworkNames):
    """Base of the networks of every backend: what a script written for diffusers calls on them.

    Attributes:
        training: Always False, as networks are not trained here.
        is_gradient_checkpointing: Always False.
        config_name: The file that holds a network's config.
        has_compatibles: Always False, as in diffusers.
    """

    config: Any
    config_name = "config.json"
    has_compatibles = False
    training = False
    is_gradient_checkpointing = False

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Refuse: pipelines do not call networks this way. `torch.compile` asks for the method.

        Raises:
            InvalidInputError: Always.
        """
        raise InvalidInputError(
            f"a {type(self).__name__} is not called by itself: call the pipeline that holds it"
        )

    @abstractmethod
    def move(self, *, device: str | None = None, dtype: str | None = None) -> None:
        """Move or cast the weights in place."""

    @abstractmethod
    def offload(self) -> None:
        """See `kandinsky_core.seam.networks.Network.offload`."""

    @abstractmethod
    def weight_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Return the shape of each weight, by PyTorch's names and in its layout."""

    @abstractmethod
    def weights_now(self, names: Iterable[str]) -> Mapping[str, Array]:
        """Return copies of weights as they are at this moment, a merged LoRA included."""

    def to(self, *targets: Any, device: Any = None, dtype: Any = None, **options: Any) -> Self:
        """Move or cast the weights in place: `unet.to("gpu")`, `unet.to("cpu", "float16")`.

        Args:
            *targets: Devices and dtypes in any order, by name or as objects of any framework.
            device: The same by keyword.
            dtype: The same by keyword.
            **options: Further options of PyTorch's `to`; `memory_format` changes nothing here.

        Raises:
            BackendUnavailableError: The device is not there.
            InvalidInputError: Something is neither a device nor a dtype, or the network cannot be
                moved or cast so.
        """
        place, chosen = read_placement(targets, device, dtype, options)
        self.move(device=place, dtype=chosen)
        return self

    def cpu(self) -> Self:
        """Move the weights to the CPU."""
        return self.to("cpu")

    def cuda(self, device: Any = None) -> Self:
        """Move the weights to a GPU.

        Args:
            device: The GPU's number or its device object; None takes the first one.
        """
        return self.to("gpu" if device is None else device)

    def half(self) -> Self:
        """Cast the weights to float16."""
        return self.to(dtype="float16")

    def bfloat16(self) -> Self:
        """Cast the weights to bfloat16."""
        return self.to(dtype="bfloat16")

    def float(self) -> Self:
        """Cast the weights to float32."""
        return self.to(dtype="float32")

    def train(self, mode: bool = True) -> Self:
        """Accept `train(False)`.

        Raises:
            InvalidInputError: The mode is training.
        """
        if mode:
            raise InvalidInputError(
                "train(): networks are not trained here; train with diffusers, load the result"
            )
        return self

    def set_attn_processor(self, processor: Any, **options: Any) -> None:
        """Accept diffusers' processors that compute the same attention in another way, and log it.

        Args:
            processor: An object of a class in `kandinsky_core.models.attention_processor` or of
                diffusers' class of that name, or a mapping with such values.
            **options: Further options of diffusers' method, which change nothing here.

        Raises:
            InvalidInputError: The processor is another one, which could change pictures.
        """
        each = processor.values() if isinstance(processor, Mapping) else [processor]
        others = sorted({type(one).__name__ for one in each} - set(PROCESSORS))
        if others:
            raise InvalidInputError(
                f"set_attn_processor({', '.join(others)}): attention of one's own is not written "
                f"here; allowed, without an effect: {', '.join(PROCESSORS)}"
            )
        logger.info("set_attn_processor changes nothing: the backend chooses how it is computed")

    def enable_group_offload(self, onload_device: Any, *args: Any, **options: Any) -> None:
        """Keep the weights on the host, and on the device only while the network runs.

        Args:
            onload_device: The device that the network runs on.
            *args: Further arguments of diffusers' method, which change nothing here.
            **options: Further arguments of diffusers' method, which change nothing here.
        """
        logger.info("enable_group_offload: the whole network is moved, not groups of layers")
        self.to(onload_device).offload()

    def to_json_string(self) -> str:
        """Return the config as the text of a `config.json`."""
        return json.dumps(self.config.to_dict(), indent=2, sort_keys=True) + "\n"

    def named_parameters(self) -> Iterator[tuple[str, Weight]]:
        """Yield PyTorch's name of each weight, and the weight; no values are read."""
        kind, place = self._kind()
        for name, shape in self.weight_shapes().items():
            yield name, Weight(name, shape, kind, place, partial(self._read_one, name))

    def parameters(self) -> Iterator[Weight]:
        """Yield each weight; no values are read until `numpy()` of one is called."""
        return (weight for _, weight in self.named_parameters())

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """Return the number of values of all weights; MoVQ's codebook is not among them.

        Args:
            only_trainable: Has no effect, as it has none in diffusers until weights are frozen.
            exclude_embeddings: Leave out tables of embeddings.
        """
        return sum(
            weight.numel()
            for name, weight in self.named_parameters()
            if not (exclude_embeddings and is_embedding(name))
        )

    def get_memory_footprint(self, return_buffers: bool = True) -> int:
        """Return the bytes of all weights.

        Args:
            return_buffers: Has no effect: no network has buffers.
        """
        return sum(weight.nbytes for weight in self.parameters())

    def state_dict(self) -> dict[str, Array]:
        """Return a copy of all weights on the host, by PyTorch's names and in its layout."""
        return dict(self.weights_now(self.weight_shapes()))

    # A pickle holds copies of the weights, so that it needs no file, and a LoRA stays as it is.

    def __reduce__(self) -> tuple[Callable[[NetworkState], Any], tuple[NetworkState]]:
        return load_again, (NetworkState.of(self),)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return load_again(NetworkState.of(self))

    def _read_one(self, name: str) -> Array:
        return self.weights_now([name])[name]

    def _kind(self) -> tuple[str, str]:
        network: Any = self  # both are attributes or properties, as the backend likes
        return network.dtype, network.device
