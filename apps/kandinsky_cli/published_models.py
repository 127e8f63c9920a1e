"""The published models of the family: what each does, what it takes on a disk, its licence."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PUBLISHED", "PublishedModel"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedModel:
    """A repository on the hub.

    Attributes:
        model: Its hub id.
        version: The version of Kandinsky.
        does: What its pictures are made from.
        gigabytes: Size of the weights that this library fetches, in 10**9 bytes.
        licence: The licence that its model card names.
        note: What else `--model` needs; empty where nothing.
    """

    model: str
    version: str
    does: str
    gigabytes: float
    licence: str = "Apache-2.0"
    note: str = ""


_COMMUNITY, _AUTHORS = "kandinsky-community", "ai-forever"
_WITH_PRIOR = "takes its prior with it"
_FP16 = "give --variant fp16"

PUBLISHED = (
    PublishedModel(
        model=f"{_AUTHORS}/Kandinsky_2.0",
        version="2.0",
        does="text to image, image to image, inpainting, each UNet of 2.7 GB",
        gigabytes=9.9,
        licence="Apache-2.0 (the code's)",
    ),
    PublishedModel(
        model=f"{_COMMUNITY}/kandinsky-2-1",
        version="2.1",
        does="text to image, image to image, interpolation",
        gigabytes=7.4,
        note=_WITH_PRIOR,
    ),
    PublishedModel(
        model=f"{_COMMUNITY}/kandinsky-2-1-inpaint",
        version="2.1",
        does="inpainting",
        gigabytes=7.4,
        note=_WITH_PRIOR,
    ),
    PublishedModel(
        model=f"{_COMMUNITY}/kandinsky-2-1-prior",
        version="2.1",
        does="the prior of 2.1",
        gigabytes=5.8,
    ),
    PublishedModel(
        model=f"{_COMMUNITY}/kandinsky-2-2-decoder",
        version="2.2",
        does="text to image, image to image, interpolation",
        gigabytes=5.3,
        note=_WITH_PRIOR,
    ),
    PublishedModel(
        model=f"{_COMMUNITY}/kandinsky-2-2-decoder-inpaint",
        version="2.2",
        does="inpainting",
        gigabytes=5.3,
        note=_WITH_PRIOR,
    ),
    PublishedModel(
        model=f"{_COMMUNITY}/kandinsky-2-2-controlnet-depth",
        version="2.2",
        does="ControlNet with depth maps",
        gigabytes=5.3,
        note="its weights are pickled, so `kandinsky convert` comes first",
    ),
    PublishedModel(
        model=f"{_COMMUNITY}/kandinsky-2-2-prior",
        version="2.2",
        does="the prior of 2.2",
        gigabytes=10.6,
    ),
    PublishedModel(
        model=f"{_COMMUNITY}/kandinsky-3",
        version="3.0",
        does="text to image, image to image",
        gigabytes=28.4,
        note=_FP16,
    ),
    PublishedModel(
        model=f"{_AUTHORS}/Kandinsky3.1",
        version="3.1",
        does="text to image, image to image, inpainting, Flash, each with a UNet of 12.2 GB",
        gigabytes=48.2,
    ),
    PublishedModel(
        model=f"{_AUTHORS}/KandiSuperRes",
        version="any",
        does="pictures 4 times as large, or with files of 1.7 GB twice as large",
        gigabytes=0.8,
        note="for `kandinsky upscale` and --upscale",
    ),
)
