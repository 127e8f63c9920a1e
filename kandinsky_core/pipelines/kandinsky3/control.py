"""What the ControlNet pipelines of Kandinsky 3 share: the hint, its strength, and their texts.

There are two forms. In one a branch runs beside the UNet (depth, scribble); the other is a UNet
that reads the hint itself (edges, HED). Each reads texts in a way of its own, as the original does.
Where the UNet beside a branch has an IP-Adapter, texts are read as the UNet was trained, and the
branch, which was trained without pictures, reads the text alone.

Source: ai-forever/kandinsky3-diffusers. Nothing there, nor in the published models, says in which
range and in which order of colours a hint is read, so both can be chosen. The usual choice, 0 to 1
and RGB, is that of the hints of Kandinsky 2.2 and of diffusers' ControlNets. Depth maps, scribbles
and edges are grey, for which the order does not matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from kandinsky_core.arrays import Array
from kandinsky_core.errors import ConfigError, InvalidInputError
from kandinsky_core.pipelines.kandinsky3.control_numbers import (
    ControlNumbers,
    check_hint_values,
)
from kandinsky_core.pipelines.kandinsky3.image_prompt_decoder import ImagePromptDecoder
from kandinsky_core.pipelines.kandinsky3.texts import States, Texts, text_length
from kandinsky_core.pipelines.kandinsky3.verified_parts import ControlParts
from kandinsky_core.pipelines.shared.decoder import DecoderPipeline
from kandinsky_core.pipelines.shared.hints import hints_for
from kandinsky_core.pipelines.shared.requests import DecoderPlan, DecoderRequest
from kandinsky_core.pipelines.shared.rows import doubled, one_for_each
from kandinsky_core.pipelines.shared.verified_parts import VerifiedParts
from kandinsky_core.schedulers import Scheduler
from kandinsky_core.seam.control import ControlNet, LoopNetwork, require_same_sizes
from kandinsky_core.seam.networks import Autoencoder, Denoiser, ImageEncoder, T5TextEncoder
from kandinsky_core.texts.t5_tokenizer import T5Tokenizer

__all__ = ["ControlDecoder"]


class ControlDecoder(ImagePromptDecoder):
    """Base of the pipelines that take a hint.

    Attributes:
        controlnet: The branch; None where the UNet reads the hint itself.
        hint_name: The argument of the call that is the hint.
    """

    hint_name: ClassVar[str] = "control_image"
    verified: ClassVar[type[VerifiedParts]] = ControlParts

    component_names: ClassVar[tuple[str, ...]] = (
        "tokenizer",
        "text_encoder",
        *DecoderPipeline.component_names,
        "controlnet",
        "image_encoder",
        "feature_extractor",
    )
    callback_tensor_inputs: ClassVar[tuple[str, ...]] = (
        *ImagePromptDecoder.callback_tensor_inputs,
        "hint",
    )

    def __init__(
        self,
        tokenizer: T5Tokenizer | None,
        text_encoder: T5TextEncoder | None,
        unet: Denoiser,
        scheduler: Scheduler,
        movq: Autoencoder,
        controlnet: ControlNet | None = None,
        image_encoder: ImageEncoder | None = None,
        feature_extractor: Any = None,
    ) -> None:
        super().__init__(
            tokenizer,
            text_encoder,
            unet,
            scheduler,
            movq,
            None,
            image_encoder,
            feature_extractor,
        )
        self.controlnet: ControlNet | None = controlnet
        _check_form(getattr(unet, "config", None), controlnet)

    @classmethod
    def check_configs(cls, configs: Mapping[str, Any]) -> None:
        """Refuse networks of another task or family; see `Kandinsky3Decoder.check_configs`.

        Raises:
            ConfigError: The UNet is for another task or family.
            InvalidInputError: The branch does not fit the UNet.
        """
        unet, branch = configs.get("unet"), configs.get("controlnet")
        if unet is None or unet.family != "3" or unet.kind != "controlnet":
            super().check_configs(configs)
        elif cls.kind == "inpaint":
            raise ConfigError(
                f"{cls.__name__} needs a UNet for inpainting and a controlnet beside it; this UNet "
                "reads the hint itself"
            )
        if branch is not None and unet is not None:
            _check_form(unet, branch)
            require_same_sizes(branch, unet)

    @property
    def _looped(self) -> LoopNetwork:
        return self.unet if self.controlnet is None else self.controlnet.beside(self.unet)

    def _stand_ins(self) -> dict[str, Any]:
        inputs = super()._stand_ins()
        for name in {"control_image", "hint"} - {self.hint_name}:
            inputs.pop(name, None)
        if self.text_encoder is None:  # nor is there one for an empty negative prompt
            inputs["negative_prompt_embeds"] = inputs["prompt_embeds"]
            inputs["negative_attention_mask"] = inputs["attention_mask"]
        return inputs

    def check_control(
        self,
        images: Mapping[str, Any],
        plan: DecoderPlan,
        scale: Any,
        start: Any,
        end: Any,
        rescale: Any,
        value_range: Any,
        order: Any,
    ) -> dict[str, Any]:
        """Check what a call says of its hint, and return the fields of a request that hold it.

        Args:
            images: The hint by the argument's names, of which one was given.
            plan: Sizes and steps.
            scale: `controlnet_conditioning_scale`.
            start: `control_guidance_start`.
            end: `control_guidance_end`.
            rescale: `guidance_rescale`.
            value_range: `control_image_range`.
            order: `control_image_order`.

        Raises:
            InvalidInputError: An argument is of the wrong kind or range, the hint is given twice or
                not at all, or there is no branch for a strength.
        """
        name, image = _the_one(images)
        share, (low, high) = check_hint_values(rescale, value_range, order)
        numbers = ControlNumbers.check(scale, start, end)
        if self.controlnet is None and not numbers.usual:
            raise InvalidInputError(
                "controlnet_conditioning_scale, control_guidance_start, control_guidance_end: "
                "this UNet reads the hint itself, there is no branch to weigh; leave them out"
            )
        hints = hints_for(name, image, plan, self.movq_scale_factor)
        if order == "BGR":
            hints = hints[:, ::-1]
        return {
            "hints": np.ascontiguousarray(low + (high - low) * hints, np.float32),
            "control": None if self.controlnet is None else numbers,
            "guidance_rescale": share,
            "control_facts": {
                **({} if self.controlnet is None else numbers.facts()),
                "guidance_rescale": share,
                "control_image_range": [low, high],
                "control_image_order": order,
            },
        }

    def check_control_texts(self, cut_context: Any, plan: DecoderPlan, **texts: Any) -> Texts:
        """Check the texts of a call; see `check_texts`.

        Raises:
            InvalidInputError: As `check_texts`; or the branch needs the text encoder for an empty
                text, and there is none.
        """
        found = replace(self.check_texts(**texts), cut=bool(cut_context))
        without = found.negatives is None and found.negative_states is None
        if plan.guided and without and self.controlnet is not None and self.text_encoder is None:
            raise InvalidInputError(
                "this pipeline has no text encoder, which encodes an empty negative prompt: give "
                "negative_prompt_embeds and negative_attention_mask too, which encode_prompt makes"
            )
        return found

    def _encode(self, texts: Texts, guided: bool) -> list[States]:
        """See `Kandinsky3Decoder._encode`. With a branch, no negative prompt is an empty text."""
        without = texts.negatives is None and texts.negative_states is None
        if guided and without and self.controlnet is not None:
            texts = replace(texts, negatives=[""] * texts.count)
        return super()._encode(texts, guided)

    def _longest_negatives(self, mask: Array, cut: bool) -> Array | None:
        if self.controlnet is None:
            return None
        return np.full(len(mask), text_length(mask) if cut else mask.shape[1])

    def _conditioning(self, request: DecoderRequest) -> dict[str, Array]:
        assert request.hints is not None
        found = super()._conditioning(request)
        guided, rows = request.plan.guided, len(found["attention_mask"])
        found["hint"] = doubled(one_for_each(request.hints, request.count), guided)
        if request.control is None:
            return {**found, "projected_mask": _projected(found["attention_mask"], guided)}
        assert self.controlnet is not None
        plan, levels = request.plan, len(self.controlnet.config.branch_channels)
        numbers: ControlNumbers = request.control
        return found | numbers.conditioning(plan.schedule, plan.latent_shape, levels, rows)


def _check_form(unet: Any, controlnet: Any) -> None:
    """Refuse a UNet without a branch, unless it reads the hint itself.

    Args:
        unet: The UNet's config, or None.
        controlnet: The branch or its config, or None.

    Raises:
        InvalidInputError: A branch is missing, or there is one too many.
    """
    if unet is None:
        return
    reads = unet.kind == "controlnet"
    if reads and controlnet is not None:
        raise InvalidInputError("this UNet reads the hint itself: leave controlnet= out")
    if not reads and controlnet is None:
        raise InvalidInputError(
            "this UNet reads no hint: give controlnet=, which "
            "Kandinsky3ControlNetModel.from_pretrained loads"
        )


def _the_one(given: Mapping[str, Any]) -> tuple[str, Any]:
    """Return the one argument that was given, with its name.

    Raises:
        InvalidInputError: None was given, or several were.
    """
    found = [(name, value) for name, value in given.items() if value is not None]
    if len(found) != 1:
        raise InvalidInputError(f"give the hint once, as {next(iter(given))}=")
    return found[0]


def _projected(mask: Array, guided: bool) -> Array:
    """Return where projected texts are kept: in unconditional rows on tokens, else everywhere."""
    kept = np.ones_like(mask)
    rows = len(mask) // 2 if guided else 0
    kept[:rows] = mask[:rows]
    return kept
