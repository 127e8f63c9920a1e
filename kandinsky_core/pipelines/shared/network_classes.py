"""The networks under the names of their classes in diffusers and transformers.

A network's object belongs to a backend. The classes here load it and stand for it in `isinstance`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from kandinsky_core.checkpoints.checkpoint import Component
from kandinsky_core.checkpoints.hub import (
    HubOptions,
    fetch_pickles,
    local_folder,
    resolve_component,
)
from kandinsky_core.checkpoints.other_layouts import other_layouts
from kandinsky_core.configs import NETWORKS
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.memory.check import require_room
from kandinsky_core.memory.plan import ComponentMemory
from kandinsky_core.seam.backend import Backend
from kandinsky_core.seam.devices import device_name
from kandinsky_core.seam.dtypes import chosen_dtype, pinned_dtype
from kandinsky_core.seam.quantization import (
    eight_bits_rule,
    loading_quantized,
    quantized_components,
    require_quantizing,
)
from kandinsky_core.seam.registry import chosen_backend

__all__ = [
    "AutoencoderKL",
    "CLIPTextModelWithProjection",
    "CLIPVisionModelWithProjection",
    "Kandinsky3ControlNetModel",
    "Kandinsky3UNet",
    "Kandinsky20UNet",
    "KandinskySuperResUNet",
    "MT5EncoderModel",
    "MultilingualCLIP",
    "PriorTransformer",
    "T5EncoderModel",
    "UNet2DConditionModel",
    "VQModel",
]


class _StandsForNetworks(type):
    """Makes `isinstance(pipe.unet, UNet2DConditionModel)` true for networks of any backend."""

    def __instancecheck__(cls, value: object) -> bool:
        config = getattr(value, "config", None)
        return getattr(config, "CLASS_NAME", None) == cls.__name__


class _NamedNetwork(metaclass=_StandsForNetworks):
    """Base of the classes.

    Attributes:
        part: The half of an embedded model that has the network.
    """

    part: ClassVar[str] = "decoder"

    def __init__(self, *_: Any, **__: Any) -> None:
        name = type(self).__name__
        raise InvalidInputError(f"{name} is not constructed: call {name}.from_pretrained")

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path,
        *,
        subfolder: str | None = None,
        backend: str | Backend | None = None,
        mesh: Any = None,
        device: Any = None,
        dtype: Any = None,
        torch_dtype: Any = None,
        mindspore_dtype: Any = None,
        revision: str | None = None,
        variant: str | None = None,
        cache_dir: str | Path | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        force_download: bool = False,
        use_safetensors: bool | None = None,
        low_cpu_mem_usage: bool | None = None,
        quantize: str | None = None,
        **unknown: Any,
    ) -> Any:
        """Load a network, which pipelines take: `from_pretrained(..., unet=unet)`.

        Args:
            model: A folder, a hub id, or an embedded model's name.
            subfolder: Folder of the network in the model, `unet` for example; None where `model`
                is that folder.
            backend: As for a pipeline's `from_pretrained`; the pipeline needs the same one.
            mesh: As for a pipeline's `from_pretrained`.
            device: As for a pipeline's `from_pretrained`, without mappings.
            dtype: float32 (default), bfloat16 or float16, by name or as any framework's dtype.
                MoVQ always computes in float32.
            torch_dtype: Another name for `dtype`.
            mindspore_dtype: Another name for `dtype`.
            revision: Branch, tag or commit on the hub.
            variant: Infix of the weight files, `fp16` for example.
            cache_dir: Folder of the hub's cache.
            token: Access token for the hub.
            local_files_only: Do not use the network.
            force_download: Download again what the cache holds.
            use_safetensors: Only safetensors are read; False is refused.
            low_cpu_mem_usage: Has no effect: weights are always streamed.
            quantize: As for a pipeline's `from_pretrained`, without mappings.
            **unknown: Refused.

        Returns:
            The backend's network.

        Raises:
            ModelNotFoundError: There is no such model or folder.
            CheckpointError: Files or tensors are missing, damaged, or of another network.
            ConfigError: A config field is unknown or unsupported.
            BackendUnavailableError: The backend is not installed.
            DeviceMemoryError: The device has less memory than the weights need.
            InvalidInputError: An argument is unknown or of the wrong kind.
        """
        if unknown:
            raise InvalidInputError(
                f"{cls.__name__}.from_pretrained does not take {', '.join(unknown)}: leave it out"
            )
        if use_safetensors is False:
            raise InvalidInputError(
                "use_safetensors=False asks for pickled weights, which can run code: leave it out"
            )
        asked = chosen_dtype(dtype, torch_dtype, mindspore_dtype) or "float32"
        chosen = chosen_backend(backend, mesh, device)
        require_quantizing(chosen, quantize)
        kept = quantized_components(quantize, (), {cls.__name__: cls.__name__}).get(cls.__name__)
        options = HubOptions(
            revision=revision,
            variant=variant,
            cache_dir=cache_dir,
            token=token,
            local_files_only=local_files_only,
            force_download=force_download,
        )
        folder = resolve_component(model, subfolder, cls.part, options)
        name = cls.__name__
        source = Component(folder.name, NETWORKS[name].library, name, folder, variant)
        for layout in other_layouts("adapted_component"):
            found = layout.adapted_component(source)
            if found is not None:
                source = found
                if local_folder(model) is None and not any(folder.glob("*.safetensors")):
                    fetch_pickles(str(model), options, [subfolder or "."])
        place = None if device is None else device_name(device) or str(device)
        plan = ComponentMemory.of(source.name, source, asked, kept, eight_bits_rule(chosen))
        require_room(chosen, [plan], {source.name: place})
        return chosen.load(source, pinned_dtype(name, asked), place, **loading_quantized(kept))


class AutoencoderKL(_NamedNetwork):
    """The autoencoder of Kandinsky 2.0."""


class CLIPTextModelWithProjection(_NamedNetwork):
    """CLIP's text encoder, of the prior."""

    part: ClassVar[str] = "prior"


class CLIPVisionModelWithProjection(_NamedNetwork):
    """CLIP's image encoder, of the prior."""

    part: ClassVar[str] = "prior"


class Kandinsky20UNet(_NamedNetwork):
    """The UNet of Kandinsky 2.0."""


class Kandinsky3ControlNetModel(_NamedNetwork):
    """The ControlNet of Kandinsky 3, which runs beside its UNet."""


class Kandinsky3UNet(_NamedNetwork):
    """The UNet of Kandinsky 3."""


class KandinskySuperResUNet(_NamedNetwork):
    """The UNet of KandiSuperRes."""


class MT5EncoderModel(_NamedNetwork):
    """The second text encoder of Kandinsky 2.0."""


class MultilingualCLIP(_NamedNetwork):
    """The text encoder of the decoder of Kandinsky 2.1, and the first one of 2.0."""


class PriorTransformer(_NamedNetwork):
    """The network of the prior of Kandinsky 2."""

    part: ClassVar[str] = "prior"


class T5EncoderModel(_NamedNetwork):
    """The text encoder of Kandinsky 3."""


class UNet2DConditionModel(_NamedNetwork):
    """The UNet of Kandinsky 2.1 and 2.2."""


class VQModel(_NamedNetwork):
    """MoVQ, the autoencoder of all later families."""
