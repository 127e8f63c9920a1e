"""Which tasks a model does, and with which pipeline each, by its index alone."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any

from kandinsky_core.checkpoints.hub import HubOptions
from kandinsky_core.checkpoints.opened_model import OpenedModel
from kandinsky_core.configs import NETWORKS
from kandinsky_core.errors import CheckpointError, InvalidInputError, KandinskyError
from kandinsky_core.pipelines.auto import (
    AutoPipelineForImage2Image,
    AutoPipelineForInpainting,
    AutoPipelineForText2Image,
)
from kandinsky_core.pipelines.kandinsky2_2.controlnet_halves import ControlnetHalves
from kandinsky_core.pipelines.kandinsky2_2.two_halves import CombinedPipeline
from kandinsky_core.pipelines.kandinsky3.control import ControlDecoder
from kandinsky_core.pipelines.kandinsky3.decoder import Kandinsky3Decoder
from kandinsky_core.pipelines.super_resolution.pipeline import KandinskySuperResPipeline

__all__ = [
    "AUTO",
    "CONTROLLED",
    "decoder_configs",
    "find_tasks",
    "picture_scale",
    "takes_pictures",
    "trained_side",
]

AUTO: Mapping[str, Any] = {
    "text2image": AutoPipelineForText2Image,
    "img2img": AutoPipelineForImage2Image,
    "inpaint": AutoPipelineForInpainting,
}
"""Task -> what chooses its pipeline."""
CONTROLLED: Mapping[str, str] = {
    "text2image": "controlnet",
    "img2img": "controlnet_img2img",
    "inpaint": "controlnet_inpaint",
}
"""Task -> the same with a hint."""
_HINTED = "KandinskyV22Controlnet"


def find_tasks(model: str, hub: Mapping[str, Any], *, branch: bool = False) -> dict[str, type[Any]]:
    """Return the pipeline of each task that a model does; no weight is read.

    Args:
        model: The model as `from_pretrained` takes it.
        hub: How to fetch its index.
        branch: Whether a ControlNet of Kandinsky 3 stands beside it.

    Raises:
        KandinskyError: There is no such model, or it does nothing that is served.
        InvalidInputError: The model takes no such ControlNet.
    """
    found: dict[str, type[Any]] = {}
    problem: KandinskyError | None = None
    for task, auto in AUTO.items():
        try:
            made = auto.pipeline_class(model, **hub)
        except CheckpointError as error:
            problem = problem or error
            continue
        # A UNet that reads hints, or a model that was saved with its branch, does nothing else.
        found[CONTROLLED[task] if issubclass(made, ControlDecoder) else task] = made
        if task == "text2image" and hasattr(made, "decoder_class"):
            found["interpolate"] = made
    if _reads_hints(model, hub, found):
        found["controlnet"] = ControlnetHalves
    if branch:
        found |= _with_branch(model, found)
    if model == "shapes":
        found["upscale"] = KandinskySuperResPipeline
    if not found and problem is not None:
        raise problem
    return found


def _reads_hints(model: str, hub: Mapping[str, Any], found: Mapping[str, type[Any]]) -> bool:
    """Tell whether a model has a ControlNet decoder of Kandinsky 2.2."""
    if found and not any(issubclass(made, CombinedPipeline) for made in found.values()):
        return False
    part = ControlnetHalves.decoder_class.part
    try:
        opened = OpenedModel.of(model, part, HubOptions.among(hub))
    except KandinskyError:
        return False
    return opened.pipeline_class.startswith(_HINTED)


def _with_branch(model: str, found: Mapping[str, type[Any]]) -> dict[str, type[Any]]:
    plain = {task: made for task, made in found.items() if task in AUTO}
    if not all(issubclass(made, Kandinsky3Decoder) for made in plain.values()) or not plain:
        raise InvalidInputError(
            f"--controlnet: {model} is no UNet of Kandinsky 3 that a ControlNet stands beside; a "
            "model that reads hints by itself is served by --model alone"
        )
    return {CONTROLLED[task]: AUTO[task].controlled for task in plain}


def takes_pictures(made: type[Any], unet: Any) -> bool:
    """Tell whether a task takes pictures beside the prompt.

    Args:
        made: The task's pipeline.
        unet: The config of its UNet: Kandinsky 3 needs one with an IP-Adapter.
    """
    call = getattr(made, "prepare", None)  # halves that no call joins have none
    if call is None or "ip_adapter_image" not in signature(call).parameters:
        return False
    return not issubclass(made, Kandinsky3Decoder) or getattr(unet, "num_image_tokens", 0) > 0


def picture_scale(made: type[Any]) -> float:
    """Return how much pictures beside the prompt count unless a request says so."""
    return 0.5 if issubclass(made, CombinedPipeline) else 1.0


def decoder_configs(model: str, made: type[Any], hub: Mapping[str, Any]) -> list[Any]:
    """Return the configs of the UNet and the autoencoder of a model's pipeline."""
    decoder = getattr(made, "decoder_class", made)
    opened = OpenedModel.of(model, decoder.part, HubOptions.among(hub))
    autoencoder = "vae" if "vae" in opened.checkpoint.components else "movq"
    return [
        NETWORKS[source.class_name].config.from_dict(source.config)
        for source in opened.components(["unet", autoencoder]).values()
    ]


def trained_side(made: type[Any], configs: list[Any]) -> int:
    """Return the side in pixels that a model was trained at, by its configs."""
    side: int = getattr(made, "decoder_class", made).trained_side(*configs)
    return side
