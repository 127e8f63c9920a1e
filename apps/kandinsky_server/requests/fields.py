"""The table of all fields that a request for pictures may have, and how each is read.

One table serves JSON and forms, the capabilities, the OpenAPI document and the page. Nothing that a
client sends is silently ignored: a field is used, named in the answer's warnings, or refused.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kandinsky_server.requests.api_errors import ApiError
from kandinsky_server.requests.json_text import read_json_text
from kandinsky_server.requests.picture_request import TASKS

__all__ = ["FIELDS", "IGNORED", "PICTURES", "Field", "Given", "read_fields"]

LARGEST_SEED = 2**53 - 1
"""The largest whole number that JavaScript holds exactly."""
_SIZE = re.compile(r"(\d{1,6})x(\d{1,6})")


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a request.

    Attributes:
        kind: `text`, `whole`, `number`, `numbers`, `flag`, `choice`, `size`, `seeds`, `mix` or
            `scales`.
        about: What it means, for documents.
        low: Smallest value, or fewest entries.
        high: Largest value, or most characters or entries.
        choices: The allowed words.
        aliases: Other names that clients know it by.
        option: Whether it is an argument of a pipeline, by its own name.
    """

    kind: str
    about: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    option: bool = False


def _steps(whose: str, *aliases: str) -> Field:
    return Field("whole", f"Denoising steps of the {whose}.", 1, 200, (), aliases, option=True)


def _guidance(whose: str, *aliases: str) -> Field:
    about = f"Weight of guidance in the {whose}; 1 switches it off."
    return Field("number", about, 0, 20, (), aliases, option=True)


FIELDS: Mapping[str, Field] = {
    "prompt": Field("text", "What to paint.", high=4000),
    "negative_prompt": Field("text", "What to keep out.", high=4000),
    "model": Field("text", "An id of `/v1/models`; the server's first model otherwise.", high=500),
    "n": Field("whole", "How many pictures.", 1, 10),
    "size": Field("size", "`WIDTHxHEIGHT` in pixels, or `auto`: the model's own size."),
    "width": Field("whole", "Pixels; with `height` it stands for `size`.", 1, 8192),
    "height": Field("whole", "Pixels.", 1, 8192),
    "seed": Field(
        "seeds",
        "A whole number, or one for each picture. A single one stands for s, s + 1, ..., so that "
        "each picture can be made again alone.",
    ),
    "num_inference_steps": _steps("decoder", "steps"),
    "guidance_scale": _guidance("decoder", "cfg_scale"),
    "prior_num_inference_steps": _steps("prior", "prior_steps"),
    "prior_guidance_scale": _guidance("prior"),
    "scheduler": Field("text", "The decoder's scheduler by its name in diffusers.", high=100),
    "strength": Field("number", "How much of a given picture is painted anew.", 0, 1, option=True),
    "paste_back": Field("flag", "Put the kept pixels back exactly.", option=True),
    "controlnet_conditioning_scale": Field(
        "number", "Weight of a hint, for Kandinsky 3.", 0, 10, option=True
    ),
    "mix": Field(
        "mix",
        "Texts and pictures that the prior mixes: a list of {text | image, weight}, where `image` "
        "is the number of an uploaded picture.",
        1,
        8,
    ),
    "lora": Field(
        "scales",
        "How much each adapter counts: {name: scale}. `/v1/capabilities` names a model's.",
        1,
        16,
    ),
    "ip_weights": Field(
        "numbers", "The share of each of `ip_images`; equal shares of 1 else.", 1, 8
    ),
    "ip_scale": Field("number", "How much these pictures count beside the prompt.", 0, 2),
    "upscale": Field("choice", "Enlarge the pictures so many times.", choices=("2", "4")),
    "output_format": Field("choice", "Format of the pictures.", choices=("png", "jpeg", "webp")),
    "output_compression": Field("whole", "Quality of JPEG and WebP.", 0, 100),
    "response_format": Field(
        "choice", "How pictures are returned.", choices=("b64_json", "url", "file")
    ),
    "stream": Field("flag", "Answer as server-sent events."),
    "partial_images": Field("whole", "Previews to send while a picture forms.", 0, 10),
    "timeout": Field("number", "Seconds from arrival until the request is given up.", 1, 3600),
    "task": Field(
        "choice",
        "What to do; image routes know it by themselves.",
        choices=TASKS,
    ),
}
"""Name -> field; the names are diffusers' where OpenAI has none."""

