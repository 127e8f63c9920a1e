"""Which networks keep weights in 8 bits, and which of their weights.

A weight in 8 bits is a whole number from -127 to 127 times a step. There is one step for each
channel of the output, or for each row of a table: the largest magnitude of its weights, divided by
127. So a weight is off by half a step at most.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

from kandinsky_core.configs.networks import NETWORKS, tied_tensors
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.seam.networks import Network, T5TextEncoder
from kandinsky_core.seam.tensors import ComponentSource

__all__ = [
    "LARGEST",
    "QUANTIZATIONS",
    "EightBitsRule",
    "Quantize",
    "QuantizingBackend",
    "eight_bits_rule",
    "in_eight_bits",
    "loading_quantized",
    "products_in_eight_bits",
    "quantizable",
    "quantization_facts",
    "quantization_name",
    "quantized_components",
    "refuse_if_quantized",
    "require_quantizing",
]

QUANTIZATIONS = ("int8",)
"""The values of `quantize`."""

LARGEST = 127
"""The largest whole number that a weight becomes; -128 is not used."""

Quantize = str | Mapping[str, str | None] | None
"""A value of the argument `quantize` of `from_pretrained`: for all networks, or by component."""


EightBitsRule = Callable[[str, str, int], bool]
"""Tells of a network's class, a tensor's name and its number of axes whether it is in 8 bits."""


class QuantizingBackend(Protocol):
    """A `kandinsky_core.seam.backend.Backend` that keeps weights in 8 bits where it is asked to.

    Attributes:
        quantizations: The values of `quantize` that it takes.

    A backend that keeps fewer tensors so than `in_eight_bits` says has a rule of that name.
    """

    @property
    def quantizations(self) -> tuple[str, ...]:
        """See the class."""
        ...

    def load(
        self,
        source: ComponentSource,
        dtype: str,
        device: str | None = None,
        *,
        quantize: str | None = None,
    ) -> Network:
        """See `kandinsky_core.seam.backend.Backend.load`.

        Args:
            source: The component's class, config and weights, in the files' precision.
            dtype: Name of the dtype to compute in.
            device: Name of the device; None takes the backend's own choice.
            quantize: How weights are kept; None keeps them in `dtype`.
        """
        ...

    def load_streamed(
        self,
        source: ComponentSource,
        dtype: str,
        device: str | None = None,
        *,
        quantize: str | None = None,
    ) -> T5TextEncoder:
        """See `kandinsky_core.seam.backend.Backend.load_streamed`, and `load`."""
        ...


def quantization_name(value: Any) -> str:
    """Return a value of `quantize` that was given by name.

    Raises:
        InvalidInputError: It is none of `QUANTIZATIONS`.
    """
    if value not in QUANTIZATIONS:
        raise InvalidInputError(
            f"quantize={value!r} is not supported: give {' or '.join(QUANTIZATIONS)}, or leave it "
            "out"
        )
    return str(value)


def quantizable(class_name: str) -> bool:
    """Tell whether a network of this class keeps weights in 8 bits where it is asked to."""
    entry = NETWORKS.get(class_name)
    return entry is not None and entry.eight_bits is not None


def in_eight_bits(class_name: str, name: str, rank: int) -> bool:
    """Tell whether a tensor is kept in 8 bits where its network is asked to.

    Args:
        class_name: The network's class.
        name: PyTorch's name of the tensor, in the network or in a block of it.
        rank: Number of its axes.
    """
    entry = NETWORKS.get(class_name)
    pattern = None if entry is None else entry.eight_bits
    return pattern is not None and rank > 1 and pattern.fullmatch(name) is not None


def products_in_eight_bits(class_name: str, name: str, rank: int) -> bool:
    """Do what `in_eight_bits` does for a backend that only multiplies weights in 8 bits.

    Convolutions stay in the dtype there, and so does a table of tokens, which is only read.
    """
    tables = tied_tensors(class_name).values()
    return rank == 2 and name not in tables and in_eight_bits(class_name, name, rank)


def eight_bits_rule(backend: Any) -> EightBitsRule:
    """Return which tensors a backend keeps in 8 bits where it is asked to."""
    rule: EightBitsRule = getattr(backend, "in_eight_bits", in_eight_bits)
    return rule


def quantized_components(
    quantize: Quantize, names: Collection[str], classes: Mapping[str, str]
) -> dict[str, str]:
    """Return how each component is kept that is not kept in its dtype.

    Args:
        quantize: The user's argument. One value holds for all networks that can be kept so. A
            mapping gives it by component, and `default` for the others.
        names: The names of all components of the pipeline.
        classes: The class of each network that is to be loaded, by its component's name.

    Raises:
        InvalidInputError: A value or a name is unknown, a component cannot be kept so, or no
            network can.
    """
    if quantize is None:
        return {}
    can = [name for name, class_name in classes.items() if quantizable(class_name)]
    there = f"networks with such weights here: {', '.join(can) or 'none'}"
    if not isinstance(quantize, Mapping):
        chosen = quantization_name(quantize)
        if not can:
            raise InvalidInputError(f"quantize={chosen!r}: {there}; leave it out")
        return dict.fromkeys(can, chosen)
    asked = {
        name: quantization_name(value) for name, value in quantize.items() if value is not None
    }
    unknown = [repr(name) for name in quantize if name not in (*names, "default")]
    unable = [name for name in asked if name in names and name not in can]
    if unknown or unable:
        raise InvalidInputError(f"quantize has {', '.join((*unknown, *unable))}: {there}")
    default = asked.get("default")
    given = {name: asked.get(name) if name in quantize else default for name in can}
    return {name: value for name, value in given.items() if value is not None}


def require_quantizing(backend: Any, quantize: Quantize) -> None:
    """Refuse `quantize` for a backend that keeps all weights in the dtype.

    Raises:
        InvalidInputError: The backend takes no such value.
    """
    offered: tuple[str, ...] = getattr(backend, "quantizations", ())
    if quantize is None or offered:
        return
    raise InvalidInputError(
        f"quantize={quantize!r}: the {backend.name} backend keeps weights in their dtype: take "
        "backend='jax', or leave quantize out and give dtype='bfloat16'"
    )


def quantization_facts(networks: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a picture's metadata tell of weights in 8 bits; nothing where there are none.

    Args:
        networks: The networks of the pipeline by their components' names.

    Returns:
        `quantize` as `from_pretrained` takes it: one value where it made all networks as they are.
    """
    kept = {name: getattr(network, "quantize", None) for name, network in networks.items()}
    given = {name: value for name, value in kept.items() if value is not None}
    if not given:
        return {}
    able = {name for name, one in networks.items() if quantizable(one.config.CLASS_NAME)}
    values = set(given.values())
    return {"quantize": values.pop() if len(values) == 1 and able == set(given) else given}


def loading_quantized(quantize: str | None) -> dict[str, Any]:
    """Return what a backend's `load` is told beside source, dtype and device."""
    return {} if quantize is None else {"quantize": quantize}


def refuse_if_quantized(network: Any, what: str) -> None:
    """Refuse what needs weights in full precision.

    Args:
        network: A network; one that cannot be quantised has no attribute `quantize`.
        what: What is asked for, as the message names it.

    Raises:
        InvalidInputError: The network keeps its weights in 8 bits.
    """
    kept = getattr(network, "quantize", None)
    if kept is not None:
        raise InvalidInputError(
            f"{what}: this {network.config.CLASS_NAME} keeps its weights in {kept}: load it "
            "without quantize"
        )
