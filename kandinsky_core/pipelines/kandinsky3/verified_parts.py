"""What `kandinsky verify` compares of Kandinsky 3, its IP-Adapter and its ControlNet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.checkpoints.opened_model import OpenedModel
from kandinsky_core.denoising.generator import Generator
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pipelines.shared.verified_parts import Inputs, VerifiedParts, random_picture

__all__ = ["ControlParts", "FlashParts", "ImagePromptParts", "Kandinsky3Parts"]


class Kandinsky3Parts(VerifiedParts):
    """The components that all models of Kandinsky 3 have."""

    @classmethod
    def lacking(cls, model: OpenedModel) -> str | None:
        """See `VerifiedParts.lacking`; diffusers has the first model, 3.0, alone."""
        found = super().lacking(model)
        if found is not None:
            return found
        unet = model.components(["unet"])["unet"]
        return None if unet.null_embedding() is None else "null embedding"

    def call(self, prompt: str, height: int | None, width: int | None, steps: int) -> Any:
        """See `VerifiedParts.call`.

        Raises:
            InvalidInputError: The model has no text encoder.
        """
        if self.pipeline.text_encoder is None:
            raise InvalidInputError(
                "this model has no text encoder, which verify needs for its prompt: give a folder "
                "that has one"
            )
        return super().call(prompt, height, width, steps)

    def encoders(self, call: Mapping[str, Any], generator: Generator) -> Inputs:
        """See `VerifiedParts.encoders`."""
        return {"text_encoder": self.pipeline.tokenizer([call["prompt"]])}

    def runs(self) -> dict[str, Callable[..., Any]]:
        """See `VerifiedParts.runs`."""
        return {"text_encoder": self._states, **super().runs()}

    def _states(self, ids: Array, mask: Array) -> FloatArray:
        """Encode a text; no pipeline reads the states of padding."""
        found: FloatArray = self.pipeline.text_encoder.encode(ids, mask) * mask[..., None]
        return found


class FlashParts(Kandinsky3Parts):
    """The components of Kandinsky 3.1 Flash."""

    steps: ClassVar[int] = 4

    @classmethod
    def lacking(cls, model: OpenedModel) -> str | None:
        """See `VerifiedParts.lacking`."""
        return "Flash of Kandinsky 3.1"


class ImagePromptParts(Kandinsky3Parts):
    """The components of a model whose UNet may have an IP-Adapter."""

    @classmethod
    def lacking(cls, model: OpenedModel) -> str | None:
        """See `VerifiedParts.lacking`."""
        config = model.components(["unet"])["unet"].config
        adapter = "IP-Adapter of Kandinsky 3" if config.get("num_image_tokens") else None
        return adapter or super().lacking(model)

    def call(self, prompt: str, height: int | None, width: int | None, steps: int) -> Any:
        """See `VerifiedParts.call`; an IP-Adapter is shown a random picture."""
        found = super().call(prompt, height, width, steps)
        if not self.pipeline.has_ip_adapter:
            return found
        if self.pipeline.image_encoder is None:
            shape = (2, self.pipeline.unet.config.image_embed_dim)
            return {**found, "ip_adapter_image_embeds": Generator(0).randn(shape)}
        return {**found, "ip_adapter_image": random_picture(64, 64)}

    def encoders(self, call: Mapping[str, Any], generator: Generator) -> Inputs:
        """See `VerifiedParts.encoders`."""
        found = super().encoders(call, generator)
        if self.pipeline.image_encoder is not None:
            size = self.pipeline.image_encoder.config.image_size
            found["image_encoder"] = (generator.randn((1, 3, size, size)),)
        return found

    def runs(self) -> dict[str, Callable[..., Any]]:
        """See `VerifiedParts.runs`."""
        found = super().runs()
        encoder = self.pipeline.image_encoder
        own = {} if encoder is None else {"image_encoder": encoder.encode}
        return {"text_encoder": found.pop("text_encoder"), **own, **found}


class ControlParts(ImagePromptParts):
    """The components of a model that takes a hint.

    `controlnet` is the UNet with its branch beside it, `unet` is the UNet alone.
    """

    @classmethod
    def lacking(cls, model: OpenedModel) -> str | None:
        """See `VerifiedParts.lacking`."""
        return "ControlNet of Kandinsky 3"

    def call(self, prompt: str, height: int | None, width: int | None, steps: int) -> Any:
        """See `VerifiedParts.call`; the hint is a random picture."""
        found = super().call(prompt, height, width, steps)
        return {**found, "image": random_picture(found["height"], found["width"])}

    def denoisers(
        self, sample: FloatArray, conditioning: Mapping[str, Array], scale: float
    ) -> Inputs:
        """See `VerifiedParts.denoisers`."""
        if self.pipeline.controlnet is None:
            return super().denoisers(sample, conditioning, scale)
        alone = {
            name: rows
            for name, rows in conditioning.items()
            if name != "hint" and not name.startswith("control_")
        }
        return {
            "unet": (sample, alone, scale),
            "controlnet": (sample, conditioning, scale),
        }

    def looped(self) -> dict[str, Any]:
        """See `VerifiedParts.looped`."""
        found = super().looped()
        branch = self.pipeline.controlnet is not None
        return {**found, "controlnet": self.pipeline._looped} if branch else found
