"""The calls by which diffusers' scripts give Kandinsky 3 an IP-Adapter, and set its scale."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from kandinsky_core.arrays import Array
from kandinsky_core.checkpoints.hub import HubOptions
from kandinsky_core.checkpoints.inside import inside
from kandinsky_core.checkpoints.opened_model import OpenedModel
from kandinsky_core.errors import ConfigError, InvalidInputError
from kandinsky_core.pipelines.kandinsky3.decoder import Kandinsky3Decoder
from kandinsky_core.pipelines.kandinsky3.ip_adapter_weights import (
    with_ip_adapter,
    without_ip_adapter,
)
from kandinsky_core.pipelines.shared.loading import load_components
from kandinsky_core.schedulers import Scheduler
from kandinsky_core.seam.networks import Autoencoder, Denoiser, ImageEncoder, T5TextEncoder
from kandinsky_core.seam.quantization import refuse_if_quantized
from kandinsky_core.texts.t5_tokenizer import T5Tokenizer
from kandinsky_core.validation import real_number

__all__ = ["IpAdapterCalls"]

_PUBLISHED = "ai-forever/kandinsky3_ip_adapter"
_UNET, _ENCODER = "unet", "image_encoder"
_OF_PICTURES = (_ENCODER, "feature_extractor")


class IpAdapterCalls(Kandinsky3Decoder):
    """Base of the pipelines of Kandinsky 3 whose UNet may have an IP-Adapter.

    The image encoder and its settings are None where it has none.
    """

    component_names: ClassVar[tuple[str, ...]] = (*Kandinsky3Decoder.component_names, *_OF_PICTURES)
    optional_components: ClassVar[frozenset[str]] = frozenset(_OF_PICTURES)

    def __init__(
        self,
        tokenizer: T5Tokenizer | None,
        text_encoder: T5TextEncoder | None,
        unet: Denoiser,
        scheduler: Scheduler,
        movq: Autoencoder,
        null_embedding: Array | None = None,
        image_encoder: ImageEncoder | None = None,
        feature_extractor: Any = None,
    ) -> None:
        super().__init__(
            tokenizer,
            text_encoder,
            unet,
            scheduler,
            movq,
            null_embedding,
            image_encoder=image_encoder,
            feature_extractor=feature_extractor,
        )
        self.image_encoder: ImageEncoder | None
        self.feature_extractor: Any
        self._ip_adapter_scale = 1.0
        if self.has_ip_adapter and null_embedding is None:
            self.convention = "adapters"

    @classmethod
    def check_configs(cls, configs: Mapping[str, Any]) -> None:
        """Refuse a UNet for another task or family, and an image encoder of another width.

        Raises:
            ConfigError: The networks do not fit.
        """
        super().check_configs(configs)
        unet, encoder = configs.get("unet"), configs.get("image_encoder")
        if unet is None or encoder is None or not unet.num_image_tokens:
            return
        if encoder.projection_dim != unet.image_embed_dim:
            raise ConfigError(
                f"the image encoder gives embeddings of {encoder.projection_dim} numbers, and the "
                f"UNet's IP-Adapter reads {unet.image_embed_dim}: take both from one model"
            )

    @property
    def has_ip_adapter(self) -> bool:
        """Whether the UNet reads pictures beside the prompt."""
        return getattr(getattr(self.unet, "config", None), "num_image_tokens", 0) > 0

    def _take_over(self, other: Any, had: dict[str, Any], taken: dict[str, Any]) -> None:
        super()._take_over(other, had, taken)
        self._ip_adapter_scale = getattr(other, "_ip_adapter_scale", 1.0)

    def set_ip_adapter_scale(self, scale: Any) -> None:
        """Set how much pictures count beside the text in the calls that follow.

        Args:
            scale: A number: 0 leaves the text alone, 1 (default) is what the adapter was trained
                with. A list of one number stands for it, as in diffusers.

        Raises:
            InvalidInputError: There is no IP-Adapter, or `scale` is no number. diffusers' scales
                for single blocks belong to Stable Diffusion.
        """
        self._require_ip_adapter("set_ip_adapter_scale")
        only = scale[0] if isinstance(scale, (list, tuple)) and len(scale) == 1 else scale
        self._ip_adapter_scale = real_number("scale", only)

    def load_ip_adapter(
        self,
        pretrained_model_name_or_path_or_dict: Any,
        subfolder: Any = None,
        weight_name: Any = None,
        image_encoder_folder: str | None = _ENCODER,
        *,
        low_cpu_mem_usage: bool | None = None,
        **hub: Any,
    ) -> None:
        """Give the UNet an IP-Adapter, and the pipeline the image encoder that belongs to it.

        The UNet is made anew with the weights that it has now, so pipelines that share the present
        one keep that. For a moment the host holds a copy of all its weights.

        Args:
            pretrained_model_name_or_path_or_dict: A model with an IP-Adapter: a folder or hub id in
                the form of `ai-forever/kandinsky3_ip_adapter`, as published or converted. A list of
                one stands for it, as in diffusers.
            subfolder: The UNet's folder in that model, `unet` or None.
            weight_name: Name of its file of weights; None takes the one that is there.
            image_encoder_folder: `image_encoder`, or None where the pipeline needs none because
                calls get `ip_adapter_image_embeds`. One that it has already is kept.
            low_cpu_mem_usage: Has no effect.
            **hub: `revision`, `variant`, `cache_dir`, `token`, `local_files_only`,
                `force_download`.

        Raises:
            InvalidInputError: An argument is wrong, there are several adapters, or the UNet keeps
                its weights in 8 bits.
            ModelNotFoundError: There is no such model.
            CheckpointError: The model has no IP-Adapter, or one for a UNet of other sizes.
            DeviceMemoryError: The image encoder does not fit beside the other networks.
        """
        name, place, file = (
            _only(argument, given)
            for argument, given in (
                ("load_ip_adapter", pretrained_model_name_or_path_or_dict),
                ("subfolder", subfolder),
                ("weight_name", weight_name),
            )
        )
        if place not in (None, "", _UNET) or image_encoder_folder not in (None, _ENCODER):
            raise InvalidInputError(
                f"subfolder={place!r}, image_encoder_folder={image_encoder_folder!r}: models of "
                f"Kandinsky 3 have {_UNET!r} and {_ENCODER!r}; leave both out"
            )
        refuse_if_quantized(self.unet, "load_ip_adapter")
        options = HubOptions.given(hub)
        opened = OpenedModel.of(name, self.part, options)
        source = opened.components([_UNET])[_UNET]
        if file is not None and not inside(source.folder, str(file)).is_file():
            raise InvalidInputError(f"weight_name={file!r}: {source.folder} has no such file")
        if self.unet is None:
            raise InvalidInputError("load_ip_adapter: this pipeline has no UNet")
        unet = with_ip_adapter(self.unet, source)
        found = {"unet": unet}
        if self.image_encoder is None and image_encoder_folder is not None:
            found |= load_components(
                opened,
                part=self.part,
                names=_OF_PICTURES,
                ready={},
                text_encoder_loading="resident",
                backend=self.backend,
                device=self.device,
                dtype=self.dtype,
                options=options,
                check=lambda configs: self.check_configs({**configs, _UNET: unet.config}),
            )
        elif self.image_encoder is not None:
            self.check_configs({_UNET: unet.config, _ENCODER: self.image_encoder.config})
        self.register_modules(**found)
        if self.convention == "diffusers":
            self.convention = "adapters"

    def unload_ip_adapter(self) -> None:
        """Take out what `load_ip_adapter` put in; a pipeline without it stays as it is."""
        if not self.has_ip_adapter:
            return
        self.register_modules(
            unet=without_ip_adapter(self.unet), image_encoder=None, feature_extractor=None
        )
        self._ip_adapter_scale = 1.0
        if self.convention == "adapters":
            self.convention = "diffusers"

    def _require_ip_adapter(self, name: str) -> None:
        if not self.has_ip_adapter:
            raise InvalidInputError(
                f"{name}: this UNet has no IP-Adapter; load {_PUBLISHED}, or call "
                f"load_ip_adapter({_PUBLISHED!r}) first"
            )


def _only(name: str, value: Any) -> Any:
    """Return the one item of a list; diffusers takes lists of adapters."""
    items = list(value) if isinstance(value, (list, tuple)) else [value]
    if len(items) != 1 or isinstance(items[0], dict):
        raise InvalidInputError(f"{name}: give the name of one model; there is one IP-Adapter")
    return items[0]
