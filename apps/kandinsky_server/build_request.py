"""Makes a checked request of the fields and pictures that a client gave."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from kandinsky_server.requests.api_errors import ApiError
from kandinsky_server.requests.fields import FIELDS, LARGEST_SEED, Given
from kandinsky_server.requests.picture_request import PictureRequest
from kandinsky_server.requests.uploads import pixels_of, read_mask, read_picture
from kandinsky_server.settings import ServerSettings
from kandinsky_server.work.engine import Engine

__all__ = ["build_request", "find_model", "most_pixels"]

_WHOLE_PICTURES = 2
"""Pictures of a request that may each have all the pixels that an upload may have."""
_PIXELS = {"cpu": 1_048_576, "other": 4_194_304}


def find_model(engines: Mapping[str, Engine], name: str) -> Engine:
    """Return a served model.

    Raises:
        ApiError: There is none of this name.
    """
    if name not in engines:
        raise ApiError(
            404,
            "model_not_found",
            f"the model {name[:100]!r} is not served here; served are {', '.join(engines)}",
            param="model",
        )
    return engines[name]


def build_request(
    given: Given,
    pictures: Mapping[str, Sequence[bytes]],
    engines: Mapping[str, Engine],
    settings: ServerSettings,
) -> PictureRequest:
    """Fill in defaults and seeds, read the pictures, and check all that needs no network.

    Args:
        given: The fields.
        pictures: Field -> the files that were sent.
        engines: The served models by name.
        settings: The limits.

    Raises:
        ApiError: A field is missing, does not fit the task, or is beyond a limit.
    """
    values = dict(given.values)
    engine = find_model(engines, values.pop("model", settings.default_model))
    task = values.pop("task", None) or _task(pictures, values)
    if task not in engine.tasks:
        message = f"the model {engine.name} does not do {task}; it does {', '.join(engine.tasks)}"
        raise ApiError(400, "unsupported_task", message, param="task")
    _require(task, values, pictures)
    defaults = engine.defaults(task)
    read = _pictures(pictures, settings)
    height, width = _size(values, defaults, read, task)
    _check_size(height, width, settings, engine)
    options = {
        name: values.pop(name, default)
        for name, default in defaults.items()
        if name not in ("height", "width")
    }
    _refuse_others(values, task, engine.name)
    return PictureRequest(
        task=task,
        model=engine.name,
        height=height,
        width=width,
        seeds=_seeds(values, settings),
        prompt=values.get("prompt", ""),
        negative_prompt=values.get("negative_prompt"),
        options={name: value for name, value in options.items() if value is not None},
        mix=_mix(values, read),
        lora=_lora(values, engine, task),
        ip_weights=_ip_weights(values, read, engine, task),
        ip_scale=_ip_scale(values, read, engine),
        scheduler=values.get("scheduler"),
        upscale=_upscale(values, engine, task),
        pictures=read,
        output_format=values.get("output_format", "png"),
        output_compression=values.get("output_compression"),
        response_format=values.get("response_format", "b64_json"),
        stream=values.get("stream", False),
        partial_images=values.get("partial_images", 0),
        timeout=values.get("timeout", settings.request_timeout),
        warnings=given.warnings,
    )


def _task(pictures: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    if "mix" in values:
        return "interpolate"
    if "hint" in pictures:
        beside = "mask" if "mask" in pictures else "image"
        kind = {"mask": "controlnet_inpaint", "image": "controlnet_img2img"}[beside]
        return kind if beside in pictures else "controlnet"
    if "mask" in pictures:
        return "inpaint"
    return "img2img" if "image" in pictures else "text2image"


_NEEDS: Mapping[str, tuple[str, ...]] = {
    "text2image": ("prompt",),
    "img2img": ("prompt", "image"),
    "inpaint": ("prompt", "image", "mask"),
    "interpolate": ("mix",),
    "controlnet": ("prompt", "hint"),
    "controlnet_img2img": ("prompt", "hint", "image"),
    "controlnet_inpaint": ("prompt", "hint", "image", "mask"),
    "upscale": ("image",),
}
_TAKES: Mapping[str, tuple[str, ...]] = {
    **_NEEDS,
    "interpolate": ("mix", "image"),
}


def _require(task: str, values: Mapping[str, Any], pictures: Mapping[str, Any]) -> None:
    given = {*values, *pictures}
    for name in _NEEDS[task]:
        if name not in given:
            raise ApiError(400, "missing_field", f"{name} is missing: {task} needs it", param=name)
    for name in ("prompt", "mix", "image", "mask", "hint"):
        if name in given and name not in _TAKES[task]:
            raise ApiError.invalid(name, f"{name}: {task} takes none; leave it out")
    if task != "interpolate":
        for name, files in pictures.items():
            if len(files) > 1 and name != "ip_images":
                raise ApiError.invalid(
                    name, f"{name}: {len(files)} pictures were sent; {task} starts from one"
                )


def _pictures(
    pictures: Mapping[str, Sequence[bytes]], settings: ServerSettings
) -> dict[str, tuple[bytes, ...]]:
    limits = {"most_bytes": settings.max_upload, "most_pixels": settings.max_upload_pixels}
    contents = [(name, content) for name, found in pictures.items() for content in found]
    if len(contents) > _WHOLE_PICTURES:
        # Small files may declare many pixels, and each picture takes seconds until it is checked.
        together, most = sum(pixels_of(content) for _, content in contents), limits["most_pixels"]
        if together > _WHOLE_PICTURES * most:
            raise ApiError.invalid(
                contents[0][0],
                f"the pictures have {together:,} pixels together: send at most "
                f"{_WHOLE_PICTURES * most:,} of them",
                "size_too_large",
            )
    return {
        name: tuple(
            (read_mask if name == "mask" else read_picture)(name, content, **limits)
            for content in contents
        )
        for name, contents in pictures.items()
    }


def _size(
    values: dict[str, Any],
    defaults: Mapping[str, Any],
    pictures: Mapping[str, tuple[bytes, ...]],
    task: str,
) -> tuple[int, int]:
    size = values.pop("size", None)
    width, height = values.pop("width", None), values.pop("height", None)
    if (width is None) != (height is None):
        raise ApiError.invalid("size", "width and height belong together: give both, or size")
    if width is not None and size is not None:
        raise ApiError.invalid("size", "size is given beside width and height: give one of them")
    if task == "upscale":
        if size is not None or width is not None:
            raise ApiError.invalid("size", "size: an enlarged picture's size is its own, times 4")
        return _size_of(pictures["image"][0])
    if size is not None:
        width, height = size
    if width is None or height is None:
        return defaults["height"], defaults["width"]
    return height, width


def _size_of(png: bytes) -> tuple[int, int]:
    """Return height and width of a PNG, from its header."""
    return int.from_bytes(png[20:24]), int.from_bytes(png[16:20])


def most_pixels(settings: ServerSettings, engine: Engine) -> int:
    """Return how many pixels a picture of a model may have."""
    if settings.max_pixels is not None:
        return settings.max_pixels
    return _PIXELS["cpu" if engine.facts()["device"].startswith("cpu") else "other"]


def _check_size(height: int, width: int, settings: ServerSettings, engine: Engine) -> None:
    side = int(FIELDS["width"].high or 0)
    if max(height, width) > side:
        raise ApiError.invalid(
            "size", f"size={width}x{height}: a side has at most {side} pixels", "size_too_large"
        )
    most = most_pixels(settings, engine)
    if height * width > most:
        raise ApiError.invalid(
            "size",
            f"size={width}x{height} has {height * width:,} pixels: ask for at most {most:,}",
            "size_too_large",
        )


def _seeds(values: Mapping[str, Any], settings: ServerSettings) -> tuple[int, ...]:
    count, seeds = values.get("n"), values.get("seed")
    if seeds is None:
        seeds = (secrets.randbelow(2**31),)
    if len(seeds) > 1 and count is not None and count != len(seeds):
        raise ApiError.invalid(
            "seed", f"seed has {len(seeds)} entries for n={count}: give one for each picture"
        )
    count = count or len(seeds)
    if count > settings.max_n:
        raise ApiError.invalid("n", f"n={count}: ask for at most {settings.max_n} pictures")
    if len(seeds) == 1:
        seeds = tuple((seeds[0] + index) % (LARGEST_SEED + 1) for index in range(count))
    return tuple(seeds)


def _mix(
    values: Mapping[str, Any], pictures: Mapping[str, tuple[bytes, ...]]
) -> tuple[tuple[str, Any, float], ...]:
    mix = values.get("mix", ())
    for kind, value, _ in mix:
        if kind == "image" and value >= len(pictures.get("image", ())):
            raise ApiError.invalid("mix", f"mix names picture {value}, which was not sent")
    if mix and not any(weight for *_, weight in mix):
        raise ApiError.invalid("mix", "mix: all weights are 0; give another one")
    return tuple(mix)


def _lora(values: Mapping[str, Any], engine: Engine, task: str) -> tuple[tuple[str, float], ...]:
    """Return the adapters that count, in the model's order: so equal requests share a batch."""
    given = dict(values.get("lora", ()))
    if given and task == "upscale":
        raise ApiError.invalid("lora", "lora: upscale takes none; leave it out")
    for name in given:
        if name not in engine.loras:
            known = ", ".join(engine.loras) or "none"
            raise ApiError.invalid(
                "lora", f"lora: {engine.name} has no adapter {name!r}; it has {known}"
            )
    return tuple((name, given[name]) for name in engine.loras if given.get(name))


