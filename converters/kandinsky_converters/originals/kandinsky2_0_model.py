"""Loads ai-forever's folder of Kandinsky 2.0 as models, without converting it first.

A folder, or the repository on the hub, holds a UNet for pictures from text and one for inpainting,
the autoencoder, and two folders of text encoders with their tokenizers. The module is registered in
the group `kandinsky.layouts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from kandinsky_converters.component_files import open_component
from kandinsky_converters.originals.component import OriginalComponent
from kandinsky_converters.originals.files import open_original
from kandinsky_converters.parts import Part
from kandinsky_core.arrays import Array
from kandinsky_core.checkpoints.checkpoint import Checkpoint, Component, ConfiguredComponent
from kandinsky_core.checkpoints.inside import inside
from kandinsky_core.errors import CheckpointError, ModelNotFoundError
from kandinsky_core.seam.tensors import Tensors

__all__ = ["PARTS", "hub_patterns", "open_model"]

# part -> file of the UNet, its input channels, class of the pipeline
PARTS = {
    "decoder": ("Kandinsky-2-0.pt", 4, "Kandinsky20Pipeline"),
    "inpaint": ("Kandinsky-2-0-inpainting.pt", 9, "Kandinsky20InpaintPipeline"),
}
"""The UNet and the pipeline for each `part` that a pipeline asks for."""

_VAE = "vae.ckpt"
_FIRST, _SECOND = "text_encoder1", "text_encoder2"
_SAMPLER = "Kandinsky20Scheduler"
_PROJECTION = "LinearTransformation.weight"
_DECODER = "mT5's decoder, which no picture needs"


def open_model(folder: Path, name: str, part: str) -> Checkpoint | None:
    """See `kandinsky_core.checkpoints.other_layouts`."""
    marks = (*(file for file, _, _ in PARTS.values()), f"{_FIRST}/config.json")
    if part not in PARTS or not any(inside(folder, mark).is_file() for mark in marks):
        return None
    file, channels, pipeline = PARTS[part]
    first, second = inside(folder, _FIRST), inside(folder, _SECOND)
    found: list[Component] = [
        _lazy("text_encoder", "MultilingualCLIP", first, lambda: _text_encoder(first)),
        Component("tokenizer", "", "XLMRobertaTokenizer", first),
        _lazy("text_encoder_2", "MT5EncoderModel", second, lambda: _text_encoder_2(second)),
        Component("tokenizer_2", "", "MT5Tokenizer", second),
        _lazy("unet", "Kandinsky20UNet", folder, lambda: _unet(folder, file, channels)),
        ConfiguredComponent("scheduler", "", _SAMPLER, folder, settings={"_class_name": _SAMPLER}),
        _lazy("vae", "AutoencoderKL", folder, lambda: _autoencoder(folder)),
    ]
    return Checkpoint(folder, name, pipeline, {item.name: item for item in found})


def _lazy(name: str, class_name: str, folder: Path, opened: Callable[[], Part]) -> Component:
    return OriginalComponent(name, "", class_name, folder, opened=opened)


def _unet(folder: Path, file: str, channels: int) -> Part:
    part = _original(folder, file, "unet", "Kandinsky20UNet")
    found = part.config["in_channels"]
    if found != channels:
        raise CheckpointError(
            f"{folder / file} has {found} input channels, and the file of this name has "
            f"{channels}: download it again"
        )
    return part


def _autoencoder(folder: Path) -> Part:
    return _original(folder, _VAE, "vae", "AutoencoderKL")


def _original(folder: Path, file: str, name: str, class_name: str) -> Part:
    path = inside(folder, file)
    if not path.is_file():
        there = ", ".join(sorted(found.name for found in folder.iterdir())[:8]) or "nothing"
        raise ModelNotFoundError(f"{path} is not there (there is {there}): download it")
    return open_original(path, name, class_name)


def _text_encoder(folder: Path) -> Part:
    """Open XLM-RoBERTa, whose config is that of the bare network: the weights say the width."""
    part = open_component(Component("text_encoder", "", "MultilingualCLIP", folder))
    if _PROJECTION not in set(part.tensors.names()):
        raise CheckpointError(f"{folder} lacks {_PROJECTION}: is it the text encoder of 2.0?")
    shape, _ = part.tensors.spec(_PROJECTION)
    if len(shape) != 2:
        raise CheckpointError(f"{folder}: {_PROJECTION} has shape {list(shape)}, not two axes")
    config = {key: value for key, value in part.config.items() if key != "model_type"}
    widths = {"numDims": shape[0], "transformerDimensions": shape[1]}
    return replace(part, config={**config, **widths}, folder=None)


def _text_encoder_2(folder: Path) -> Part:
    """Open mT5, of whose file the encoder alone is read."""
    part = open_component(Component("text_encoder_2", "", "MT5EncoderModel", folder))
    tensors = _EncoderOf(part.tensors)
    left = set(part.tensors.names()) - set(tensors.names())
    ignored = {**part.ignored, **dict.fromkeys(sorted(left), _DECODER)}
    return replace(part, tensors=tensors, ignored=ignored, folder=None)


class _EncoderOf:
    """The tensors of an encoder among those of a whole network of T5's family.

    Args:
        tensors: All tensors.
    """

    layout = "diffusers"

    def __init__(self, tensors: Tensors) -> None:
        self._tensors = tensors

    def names(self) -> Iterator[str]:
        """See `Tensors.names`."""
        for name in self._tensors.names():
            if name == "shared.weight" or name.startswith("encoder."):
                yield name

    def spec(self, name: str) -> tuple[tuple[int, ...], str]:
        """See `Tensors.spec`."""
        return self._tensors.spec(name)

    def read(self, name: str) -> Array:
        """See `Tensors.read`."""
        return self._tensors.read(name)


def hub_patterns(part: str, components: Iterable[str]) -> list[str]:
    """See `kandinsky_core.checkpoints.other_layouts`."""
    if part not in PARTS:
        return []
    patterns = [f"{_FIRST}/config.json", f"{_SECOND}/config.json"]  # they show what this is
    files = {
        "text_encoder": [f"{_FIRST}/*.bin"],
        "text_encoder_2": [f"{_SECOND}/*.bin"],
        "tokenizer": [f"{_FIRST}/*.json", f"{_FIRST}/*.model"],
        "tokenizer_2": [f"{_SECOND}/*.json", f"{_SECOND}/*.model"],
        "unet": [PARTS[part][0]],
        "vae": [_VAE],
    }
    return patterns + [file for component in components for file in files.get(component, [])]
