"""A backend of a few lines of NumPy: what the core does can be tested without any framework."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from kandinsky_backend_kit.guided_step import guide
from kandinsky_backend_kit.tiled_autoencoder import TiledAutoencoder
from kandinsky_core import DDPMScheduler, UnCLIPScheduler
from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.configs import UNet2DConditionConfig
from kandinsky_core.pipelines.kandinsky2_2.combined import KandinskyV22CombinedPipeline
from kandinsky_core.pipelines.kandinsky2_2.combined_image import (
    KandinskyV22InpaintCombinedPipeline,
)
from kandinsky_core.pipelines.kandinsky2_2.controlnet import (
    KandinskyV22ControlnetImg2ImgPipeline,
    KandinskyV22ControlnetPipeline,
)
from kandinsky_core.pipelines.kandinsky2_2.image_to_image import KandinskyV22Img2ImgPipeline
from kandinsky_core.pipelines.kandinsky2_2.inpainting import KandinskyV22InpaintPipeline
from kandinsky_core.pipelines.kandinsky2_2.prior_emb2emb import KandinskyV22PriorEmb2EmbPipeline
from kandinsky_core.pipelines.kandinsky2_2.text_to_image import KandinskyV22Pipeline
from kandinsky_core.pipelines.kandinsky2_2.two_halves import CombinedPipeline
from kandinsky_core.pipelines.shared.decoder import DecoderPipeline
from kandinsky_core.schedulers.schedule import step
from kandinsky_core.seam.device_memory import DeviceMemory
from kandinsky_core.seam.step_rules import PLAIN_RULE, Kept, StepRule

LENGTH, WIDTH = 5, 6
SIDE = 8  # of the picture that the image encoder reads


class FakeNetwork:
    """Records where it was put."""

    backend_name = "numpy"
    compilations = None
    device_memory: DeviceMemory | None = None

    def __init__(self, **config: int | str | tuple[int, ...]) -> None:
        self.config = SimpleNamespace(**{"vocab_size": 2**20, **config})
        self.dtype, self.device, self.offloaded = "float32", "cpu", False

    def to(self, *, device: str | None = None, dtype: str | None = None) -> None:
        self.device, self.dtype = device or self.device, dtype or self.dtype

    def offload(self) -> None:
        self.offloaded = True

    def onload(self) -> None:
        self.offloaded = False

    def memory(self) -> DeviceMemory | None:
        return self.device_memory


class FakeTextEncoder(FakeNetwork):
    """Embeds a text by the sum of its ids; counts the texts."""

    calls = 0

    def encode(self, input_ids: Array) -> tuple[FloatArray, FloatArray]:
        self.calls += 1
        assert input_ids.shape == (1, LENGTH)
        embeds = np.full((1, WIDTH), input_ids.sum(), np.float32)
        return embeds, np.repeat(embeds[:, None], LENGTH, axis=1)


class FakeImageEncoder(FakeNetwork):
    """Embeds pixels as their mean less 1, so the zero image as -1."""

    def encode(self, pixel_values: FloatArray) -> FloatArray:
        assert pixel_values.shape[1:] == (3, SIDE, SIDE)
        means = pixel_values.mean(axis=(1, 2, 3), dtype=np.float32)
        return np.repeat(means[:, None] - 1, WIDTH, axis=1)


class FakeUNetConfig(SimpleNamespace):
    """The fields that core reads, with the properties of the real config."""

    takes_text = UNet2DConditionConfig.takes_text
    takes_hint = UNet2DConditionConfig.takes_hint
    family = UNet2DConditionConfig.family
    latent_channels = UNet2DConditionConfig.latent_channels
    image_latents = UNet2DConditionConfig.image_latents
    image_embed_dim = UNet2DConditionConfig.image_embed_dim
    kind = UNet2DConditionConfig.kind


class FakeDenoiser(FakeNetwork):
    """Predicts `conditioning`'s first array, so that guidance shows in the result."""

    def __init__(self, **config: int | str | tuple[int, ...]) -> None:
        super().__init__(**config)
        self.config = FakeUNetConfig(**config)
        self.runs: list[FakeRun] = []

    def begin(
        self,
        sample: FloatArray,
        conditioning: Mapping[str, Array],
        guidance_scale: float,
        *,
        rule: StepRule = PLAIN_RULE,
        kept: Kept | None = None,
        guidance_rescale: float | None = None,
    ) -> FakeRun:
        self.runs.append(FakeRun(sample, conditioning, guidance_scale, rule, kept))
        self.runs[-1].rescale = guidance_rescale
        return self.runs[-1]

    def clip_statistics(self) -> tuple[FloatArray, FloatArray]:
        return np.zeros((1, WIDTH), np.float32), np.ones((1, WIDTH), np.float32)


class FakeControlNet(FakeNetwork):
    """Leaves the UNet as it is, which sees what the branch is told."""

    def beside(self, unet: FakeDenoiser) -> FakeDenoiser:
        return unet


