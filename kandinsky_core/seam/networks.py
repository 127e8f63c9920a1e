"""The seam between the neutral core and a backend.

Core decides which numbers go in (tokens, schedules, noise, sizes, the order of guidance); a backend
decides how fast they are computed. The seam is the component, never the single operation. Arrays
cross it as NumPy: images and latents as NCHW, everything else batch first. Half-precision values
cross as float32, which holds them exactly.

Letters used in shapes: B batch, C channels, H W height and width, L tokens, D embedding size.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.seam.compilations import CompilationLog
from kandinsky_core.seam.device_memory import DeviceMemory
from kandinsky_core.seam.step_rules import PLAIN_RULE, Kept, StepRule
from kandinsky_core.validation import positive_int

__all__ = [
    "Autoencoder",
    "Denoiser",
    "DenoisingRun",
    "ImageEncoder",
    "MultilingualTextEncoder",
    "Network",
    "PriorDenoiser",
    "T5TextEncoder",
    "TextEncoder",
    "Tiling",
]


class Network(Protocol):
    """A loaded network; all kinds of network have these attributes and methods.

    Within `compile_only` a network that compiles ahead of time compiles instead of running. It then
    returns zeros of the shapes that it would have computed.
    """

    config: Any
    backend_name: str

    @property
    def dtype(self) -> str:
        """Name of the dtype that the network computes in, `float32` for example."""
        ...

    @property
    def device(self) -> str:
        """Where the network runs, `cpu` or `gpu:0` for example."""
        ...

    @property
    def compilations(self) -> CompilationLog | None:
        """The log of compilations for this network and others; None where nothing is compiled."""
        ...

    def to(self, *targets: Any, device: Any = None, dtype: Any = None, **options: Any) -> Any:
        """Move or cast the weights in place; see `NetworkCalls.to`."""
        ...

    def offload(self) -> None:
        """Keep the weights on the host from now on, and on the device only while they are used."""
        ...

    def onload(self) -> None:
        """Keep the weights on the device from now on, which ends what `offload` began."""
        ...

    def weight_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Return the shape of each weight, by PyTorch's names and in its layout."""
        ...

    def weights_now(self, names: Iterable[str]) -> Mapping[str, Array]:
        """Return copies of weights as they are at this moment, a merged LoRA included."""
        ...

    def read_weights(self, names: Iterable[str]) -> dict[str, Array]:
        """Return copies of weights, by PyTorch's names, in its layout and the network's dtype.

        Raises:
            KeyError: Weights of these names do not exist; the error holds all missing names.
        """
        ...

    def update_weights(self, values: Mapping[str, Array]) -> None:
        """Replace weights by values cast to the network's dtype, and keep the first originals.

        Raises:
            KeyError: Weights of these names do not exist.
            ValueError: A value has another shape than its weight.
        """
        ...

    def save_pretrained(self, save_directory: str | Path, **options: Any) -> None:
        """Write the network's config.json and weights, as diffusers does."""
        ...

    def saved_size(self) -> int:
        """Return the bytes of the weights that `save_pretrained` writes."""
        ...

    def restore_weights(self) -> None:
        """Put back, bit for bit, all weights that `update_weights` replaced."""
        ...


class TextEncoder(Network, Protocol):
    """CLIP text model with projection."""

    def encode(self, input_ids: Array) -> tuple[FloatArray, FloatArray]:
        """Encode token ids [B, L] into `text_embeds` [B, D] and `last_hidden_state` [B, L, D]."""
        ...


class MultilingualTextEncoder(Network, Protocol):
    """XLM-RoBERTa with projection (Kandinsky 2.1)."""

    def encode(self, input_ids: Array, attention_mask: Array) -> tuple[FloatArray, FloatArray]:
        """Encode token ids [B, L] into `text_embeds` [B, D] and `last_hidden_state` [B, L, H].

        Args:
            input_ids: Integers.
            attention_mask: [B, L], True on tokens and False on padding.
        """
        ...


class T5TextEncoder(Network, Protocol):
    """T5's encoder (Kandinsky 3)."""

    def encode(self, input_ids: Array, attention_mask: Array) -> FloatArray:
        """Encode token ids [B, L] into `last_hidden_state` [B, L, H].

        Args:
            input_ids: Integers.
            attention_mask: [B, L], True on tokens and False on padding. Padding has states too.
        """
        ...


class ImageEncoder(Network, Protocol):
    """CLIP vision model with projection."""

    def encode(self, pixel_values: FloatArray) -> FloatArray:
        """Encode normalised pixels [B, 3, H, W] into `image_embeds` [B, D]."""
        ...


class DenoisingRun(Protocol):
    """One denoising loop under way. The sample stays on the device between steps."""

    def step(self, timestep: float, row: FloatArray, noise: FloatArray | None) -> None:
        """Run the network once and apply one row of a `Schedule`.

        Args:
            timestep: The timestep that the network reads.
            row: The row.
            noise: Standard normals; None at a step that draws none.
        """
        ...

    def read(self) -> FloatArray:
        """Return the present sample. Waits for the device."""
        ...

    def predicted(self) -> FloatArray:
        """Return the clean sample that the last step predicted. Waits for the device.

        Before the first step it is zeros. It shows what forms behind the noise.
        """
        ...

    def write(self, sample: FloatArray) -> None:
        """Replace the present sample by one of the same shape."""
        ...

    def condition(
        self,
        conditioning: Mapping[str, Array],
        *,
        guidance_scale: float | None = None,
        kept: Kept | None = None,
    ) -> None:
        """Replace the conditioning, and with it the guidance or the part that is put back.

        Args:
            conditioning: Arrays of the names and shapes that `begin` got. They have 2B rows where
                guidance is on from now on, else B.
            guidance_scale: The new weight of guidance; None leaves it.
            kept: The new part that is put back, of the same shapes; None leaves it.
        """
        ...


