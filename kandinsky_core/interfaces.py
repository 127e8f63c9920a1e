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
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from kandinsky_core.compilations import CompilationLog
from kandinsky_core.step_rules import PLAIN_RULE, Kept, StepRule

if TYPE_CHECKING:
    from kandinsky_core.tiling import Tiling

__all__ = [
    "Array",
    "Autoencoder",
    "Backend",
    "BackendReport",
    "ComponentSource",
    "Denoiser",
    "DenoisingRun",
    "DeviceMemory",
    "FloatArray",
    "ImageEncoder",
    "MultilingualTextEncoder",
    "Network",
    "PriorDenoiser",
    "T5TextEncoder",
    "Tensors",
    "TextEncoder",
]

Array = NDArray[Any]
FloatArray = NDArray[np.float32]


class Tensors(Protocol):
    """The weights of one component as they lie in its files: named, typed, read one at a time."""

    def names(self) -> Iterable[str]:
        """Return every tensor name."""
        ...

    def spec(self, name: str) -> tuple[tuple[int, ...], str]:
        """Return shape and safetensors dtype (`F32`, `F16`, `BF16`, `I64`, ...) without reading."""
        ...

    def read(self, name: str) -> Array:
        """Return the tensor's values, in PyTorch's layout and the stored dtype.

        It may be a window into a file, copied where it is written to: the file never changes.
        """
        ...


class ComponentSource(Protocol):
    """What a backend needs in order to build one component."""

    @property
    def class_name(self) -> str:
        """Class in `model_index.json`, `UNet2DConditionModel` for example."""
        ...

    @property
    def config(self) -> Mapping[str, Any]:
        """Content of its config file."""
        ...

    def tensors(self) -> Tensors:
        """Open the component's weight files."""
        ...


class Network(Protocol):
    """What every loaded component has in common.

    Within `kandinsky_core.compile_only.compile_only` one that compiles ahead of time does that in
    the place of running, and gives zeros of the shapes that it would have computed.
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
        """The log of what is compiled for this network, others too; None where nothing is."""
        ...

    def to(self, *, device: str | None = None, dtype: str | None = None) -> None:
        """Move or cast the weights in place."""
        ...

    def offload(self) -> None:
        """Keep the weights on the host from now on, and on the device only while they are used."""
        ...

    def read_weights(self, names: Iterable[str]) -> dict[str, Array]:
        """Return copies of weights, by PyTorch's names, in its layout and the network's dtype.

        Raises:
            KeyError: There are no such weights; the error holds all their names.
        """
        ...

    def update_weights(self, values: Mapping[str, Array]) -> None:
        """Replace weights, cast to the network's dtype, and keep what they were first.

        Raises:
            KeyError: There are no such weights.
            ValueError: One is of another shape.
        """
        ...

    def restore_weights(self) -> None:
        """Put back, bit for bit, all that `update_weights` replaced."""
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
            attention_mask: [B, L], True on tokens and False on padding, which has states too.
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
            timestep: What the network is told.
            row: The row.
            noise: Standard normals; None at a step that draws none.
        """
        ...

    def read(self) -> FloatArray:
        """Return the present sample. Waits for the device."""
        ...

    def write(self, sample: FloatArray) -> None:
        """Replace the present sample by one of the same shape."""
        ...

    def condition(self, conditioning: Mapping[str, Array]) -> None:
        """Replace the conditioning by one of the same shapes."""
        ...