PICTURES = ("image", "mask", "hint", "ip_images")
"""Fields that hold files in forms, and data URLs in JSON."""

IGNORED = (
    *("user", "safety_identifier", "quality", "style", "background", "moderation"),
    *("input_fidelity", "complexity"),
)
"""Fields of OpenAI's clients that mean nothing here; the answer's warnings name them."""

_WEIGHT = Field("number", "", -10, 10)
_REFUSED = ("markup", "svg", "frame_count", "frame_duration_ms")
_ALIASES = {alias: name for name, field in FIELDS.items() for alias in field.aliases}


@dataclass(frozen=True, slots=True)
class Given:
    """The fields that a client gave.

    Attributes:
        values: Name -> checked value.
        warnings: What was accepted without effect.
    """

    values: Mapping[str, Any]
    warnings: tuple[str, ...]


def read_fields(body: Mapping[str, Any], *, form: bool, ignore_unknown: bool = False) -> Given:
    """Check the fields of a body that hold no pictures.

    Args:
        body: Name -> value. A form's values are texts, or lists of texts.
        form: Whether the body is a form, whose numbers are texts.
        ignore_unknown: Whether unknown fields get a warning in place of an error.

    Raises:
        ApiError: A field is unknown, is given twice, or has a value that is not allowed.
    """
    values: dict[str, Any] = {}
    called: dict[str, str] = {}
    warnings = []
    for given, value in body.items():
        name = given.removesuffix("[]") if form else given
        name = _ALIASES.get(name, name)
        if name in IGNORED:
            if value not in (None, "auto", ""):
                warnings.append(f"{name} has no effect here")
            continue
        if name not in FIELDS:
            if ignore_unknown and name not in _REFUSED:
                warnings.append(f"{_shown(name)} is unknown and was ignored")
                continue
            raise _unknown(name)
        if value is None:
            continue
        if name in values:
            both = f"{_shown(called[name])} and as {_shown(given)}"
            raise ApiError.invalid(name, f"{name} is given twice, as {both}: give one")
        called[name] = given
        values[name] = _read(name, FIELDS[name], value, form=form)
    return Given(values, tuple(warnings))


def _unknown(name: str) -> ApiError:
    if name in _REFUSED:
        message = f"{name} is not supported here: leave it out"
        return ApiError.invalid(name, message, "unknown_field")
    known = [*FIELDS, *PICTURES, *_ALIASES]
    near = difflib.get_close_matches(name[:100], known, 1)
    known_names = ", ".join([*FIELDS, *PICTURES])
    hint = f": did you mean {near[0]}?" if near else f"; known are {known_names}"
    return ApiError.invalid(_shown(name), f"unknown field {_shown(name)}{hint}", "unknown_field")


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 100 else f"{text[:100]}..."


def _read(name: str, field: Field, value: Any, *, form: bool) -> Any:
    if form and field.kind not in ("seeds", "numbers") and isinstance(value, list):
        if len(value) != 1:
            raise ApiError.invalid(name, f"{name} is given {len(value)} times: give it once")
        value = value[0]
    return _READERS[field.kind](name, field, value, form)


def _wrong(name: str, value: Any, wanted: str) -> ApiError:
    return ApiError.invalid(name, f"{name}={_shown(value)}: give {wanted}")


def _text(name: str, field: Field, value: Any, form: bool) -> str:
    if not isinstance(value, str):
        raise _wrong(name, value, "a text")
    if field.high is not None and len(value) > field.high:
        raise ApiError.invalid(
            name, f"{name} has {len(value)} characters: give at most {field.high:g}"
        )
    if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise ApiError.invalid(name, f"{name} is no valid Unicode text")
    return value


def _whole(name: str, field: Field, value: Any, form: bool) -> int:
    wanted = f"a whole number from {field.low:g} to {field.high:g}"
    if form and isinstance(value, str) and re.fullmatch(r"[+-]?\d{1,20}", value.strip()):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(name, value, wanted)
    if not (field.low or 0) <= value <= (field.high or math.inf):
        raise _wrong(name, value, wanted)
    return value