class FakeRun:
    """Keeps the inputs and counts the steps."""

    rescale: float | None = None

    def __init__(
        self,
        sample: FloatArray,
        conditioning: Mapping[str, Array],
        guidance_scale: float,
        rule: StepRule,
        kept: Kept | None,
    ) -> None:
        self.first, self.sample, self.scale = sample, sample, guidance_scale
        self.rule, self.kept = rule, kept
        self.timesteps: list[float] = []
        self.noises: list[FloatArray | None] = []
        self.condition(conditioning)

    def condition(
        self,
        conditioning: Mapping[str, Array],
        *,
        guidance_scale: float | None = None,
        kept: Kept | None = None,
    ) -> None:
        self.conditioning = dict(conditioning)
        self.scale = self.scale if guidance_scale is None else guidance_scale
        self.kept = self.kept if kept is None else kept

    def step(self, timestep: float, row: FloatArray, noise: FloatArray | None) -> None:
        self.timesteps.append(timestep)
        self.noises.append(noise)
        first = next(iter(self.conditioning.values()))
        rows = first.reshape(len(first), -1).mean(axis=1)
        if self.scale > 1:
            rows = guide(*np.split(rows, 2), np.float32(self.scale))
        shape = (-1, *[1] * (self.sample.ndim - 1))
        output = np.broadcast_to(rows.reshape(shape), self.sample.shape).astype(np.float32)
        self.sample, self.clean = step(row, self.sample, output, None, noise, kept=self.kept)

    def read(self) -> FloatArray:
        return self.sample

    def predicted(self) -> FloatArray:
        return self.clean

    def write(self, sample: FloatArray) -> None:
        self.sample = sample


class FakeAutoencoder(TiledAutoencoder, FakeNetwork):
    """Encodes every fourth pixel's first channel.

    Decodes coordinates into the first two channels, the first latent channel into the third.
    """

    def _encode(self, pixels: FloatArray) -> FloatArray:
        return np.repeat(pixels[:, :1, ::4, ::4], 4, axis=1)

    def _decode(self, latents: FloatArray) -> FloatArray:
        batch, _, height, width = latents.shape
        pixels = np.zeros((batch, 3, 4 * height, 4 * width), np.float32)
        pixels[:, 0] = np.linspace(-1, 1, 4 * height)[:, None]
        pixels[:, 1] = np.linspace(-1, 1, 4 * width)
        pixels[:, 2] = latents[:, 0].repeat(4, axis=1).repeat(4, axis=2)
        return pixels


class FakeTokenizer:
    """One token a letter."""

    model_max_length = LENGTH

    def __call__(self, prompts: list[str]) -> tuple[Array, Array]:
        ids = np.zeros((len(prompts), LENGTH), np.int32)
        for row, prompt in enumerate(prompts):
            codes = [ord(letter) % 7 for letter in prompt[:LENGTH]]
            ids[row, : len(codes)] = codes
        return ids, ids > 0


DECODERS: dict[str, tuple[type[DecoderPipeline], dict[str, int | str]]] = {
    "decoder": (KandinskyV22Pipeline, {}),
    "img2img": (KandinskyV22Img2ImgPipeline, {}),
    "inpaint": (KandinskyV22InpaintPipeline, {"in_channels": 9}),
    "controlnet": (KandinskyV22ControlnetPipeline, {"addition_embed_type": "image_hint"}),
    "controlnet img2img": (
        KandinskyV22ControlnetImg2ImgPipeline,
        {"addition_embed_type": "image_hint"},
    ),
}


def decoder_components(**config: int | str) -> dict[str, Any]:
    """Components for 16 pixels (4 latent cells of 4) with the published scheduler's form."""
    unet: dict[str, Any] = {"in_channels": 4, "out_channels": 8, "addition_embed_type": "image"}
    unet |= {"sample_size": 4, "encoder_hid_dim": WIDTH, "block_out_channels": (8,)}
    return {
        "unet": FakeDenoiser(**(unet | config)),
        "scheduler": DDPMScheduler(beta_start=0.00085, beta_end=0.012, steps_offset=1),
        "movq": FakeAutoencoder(block_out_channels=(1, 1, 1), latent_channels=4),
    }


def prior_components() -> dict[str, Any]:
    """Components of both priors."""
    return {
        "prior": FakeDenoiser(embedding_dim=WIDTH, num_embeddings=LENGTH),
        "image_encoder": FakeImageEncoder(image_size=SIDE),
        "text_encoder": FakeTextEncoder(),
        "tokenizer": FakeTokenizer(),
        "scheduler": UnCLIPScheduler(variance_type="fixed_small_log", clip_sample_range=10.0),
        "image_processor": {"size": SIDE, "crop_size": SIDE},
    }


def decoder_pipeline() -> KandinskyV22Pipeline:
    """Text to image, without the text."""
    return KandinskyV22Pipeline(**decoder_components())


def image_pipeline(task: str) -> Any:
    """One of `DECODERS`, without progress bars."""
    pipeline_class, config = DECODERS[task]
    return _quiet(pipeline_class(**decoder_components(**config)))


def emb2emb_pipeline() -> KandinskyV22PriorEmb2EmbPipeline:
    """The prior that starts from a picture."""
    pipeline: KandinskyV22PriorEmb2EmbPipeline
    pipeline = _quiet(KandinskyV22PriorEmb2EmbPipeline(**prior_components()))
    return pipeline


def combined_pipeline(
    pipeline_class: type[CombinedPipeline] = KandinskyV22CombinedPipeline,
) -> Any:
    """Prior and decoder, without progress bars."""
    inpainting = pipeline_class is KandinskyV22InpaintCombinedPipeline
    prior = {f"prior_{name}": value for name, value in prior_components().items()}
    components = decoder_components(in_channels=9 if inpainting else 4)
    return _quiet(pipeline_class(**components, **prior))


def _quiet(pipeline: Any) -> Any:
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