@runtime_checkable
class Denoiser(Network, Protocol):
    """A network that predicts noise or a clean sample: the prior or the UNet."""

    def memory(self) -> DeviceMemory | None:
        """Return the memory of the network's device; None where the framework does not tell."""
        ...

    def begin(
        self,
        sample: FloatArray,
        conditioning: Mapping[str, Array],
        guidance_scale: float,
        *,
        rule: StepRule = PLAIN_RULE,
        kept: Kept | None = None,
        guidance_rescale: float | None = None,
    ) -> DenoisingRun:
        """Start a loop.

        Args:
            sample: Initial sample of B rows.
            conditioning: Named arrays of B rows; of 2B rows, unconditional first, when
                `guidance_scale` > 1. Everything that does not depend on the step is computed here.
                For the UNet of Kandinsky 2: `image_embeds` [., D]; in 2.1 `text_embeds` [., D] and
                `text_encoder_hidden_states` [., L, H]; `image_latents` [., c, h, w], channels that
                stand behind the sample's (inpainting); `hint` [., 3, H, W] (ControlNet).
                In 2.0 `text_embeds`, `text_encoder_hidden_states` of the first encoder and
                `text_encoder_hidden_states_2` of the second stand in place of the image.
                For the UNet of Kandinsky 3: `text_encoder_hidden_states` [., L, H];
                `attention_mask` [., L], True on the tokens that attention sees; `image_latents` as
                above, the mask first. diffusers' convention needs no more. The convention of the
                original code needs two others: the projected text is zero except where
                `projected_mask` [., L] is True, and `null_embedding` [., D] is added to its first
                token. That is the trained vector in unconditional rows and zeros in the others.
                A UNet of either family that reads a hint itself gets `hint`.
                A UNet with an IP-Adapter takes `image_embeds` [., D] and `image_weight` [.] too,
                both or neither.
            guidance_scale: Weight of classifier-free guidance; off at 1 and below.
            rule: How the schedule's steps are computed.
            kept: The part of the picture that inpainting puts back after every step.
            guidance_rescale: The share of the guided output that is brought back to the deviation
                of the conditional one, from 0 to 1 (Lin et al. 2023, section 3.4). Any number takes
                the program for all numbers; None takes the one that does no such thing.
        """
        ...


class PriorDenoiser(Denoiser, Protocol):
    """The prior, a denoiser that also holds the statistics its embeddings were normalised with."""

    def clip_statistics(self) -> tuple[FloatArray, FloatArray]:
        """Return `clip_mean` and `clip_std`, each [1, D]."""
        ...


class Autoencoder(Network, Protocol):
    """MoVQ or, in 2.0, AutoencoderKL: the network between pixels and latents.

    Attributes:
        tiling: How large pictures are divided; None converts them whole.
    """

    tiling: Tiling | None

    def memory(self) -> DeviceMemory | None:
        """Return the memory of the network's device; None where the framework does not tell."""
        ...

    @property
    def scale_factor(self) -> int:
        """Pixels along a side of a latent cell, 8 for the published models."""
        ...

    def encode(self, pixels: FloatArray) -> FloatArray:
        """Encode pixels [B, 3, H, W] in [-1, 1] into latents [B, C, h, w].

        AutoencoderKL gives [B, 2C, h, w]: mean and logarithm of the variance.
        """
        ...

    def decode(self, latents: FloatArray) -> FloatArray:
        """Decode latents [B, C, h, w] into pixels [B, 3, H, W], about [-1, 1], not clipped."""
        ...

    def enable_tiling(self, tile_size: int = 512, overlap: int | None = None) -> None:
        """Convert large pictures tile by tile, as `TiledAutoencoder` of the backend kit does."""
        ...

    def disable_tiling(self) -> None:
        """Convert pictures whole."""
        ...


@dataclass(frozen=True)
class Tiling:
    """How a picture is divided.

    Attributes:
        size: Side of a tile in cells of the latents.
        overlap: Cells that neighbours share, at least.
        factor: Side of a cell in pixels.
    """

    size: int
    overlap: int
    factor: int

    FEWEST_CELLS: ClassVar[int] = 4
    """Cells of the least side: a quarter of it is the usual overlap, and must be a cell."""

    @classmethod
    def check_size(cls, name: str, pixels: Any, factor: int) -> int:
        """Return the cells of a tile's side.

        Args:
            name: The argument's name, for the error.
            pixels: Side of the tile in pixels.
            factor: Side of a cell in pixels.

        Raises:
            InvalidInputError: The side is no multiple of a cell's, or is shorter than four cells.
        """
        if positive_int(name, pixels) % factor or pixels < cls.FEWEST_CELLS * factor:
            raise InvalidInputError(
                f"{name}={pixels}: give a multiple of {factor} pixels, at least "
                f"{cls.FEWEST_CELLS * factor}: parts of smaller tiles would not fit together"
            )
        return int(pixels) // factor

    def starts(self, length: int) -> list[int]:
        """Return where tiles begin on a side of `length` cells.

        There are as few tiles as cover the side, spread evenly. All have one size, so that one
        program serves them.
        """
        if length <= self.size:
            return [0]
        count = -(-(length - self.overlap) // (self.size - self.overlap))
        return [index * (length - self.size) // (count - 1) for index in range(count)]