def _number(name: str, field: Field, value: Any, form: bool) -> float:
    wanted = f"a number from {field.low:g} to {field.high:g}"
    if form and isinstance(value, str):
        try:
            value = float(value[:40])
        except ValueError:
            raise _wrong(name, value, wanted) from None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _wrong(name, value, wanted)
    if not (field.low or 0) <= value <= (field.high or math.inf):  # NaN fails too
        raise _wrong(name, value, wanted)
    return float(value)


def _flag(name: str, field: Field, value: Any, form: bool) -> bool:
    if form and isinstance(value, str):
        value = {"true": True, "1": True, "false": False, "0": False}.get(value.lower(), value)
    if not isinstance(value, bool):
        raise _wrong(name, value, "true or false")
    return value


def _choice(name: str, field: Field, value: Any, form: bool) -> str:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if text not in field.choices:
        raise _wrong(name, value, f"one of {', '.join(field.choices)}")
    return str(text)


def _size(name: str, field: Field, value: Any, form: bool) -> tuple[int, int] | None:
    if value == "auto":
        return None
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if found is None or not all(map(int, found.groups())):
        raise _wrong(name, value, "WIDTHxHEIGHT in pixels, such as 512x512, or auto")
    return int(found[1]), int(found[2])


def _seeds(name: str, field: Field, value: Any, form: bool) -> tuple[int, ...]:
    entries = value if isinstance(value, list) else [value]
    bounds = Field("whole", "", 0, LARGEST_SEED)
    if not 1 <= len(entries) <= 1000:
        raise _wrong(name, value, "a whole number, or one for each picture")
    return tuple(_whole(name, bounds, entry, form) for entry in entries)


def _numbers(name: str, field: Field, value: Any, form: bool) -> tuple[float, ...]:
    entries = value if isinstance(value, list) else [value]
    if not (field.low or 0) <= len(entries) <= (field.high or 0):
        raise _wrong(name, value, f"{field.low:g} to {field.high:g} numbers")
    return tuple(_number(name, _WEIGHT, entry, form) for entry in entries)


def _scales(name: str, field: Field, value: Any, form: bool) -> tuple[tuple[str, float], ...]:
    wanted = 'names and scales such as {"style": 0.8}'
    value = _parsed(name, value, wanted, form)
    if not isinstance(value, dict) or not (field.low or 0) <= len(value) <= (field.high or 0):
        raise _wrong(name, value, f"{wanted}, of {field.low:g} to {field.high:g} entries")
    about = Field("text", "", high=100)
    return tuple(
        (_text(name, about, key, False), _number(f"{name}.{key[:40]}", _WEIGHT, scale, False))
        for key, scale in value.items()
    )


def _parsed(name: str, value: Any, wanted: str, form: bool) -> Any:
    """Return the value of a form's field that holds JSON."""
    if not (form and isinstance(value, str)):
        return value
    try:
        return read_json_text(value)
    except ValueError:
        raise _wrong(name, value, wanted) from None


def _mix(name: str, field: Field, value: Any, form: bool) -> tuple[tuple[str, Any, float], ...]:
    wanted = 'a list such as [{"text": "a cat", "weight": 0.4}, {"image": 0, "weight": 0.6}]'
    value = _parsed(name, value, wanted, form)
    if not isinstance(value, list) or not (field.low or 0) <= len(value) <= (field.high or 0):
        raise _wrong(name, value, f"{wanted}, of {field.low:g} to {field.high:g} entries")
    return tuple(_mixed(name, entry, wanted) for entry in value)


def _mixed(name: str, entry: Any, wanted: str) -> tuple[str, Any, float]:
    if not isinstance(entry, dict) or not set(entry) <= {"text", "image", "weight"}:
        raise _wrong(name, entry, wanted)
    weight = _number(f"{name}.weight", _WEIGHT, entry.get("weight", 1.0), False)
    if ("text" in entry) == ("image" in entry):
        raise _wrong(name, entry, f"either a text or an image in each entry: {wanted}")
    if "text" in entry:
        return "text", _text(f"{name}.text", FIELDS["prompt"], entry["text"], False), weight
    index = _whole(f"{name}.image", Field("whole", "", 0, 15), entry["image"], False)
    return "image", index, weight


_READERS = {
    "text": _text,
    "whole": _whole,
    "number": _number,
    "numbers": _numbers,
    "flag": _flag,
    "choice": _choice,
    "size": _size,
    "seeds": _seeds,
    "mix": _mix,
    "scales": _scales,
}
