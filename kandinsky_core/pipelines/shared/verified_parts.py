"""What `kandinsky verify` compares of a family: its components, and what each of them gets.

A family adds its encoders of texts and pictures, in a file of this name in its room. All else is
said here, once: the denoiser, the autoencoder, and the call that makes the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

import numpy as np

from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.checkpoints.file_names import NATIVE
from kandinsky_core.checkpoints.opened_model import OpenedModel
from kandinsky_core.denoising.generator import Generator
from kandinsky_core.pipelines.shared.requests import DecoderPlan
from kandinsky_core.verification import one_step

__all__ = ["GUIDANCE", "Inputs", "VerifiedParts", "random_picture"]

GUIDANCE = 4.0
"""The weight of guidance with which denoisers are compared."""

Inputs = dict[str, tuple[Any, ...]]
"""The arguments of each component, by its name."""


class VerifiedParts:
    """The components of a pipeline that makes pictures from text, and their inputs.

    Args:
        pipeline: The pipeline.

    Attributes:
        steps: The usual number of denoising steps of the picture.
        pipeline: The pipeline.
        decoder: The pipeline, or the half of it that has the UNet.
    """

    steps: ClassVar[int] = 20

    def __init__(self, pipeline: Any) -> None:
        self.pipeline = pipeline
        self.decoder = getattr(pipeline, "decoder_pipe", pipeline)

    @classmethod
    def lacking(cls, model: OpenedModel) -> str | None:
        """Return in words what diffusers lacks to run a model; None where it lacks nothing.

        Args:
            model: The model, or its half that has the UNet.

        Raises:
            KandinskyError: A config is missing or damaged.
        """
        checkpoint = model.checkpoint
        folders = [part.folder for part in checkpoint.components.values()]
        native = any((place / name).exists() for place in folders for name in NATIVE.values())
        if native or checkpoint.pickled or not checkpoint.has_index:
            return "reader of these files"
        return None

    def call(self, prompt: str, height: int | None, width: int | None, steps: int) -> Any:
        """Return the arguments of the call that makes the picture.

        Args:
            prompt: The prompt.
            height: Pixels; None is the model's own size.
            width: The same.
            steps: Denoising steps.
        """
        size = self.decoder.default_size
        return {
            "prompt": prompt,
            "height": height or size,
            "width": width or size,
            "num_inference_steps": steps,
        }

    def inputs(self, call: Mapping[str, Any]) -> Inputs:
        """Return the inputs of each component, which are the same for every backend.

        Args:
            call: What `call` returned. Denoisers get the outputs of this pipeline's encoders.
        """
        generator, decoder = Generator(0), self.decoder
        plan = decoder.plan(
            call["height"], call["width"], call["num_inference_steps"], GUIDANCE, "latent"
        )
        channels, height, width = plan.latent_shape
        factor, name = decoder.movq_scale_factor, decoder.autoencoder_name
        pixels = generator.randn((1, 3, height * factor, width * factor)).clip(-1, 1)
        conditioning, scale = self.conditioning(call, plan, generator)
        encoders = self.encoders(call, generator)
        sample = generator.randn((1, channels, height, width))
        return {
            **encoders,
            **self.denoisers(sample, conditioning, scale),
            f"{name} encode": (pixels,),
            f"{name} decode": (generator.randn((1, channels, height, width)).clip(-1, 1),),
        }

    def encoders(self, call: Mapping[str, Any], generator: Generator) -> Inputs:
        """Return the inputs of what runs before the UNet."""
        raise NotImplementedError

    def conditioning(
        self, call: Mapping[str, Any], plan: DecoderPlan, generator: Generator
    ) -> tuple[Mapping[str, Array], float]:
        """Return what the UNet reads beside the sample, and the weight of guidance."""
        request = self.pipeline.prepare(**call)
        scale = GUIDANCE if request.plan.guided else 1.0
        return self.pipeline._conditioning(request), scale

    def denoisers(
        self, sample: FloatArray, conditioning: Mapping[str, Array], scale: float
    ) -> Inputs:
        """Return the inputs of the UNet."""
        return {"unet": (sample, conditioning, scale)}

    def looped(self) -> dict[str, Any]:
        """Return the denoisers whose inputs `denoisers` gives."""
        return {"unet": self.decoder.unet}

    def runs(self) -> dict[str, Callable[..., Any]]:
        """Return what runs each component, in the order of their inputs."""
        decoder = self.decoder
        return {
            **{name: partial(one_step, looped) for name, looped in self.looped().items()},
            f"{decoder.autoencoder_name} encode": decoder.movq.encode,
            f"{decoder.autoencoder_name} decode": decoder.movq.decode,
        }


def random_picture(height: int, width: int) -> FloatArray:
    """Return a picture [height, width, 3] of random values in [0, 1], always the same."""
    return np.random.default_rng(0).random((height, width, 3), np.float32)