def _ip_weights(
    values: Mapping[str, Any],
    pictures: Mapping[str, tuple[bytes, ...]],
    engine: Engine,
    task: str,
) -> tuple[float, ...]:
    """Return the weights of pictures beside the prompt, which the task must take."""
    given = "ip_images" in pictures
    weights: tuple[float, ...] = values.get("ip_weights", ())
    if not given:
        for name in ("ip_weights", "ip_scale"):
            if name in values:
                raise ApiError.invalid(name, f"{name} belongs to ip_images, which were not sent")
        return ()
    if task not in engine.ip_tasks:
        able = ", ".join(engine.ip_tasks) or "no task"
        raise ApiError.invalid(
            "ip_images", f"ip_images: {engine.name} takes pictures beside the prompt for {able}"
        )
    number, most = len(pictures["ip_images"]), int(FIELDS["ip_weights"].high or 0)
    if number > most:
        raise ApiError.invalid("ip_images", f"ip_images: {number} were sent; send at most {most}")
    if weights and len(weights) != number:
        raise ApiError.invalid(
            "ip_weights", f"ip_weights has {len(weights)} entries for {number} pictures"
        )
    return weights


def _ip_scale(
    values: Mapping[str, Any], pictures: Mapping[str, Any], engine: Engine
) -> float | None:
    if "ip_images" not in pictures:
        return None
    found: float = values.get("ip_scale", engine.facts()["ip_scale"])
    return found


def _upscale(values: Mapping[str, Any], engine: Engine, task: str) -> int | None:
    found = values.get("upscale")
    if found is None:
        return 4 if task == "upscale" else None
    able = ["4"] if task == "upscale" else engine.facts()["upscales"]
    if found not in able:
        allowed = " or ".join(able)
        message = f"upscale={found}: {task} with {engine.name} enlarges {allowed} times"
        raise ApiError.invalid("upscale", f"{message}: give {allowed}, or leave it out")
    return int(found)


def _refuse_others(values: Mapping[str, Any], task: str, model: str) -> None:
    for name in values:
        if FIELDS[name].option:
            raise ApiError.invalid(name, f"{name}: {task} with {model} takes none; leave it out")
