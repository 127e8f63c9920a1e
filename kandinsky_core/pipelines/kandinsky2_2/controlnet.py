"""Kandinsky 2.2 with a hint, a depth map for example, that fixes the layout of the picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.pipelines.kandinsky2_2.decoder import EmbeddingDecoder, EmbedsToCome
from kandinsky_core.pipelines.shared.call_options import Callback, OldCallback
from kandinsky_core.pipelines.shared.hints import hints_for
from kandinsky_core.pipelines.shared.image_to_image import Img2ImgDecoder
from kandinsky_core.pipelines.shared.prepared_call import prepared_call
from kandinsky_core.pipelines.shared.requests import DecoderPlan, DecoderRequest
from kandinsky_core.pipelines.shared.rows import doubled, one_for_each

__all__ = ["KandinskyV22ControlnetImg2ImgPipeline", "KandinskyV22ControlnetPipeline"]


class _HintDecoder(EmbeddingDecoder):
    """Base of the decoders that take a hint."""

    part: ClassVar[str] = "controlnet"
    kind: ClassVar[str] = "controlnet"
    callback_tensor_inputs: ClassVar[tuple[str, ...]] = (
        *EmbeddingDecoder.callback_tensor_inputs,
        "hint",
    )

    def check_hint(self, hint: Any, plan: DecoderPlan) -> FloatArray:
        """Return hints [N, 3, 8h, 8w] in [0, 1] for latents of h x w; see `hints_for`.

        Raises:
            InvalidInputError: The hint is no picture.
        """
        return hints_for("hint", hint, plan, self.movq_scale_factor)

    def _conditioning(self, request: DecoderRequest) -> dict[str, Array]:
        assert request.hints is not None
        hints = one_for_each(request.hints, request.count)
        guided = request.plan.guided
        return {**super()._conditioning(request), "hint": doubled(hints, guided)}


class KandinskyV22ControlnetPipeline(_HintDecoder):
    """Text to image with a hint.

    Source: diffusers' pipeline of the same name. Differences: the hint may be a PIL picture or an
    array of any size, the picture has the size asked for, and embeddings and hints are repeated
    for several pictures with guidance off too.
    """

    def prepare(
        self,
        image_embeds: Array | Sequence[Array],
        negative_image_embeds: Array | Sequence[Array] | None = None,
        hint: Any = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 100,
        guidance_scale: float = 4.0,
        num_images_per_prompt: int = 1,
        generator: Any = None,
        latents: Array | None = None,
        output_type: str = "pil",
        callback: OldCallback | None = None,
        callback_steps: int = 1,
        return_dict: bool = True,
        callback_on_step_end: Callback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        *,
        seed: int | Sequence[int] | None = None,
    ) -> DecoderRequest:
        """Check a request for pictures whose layout a hint fixes.

        Arguments and errors of all calls: `kandinsky_core.pipelines.shared.call_arguments`.
        """
        plan = self.plan(height, width, num_inference_steps, guidance_scale, output_type)
        options = self.call_options(
            callback_on_step_end,
            callback_on_step_end_tensor_inputs,
            return_dict,
            callback,
            callback_steps,
        )
        embeds, count = self.check_embeds(
            image_embeds, negative_image_embeds, num_images_per_prompt, plan
        )
        return self._request(
            plan,
            options,
            count,
            generator,
            seed,
            latents=latents,
            embeds=embeds,
            hints=self.check_hint(hint, plan),
        )

    __call__ = prepared_call(prepare)


class KandinskyV22ControlnetImg2ImgPipeline(_HintDecoder, Img2ImgDecoder):
    """Image to image with a hint.

    Source: diffusers' pipeline of the same name. Differences: those of
    `KandinskyV22Img2ImgPipeline` and of `KandinskyV22ControlnetPipeline`.
    """

    def prepare(
        self,
        image_embeds: Array | Sequence[Array],
        image: Any,
        negative_image_embeds: Array | Sequence[Array] | None = None,
        hint: Any = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 100,
        guidance_scale: float = 4.0,
        strength: float = 0.3,
        num_images_per_prompt: int = 1,
        generator: Any = None,
        output_type: str = "pil",
        callback: OldCallback | None = None,
        callback_steps: int = 1,
        return_dict: bool = True,
        callback_on_step_end: Callback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        *,
        seed: int | Sequence[int] | None = None,
    ) -> DecoderRequest:
        """Check a request for pictures that begin with a picture, and whose layout a hint fixes.

        Arguments and errors of all calls: `kandinsky_core.pipelines.shared.call_arguments`.

        Args:
            image: The picture to start from, as for `KandinskyV22Img2ImgPipeline`.
        """
        plan = self.plan(height, width, num_inference_steps, guidance_scale, output_type, strength)
        options = self.call_options(
            callback_on_step_end,
            callback_on_step_end_tensor_inputs,
            return_dict,
            callback,
            callback_steps,
        )
        embeds, count = self.check_embeds(
            image_embeds, negative_image_embeds, num_images_per_prompt, plan
        )
        return self._request(
            plan,
            options,
            count,
            generator,
            seed,
            embeds=embeds,
            pixels=self.check_image(image, plan),
            one_start=num_images_per_prompt == 1 and not isinstance(image_embeds, EmbedsToCome),
            hints=self.check_hint(hint, plan),
        )

    __call__ = prepared_call(prepare)