@runtime_checkable
class Denoiser(Network, Protocol):
    """A network that predicts noise or a clean sample: the prior or the UNet."""

    def begin(
        self,
        sample: FloatArray,
        conditioning: Mapping[str, Array],
        guidance_scale: float,
        *,
        rule: StepRule = PLAIN_RULE,
        kept: Kept | None = None,
    ) -> DenoisingRun:
        """Start a loop.

        Args:
            sample: Initial sample of B rows.
            conditioning: Named arrays of B rows; of 2B rows, unconditional first, when
                `guidance_scale` > 1. Everything that does not depend on the step is computed here.
                For the UNet of Kandinsky 2: `image_embeds` [., D]; in 2.1 `text_embeds` [., D] and
                `text_encoder_hidden_states` [., L, H]; `image_latents` [., c, h, w], channels that
                stand behind the sample's (inpainting); `hint` [., 3, H, W] (ControlNet).
                For that of Kandinsky 3: `text_encoder_hidden_states` [., L, H]; `attention_mask`
                [., L], True on the tokens that attention sees; `image_latents` as above, the mask
                first. In diffusers' convention that is all. In the original code's the projected
                text is zero but where `projected_mask` [., L] is True, and `null_embedding` [., D],
                in unconditional rows the trained one and else zero, is added to its first token.
            guidance_scale: Weight of classifier-free guidance; off at 1 and below.
            rule: How the schedule's steps are computed.
            kept: What inpainting puts back after every step.
        """
        ...


class PriorDenoiser(Denoiser, Protocol):
    """The prior also holds the statistics that its embeddings were normalised with."""

    def clip_statistics(self) -> tuple[FloatArray, FloatArray]:
        """Return `clip_mean` and `clip_std`, each [1, D]."""
        ...


class Autoencoder(Network, Protocol):
    """MoVQ.

    Attributes:
        tiling: How large pictures are divided; None converts them whole.
    """

    tiling: Tiling | None

    @property
    def scale_factor(self) -> int:
        """Pixels to a latent cell along a side, 8 for the published models."""
        ...

    def encode(self, pixels: FloatArray) -> FloatArray:
        """Encode pixels [B, 3, H, W] in [-1, 1] into latents [B, C, h, w]."""
        ...

    def decode(self, latents: FloatArray) -> FloatArray:
        """Decode latents [B, C, h, w] into pixels [B, 3, H, W], about [-1, 1], not clipped."""
        ...

    def enable_tiling(self, tile_size: int = 512, overlap: int | None = None) -> None:
        """Convert large pictures tile by tile: `kandinsky_core.tiling.TiledAutoencoder`."""
        ...

    def disable_tiling(self) -> None:
        """Convert pictures whole."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendReport:
    """What `kandinsky backends` prints of one backend."""

    name: str
    available: bool
    versions: Mapping[str, str]
    devices: tuple[str, ...] = ()
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceMemory:
    """What a device has.

    Attributes:
        device: Its name.
        total: Bytes that this process may have there.
        free: Bytes of them that nobody has now; None where that is unknown.
        host: Whether it is the host's memory, where weights may be windows into their files.
        filled_by_load: Whether `Backend.load` brings weights there. Else they come when they are
            used.
    """

    device: str
    total: int
    free: int | None
    host: bool
    filled_by_load: bool


class Backend(Protocol):
    """A framework that runs the networks: an object, so that two can live in one process.

    Attributes:
        name: As it is registered.
        cache_folder: Where compiled programs outlive the process; None where they do not.
    """

    name: str
    cache_folder: Path | None

    def load(self, source: ComponentSource, dtype: str, device: str | None = None) -> Network:
        """Build one component and fill it.

        Args:
            source: Its class, config and weights.
            dtype: Name of the dtype to compute in.
            device: Where; None takes the backend's own choice.

        Raises:
            BackendUnavailableError: The device is not there; raised before any weight is read.
            ConfigError: A config field is unknown or unsupported.
            CheckpointError: Tensors are missing, unexpected, misshapen or damaged.
        """
        ...

    def load_streamed(
        self, source: ComponentSource, dtype: str, device: str | None = None
    ) -> T5TextEncoder:
        """Prepare a text encoder of Kandinsky 3 that reads its files block by block at every call.

        Raises:
            BackendUnavailableError: The device is not there.
            CheckpointError: The checkpoint does not fit; no data has been read.
            ConfigError: A config field is unknown or unsupported, or this is another network.
        """
        ...

    def memory(self, device: str | None = None) -> DeviceMemory | None:
        """Return what a device has; None where the framework does not tell.

        Args:
            device: Where; None takes the backend's own choice.

        Raises:
            BackendUnavailableError: The device is not there.
        """
        ...

    def report(self) -> BackendReport:
        """Describe versions and devices."""
        ...
