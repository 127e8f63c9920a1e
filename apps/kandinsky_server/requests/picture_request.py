"""A checked request for pictures, with every default and seed filled in.

What it makes depends on nothing else. So a job that is begun again after a restart makes the same
pictures, and each picture can be asked for again alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

__all__ = ["TASKS", "PictureRequest"]

TASKS = (
    *("text2image", "img2img", "inpaint", "interpolate"),
    *("controlnet", "controlnet_img2img", "controlnet_inpaint", "upscale"),
)
"""What a server does; each model does some of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureRequest:
    """What to make, and how to answer.

    Attributes:
        task: One of `TASKS`.
        model: The name of a served model.
        prompt: The prompt; empty where a task has none.
        negative_prompt: What to keep out; None is not the same as an empty text.
        height: Pixels.
        width: Pixels.
        seeds: The seed of each picture.
        options: Arguments of the pipeline's call by name.
        mix: For `interpolate`: (`text` or `image`, the text or the picture's number, weight).
        lora: Adapters by name, each with its scale, in the order in which the model lists them.
        ip_weights: The share of each picture of `ip_images`; empty for equal shares.
        ip_scale: How much these pictures count beside the prompt; None is the model's own.
        scheduler: The decoder's scheduler by name; None is the model's own.
        upscale: 2 or 4, or None.
        pictures: Field -> the uploaded pictures, each a PNG. `image` has several for a mix.
        output_format: `png`, `jpeg` or `webp`.
        output_compression: Quality of JPEG and WebP, or None.
        response_format: `b64_json`, `url` or `file`.
        stream: Whether the answer is a stream of events.
        partial_images: Previews of each picture in that stream.
        timeout: Seconds from arrival until the request is given up.
        warnings: What was accepted without effect.
    """

    task: str
    model: str
    height: int
    width: int
    seeds: tuple[int, ...]
    prompt: str = ""
    negative_prompt: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    mix: tuple[tuple[str, Any, float], ...] = ()
    lora: tuple[tuple[str, float], ...] = ()
    ip_weights: tuple[float, ...] = ()
    ip_scale: float | None = None
    scheduler: str | None = None
    upscale: int | None = None
    pictures: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict, repr=False)
    output_format: str = "png"
    output_compression: int | None = None
    response_format: str = "b64_json"
    stream: bool = False
    partial_images: int = 0
    timeout: float = 300.0
    warnings: tuple[str, ...] = ()

    @property
    def batch_key(self) -> Any:
        """What rows of one batch have in common; None where rows share a picture of their own.

        A step has one row of the schedule for the whole batch, so steps and scheduler belong here.
        Prompts and seeds do not.
        """
        if self.pictures or self.mix:
            return None
        return (
            *(self.task, self.model, self.height, self.width, self.scheduler, self.upscale),
            tuple(sorted(self.options.items())),
            self.lora,
            self.negative_prompt is not None,
        )

    @property
    def input_bytes(self) -> int:
        """The bytes of the pictures that it starts from."""
        return sum(len(content) for contents in self.pictures.values() for content in contents)

    @property
    def shape(self) -> tuple[str, str, int, int]:
        """What programs are compiled for, beside the number of rows: model, task and size."""
        return self.model, self.task, self.height, self.width

    def to_json(self) -> str:
        """Return all but the pictures as JSON."""
        facts = asdict(self)
        del facts["pictures"]
        return json.dumps(facts)

    @classmethod
    def from_json(cls, text: str, pictures: Mapping[str, tuple[bytes, ...]]) -> Self:
        """Return what `to_json` wrote, with its pictures."""
        facts = json.loads(text)
        for name in ("seeds", "warnings", "ip_weights"):
            facts[name] = tuple(facts.get(name, ()))
        facts["lora"] = tuple((name, scale) for name, scale in facts.get("lora", ()))
        facts["mix"] = tuple((kind, value, weight) for kind, value, weight in facts["mix"])
        return cls(**facts, pictures=pictures)
