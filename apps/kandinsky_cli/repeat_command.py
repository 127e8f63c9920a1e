"""From a picture's metadata to the command that makes the picture again.

Anybody can edit metadata. So every value is checked to be what the command line would have stored.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from kandinsky_cli.picture_options import PROGRAM
from kandinsky_cli.prompt_words import STDIN
from kandinsky_core.errors import InvalidInputError

__all__ = ["command_for"]

_TEXT, _FILE, _SWITCH = "a text", "the record of a file", "true or false"
_WHOLE, _NUMBER, _NUMBERS = "a whole number", "a finite number", "a list of finite numbers"

# Name in the metadata -> option and kind of value.
_OPTIONS = {
    "model": ("--model", _TEXT),
    "prior": ("--prior", _TEXT),
    "revision": ("--revision", _TEXT),
    "prior_revision": ("--prior-revision", _TEXT),
    "variant": ("--variant", _TEXT),
    "image": ("--image", _FILE),
    "ip_adapter_scale": ("--ip-scale", _NUMBER),
    "mask_image": ("--mask", _FILE),
    "hint": ("--hint", _FILE),
    "controlnet": ("--controlnet", _TEXT),
    "controlnet_conditioning_scale": ("--control-scale", _NUMBER),
    "control_guidance_start": ("--control-start", _NUMBER),
    "control_guidance_end": ("--control-end", _NUMBER),
    "guidance_rescale": ("--guidance-rescale", _NUMBER),
    "control_image_range": ("--hint-range", _NUMBERS),
    "control_image_order": ("--hint-order", _TEXT),
    "strength": ("--strength", _NUMBER),
    "prior_strength": ("--prior-strength", _NUMBER),
    "paste_back": ("--paste-back", _SWITCH),
    "flash": ("--flash", _SWITCH),
    "text_encoder_loading": ("--text-encoder-loading", _TEXT),
    "movq_tile_size": ("--movq-tile-size", _WHOLE),
    "weights": ("--weights", _NUMBERS),
    "negative_prompt": ("--negative-prompt", _TEXT),
    "seed": ("--seed", _WHOLE),
    "height": ("--height", _WHOLE),
    "width": ("--width", _WHOLE),
    "num_inference_steps": ("--steps", _WHOLE),
    "guidance_scale": ("--guidance-scale", _NUMBER),
    "lora": ("--lora", _TEXT),
    "scheduler_name": ("--scheduler", _TEXT),
    "prior_num_inference_steps": ("--prior-steps", _WHOLE),
    "prior_guidance_scale": ("--prior-guidance-scale", _NUMBER),
    "backend": ("--backend", _TEXT),
    "dtype": ("--dtype", _TEXT),
    "quantize": ("--quantize", _TEXT),
    "upscale": ("--upscale", _WHOLE),
    "upscaler": ("--upscaler", _TEXT),
    "scale": ("--scale", _WHOLE),
    "window_size": ("--window-size", _WHOLE),
    "window_stride": ("--window-stride", _WHOLE),
    "paste_exact": ("--paste-exact", _SWITCH),
}

# What a served picture may have been made from that no command line can name.
_SENT = ("hint", "ip_adapter_image", "lora", "mix")

# Command -> what its metadata cannot lack.
_NEEDED = {
    "generate": ("prompt",),
    "img2img": ("prompt", "image"),
    "inpaint": ("prompt", "image", "mask_image"),
    "controlnet": ("prompt", "hint"),
    "interpolate": ("items", "weights"),
    "upscale": ("image", "scale"),
}


def command_for(metadata: Mapping[str, Any]) -> str | None:
    """Return the command that makes a picture again; None where there is no such command.

    Python can give a scheduler, noise or a used generator, which no command can repeat. A client
    of a server can send pictures, and name adapters as only the server knows them. Nor does a
    command repeat a call that was interrupted.

    Raises:
        InvalidInputError: A command made the picture, but the metadata are not what it stored.
    """
    program = metadata.get("program")
    if not isinstance(program, str) or program.partition(" ")[0] != PROGRAM:
        return None
    if "interrupted" in metadata:
        return None
    command = program.partition(" ")[2]
    if command == "serve":
        if metadata.get("task") != "text2image" or not metadata.keys().isdisjoint(_SENT):
            return None
        command = "generate"
    if command not in _NEEDED:
        raise InvalidInputError(f"program is {program!r}, which makes no pictures")
    for name in _NEEDED[command]:
        if metadata.get(name) is None:
            raise InvalidInputError(f"{PROGRAM} {command} stores {name}, which is missing")
    if command == "upscale":
        subjects = [_checked("image", metadata["image"], _FILE)["path"]]
        metadata = {name: value for name, value in metadata.items() if name != "image"}
    elif command == "interpolate":
        subjects = _items(metadata["items"], metadata["weights"])
    else:
        subjects = [_checked("prompt", metadata["prompt"], _TEXT)]
        if subjects == [STDIN]:
            raise InvalidInputError(f"prompt is {STDIN}, which a command line takes for its input")
    options: list[str] = []
    for name, (flag, kind) in _OPTIONS.items():
        options += _words(name, flag, metadata.get(name), kind)
    options += _image_prompts(metadata.get("ip_adapter_image"), metadata.get("ip_adapter_weights"))
    dashed = any(subject.startswith("-") for subject in subjects)
    words = [*options, "--", *subjects] if dashed else [*subjects, *options]
    return shlex.join([PROGRAM, command, *words])


def _items(items: Any, weights: Any) -> list[str]:
    """Return the items of `kandinsky interpolate` as words."""
    from kandinsky_cli.input_pictures import word_for

    if not isinstance(items, list) or not items:
        raise InvalidInputError("items is no list of texts and pictures")
    if not isinstance(weights, list) or len(weights) != len(items):
        raise InvalidInputError(f"weights is no list of {len(items)} numbers, one for each item")
    return [_checked("items", word_for(item), _TEXT) for item in items]


def _image_prompts(images: Any, weights: Any) -> list[str]:
    """Return the pictures of `--ip-image` with their weights as words."""
    if images is None:
        return []
    if not isinstance(images, list) or not images:
        raise InvalidInputError("ip_adapter_image is no list of pictures")
    factors = _checked("ip_adapter_weights", weights, _NUMBERS)
    if len(factors) != len(images):
        raise InvalidInputError(f"ip_adapter_weights is no list of {len(images)} numbers")
    paths = [_checked("ip_adapter_image", image, _FILE)["path"] for image in images]
    return [f"--ip-image={path}:{factor!r}" for path, factor in zip(paths, factors, strict=True)]


def _words(name: str, flag: str, value: Any, kind: str) -> list[str]:
    """Return an option as words of a command line; no words where it was not used."""
    if value is None:
        return []
    value = _checked(name, value, kind)
    if kind == _SWITCH:
        return [flag] if value else []
    if kind == _NUMBERS:
        # argparse takes -0.00001 for a number, but -1e-05 for an option
        return [flag, *(format(Decimal(repr(number)), "f") for number in value)]
    text = value["path"] if kind == _FILE else str(value)
    # A value that begins with a dash would be taken for an option.
    return [f"{flag}={text}"] if text.startswith("-") else [flag, text]


def _checked(name: str, value: Any, kind: str) -> Any:
    """Return a value of the metadata if it is of a kind.

    Raises:
        InvalidInputError: It is of another kind, or no command line can hold it.
    """
    from kandinsky_core.pictures.metadata import is_file_record

    fits = {
        _TEXT: lambda: isinstance(value, str),
        _WHOLE: lambda: type(value) is int,
        _NUMBER: lambda: _is_number(value),
        _NUMBERS: lambda: isinstance(value, list) and all(map(_is_number, value)),
        _SWITCH: lambda: isinstance(value, bool),
        _FILE: lambda: is_file_record(value),
    }
    if not fits[kind]():
        raise InvalidInputError(f"{name} is not {kind}")
    text = value["path"] if kind == _FILE else value
    if isinstance(text, str) and "\0" in text:
        raise InvalidInputError(f"{name} holds a null character, which no command line can hold")
    return value


def _is_number(value: Any) -> bool:
    return type(value) is int or (type(value) is float and math.isfinite(value))
