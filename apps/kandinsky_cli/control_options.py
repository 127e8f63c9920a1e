"""The options of `kandinsky controlnet` that only Kandinsky 3 has, and its part of the command."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from kandinsky_core.errors import InvalidInputError

__all__ = [
    "add_control_options",
    "call_third",
    "check_control_values",
    "is_third",
    "load_third",
    "refuse_of_third",
]

# Option -> the argument of the call, and the name in the metadata.
_ARGUMENTS = {
    "control_scale": "controlnet_conditioning_scale",
    "control_start": "control_guidance_start",
    "control_end": "control_guidance_end",
    "guidance_rescale": "guidance_rescale",
    "hint_range": "control_image_range",
    "hint_order": "control_image_order",
}


def add_control_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of Kandinsky 3."""
    group = parser.add_argument_group("only with Kandinsky 3")
    group.add_argument(
        "--controlnet",
        metavar="MODEL",
        help="the ControlNet to run beside the model, where the model has none: a folder or hub id",
    )
    group.add_argument(
        "--mask",
        metavar="PATH",
        help="with --image: repaint what is white in this picture (a model for inpainting)",
    )
    numbers = {
        "--control-scale": "how strong the ControlNet is (default: 1)",
        "--control-start": "share of the steps after which it begins to count (default: 0)",
        "--control-end": "share of the steps after which it no longer counts (default: 1)",
        "--guidance-rescale": "how much of the guidance has its deviation mended, 0 to 1 (0)",
    }
    for flag, meaning in numbers.items():
        group.add_argument(flag, type=float, metavar="X", help=meaning)
    group.add_argument(
        "--hint-range",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="the values that the ControlNet reads for black and white (default: 0 1)",
    )
    group.add_argument("--hint-order", metavar="ORDER", help="RGB (default) or BGR")


def is_third(options: argparse.Namespace) -> bool:
    """Tell whether the model that the options name is Kandinsky 3.

    Raises:
        InvalidInputError: Another model is given a ControlNet.
        KandinskyError: The model is missing or damaged.
    """
    from kandinsky_core.checkpoints.hub import HubOptions
    from kandinsky_core.checkpoints.opened_model import OpenedModel

    beside = getattr(options, "controlnet", None) is not None
    # Folders of ai-forever have no part of the name `controlnet`.
    part = "decoder" if beside else "controlnet"
    found = OpenedModel.of(options.model, part, HubOptions.among(vars(options)))
    third = found.pipeline_class.startswith("Kandinsky3")
    if beside and not third:
        raise InvalidInputError(
            f"--controlnet: {options.model} is a {found.pipeline_class}, and only Kandinsky 3 runs "
            "with a ControlNet beside it; leave it out"
        )
    return third


def check_control_values(options: argparse.Namespace) -> None:
    """Check the values of these options, before a model is loaded.

    Raises:
        InvalidInputError: One is of the wrong kind or range.
    """
    from kandinsky_core.pipelines.kandinsky3.control_numbers import (
        ControlNumbers,
        check_hint_values,
    )

    names = ("control_scale", "control_start", "control_end")
    usual = (1.0, 0.0, 1.0)
    ControlNumbers.check(*_given(options, names, usual))
    names = ("guidance_rescale", "hint_range", "hint_order")
    check_hint_values(*_given(options, names, (0.0, (0.0, 1.0), "RGB")))


def _given(options: argparse.Namespace, names: Sequence[str], usual: Sequence[Any]) -> list[Any]:
    values = [getattr(options, name, None) for name in names]
    return [own if value is None else value for value, own in zip(values, usual, strict=True)]


def refuse_of_third(options: argparse.Namespace) -> None:
    """Refuse options of Kandinsky 3 beside another model.

    Raises:
        InvalidInputError: There is one.
    """
    names = ("mask", "ip_image", *_ARGUMENTS)
    given = [name for name in names if getattr(options, name, None) is not None]
    if given:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise InvalidInputError(f"{flags}: {options.model} is not of Kandinsky 3, leave them out")


def load_third(options: argparse.Namespace) -> Any:
    """Load the pipeline of Kandinsky 3 that the options name.

    Raises:
        InvalidInputError: There is a mask without a picture.
        KandinskyError: See `DiffusionPipeline.from_pretrained`.
    """
    from kandinsky_cli.make_pictures import load_model
    from kandinsky_core.pipelines.kandinsky3.controlnet import Kandinsky3ControlNetPipeline
    from kandinsky_core.pipelines.kandinsky3.controlnet_image_to_image import (
        Kandinsky3ControlNetImg2ImgPipeline,
    )
    from kandinsky_core.pipelines.kandinsky3.controlnet_inpainting import (
        Kandinsky3ControlNetInpaintPipeline,
    )

    kind: Any = Kandinsky3ControlNetPipeline
    if getattr(options, "mask", None) is not None:
        if options.image is None:
            raise InvalidInputError("--mask: give the picture that it is for, --image")
        kind = Kandinsky3ControlNetInpaintPipeline
    elif options.image is not None:
        kind = Kandinsky3ControlNetImg2ImgPipeline
    name = getattr(options, "controlnet", None)
    return load_model(options, kind, {} if name is None else {"controlnet": _branch(options)})


def _branch(options: argparse.Namespace) -> Any:
    """Load the ControlNet that `--controlnet` names: a model's, or a folder of it alone."""
    from kandinsky_core.pipelines.kandinsky3.branches import load_branch

    return load_branch(
        options.controlnet,
        backend=options.backend,
        mesh=options.mesh,
        device=options.device,
        dtype=options.dtype,
        local_files_only=options.local_files_only,
    )


def call_third(
    options: argparse.Namespace, pipeline: Any, pictures: dict[str, Any], arguments: dict[str, Any]
) -> Any:
    """Make pictures with a pipeline of Kandinsky 3.

    Args:
        options: The command's options.
        pipeline: The pipeline that `load_third` returned.
        pictures: `hint`, and `image`, `mask_image` and `strength` where they are given.
        arguments: What `call_arguments` of the command line gives.

    Raises:
        KandinskyError: See the pipeline's call.
    """
    taken = {key: value for key, value in pictures.items() if key != "hint"}
    if "mask_image" in taken:
        del taken["strength"]
    numbers = {
        argument: getattr(options, name)
        for name, argument in _ARGUMENTS.items()
        if getattr(options, name) is not None
    }
    return pipeline(hint=pictures["hint"], **taken, **numbers, **arguments)
