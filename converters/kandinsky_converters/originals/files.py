"""Opens ai-forever's files, each together with the second file that belongs to it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from kandinsky_converters.originals.configs import original_config
from kandinsky_converters.originals.tensors import KINDS, OriginalTensors, kind_of
from kandinsky_converters.parts import ORIGINAL_SUFFIXES, Part, Source
from kandinsky_core.arrays import Array
from kandinsky_core.checkpoints.file_names import NULL_EMBEDDING
from kandinsky_core.checkpoints.inside import inside
from kandinsky_core.checkpoints.torch_files import TorchFile
from kandinsky_core.errors import CheckpointError

__all__ = ["PROJECTIONS", "open_original", "open_originals"]

_Opened = tuple[Path, TorchFile]

PROJECTIONS = {
    "kandinsky3": "projection.pt",
    "kandinsky3_flash": "projection_flash.pt",
    "kandinsky3_inpainting": "projection_inpainting.pt",
}
"""For each UNet of 3.1, by the stem of its file's name, the projection that belongs to it."""
_INPAINTING = "kandinsky3_inpainting"
_PROJECTION_FOLDER = "flan_ul2_encoder"
_WITHIN = "encoder_hid_proj.projection_linear.weight"


def open_originals(name: str, files: Sequence[Path], wanted: Sequence[str]) -> Source:
    """Find out which networks original files hold.

    Args:
        name: The files as the user named them.
        files: All original files.
        wanted: Names of the only components wanted; all when empty.

    Raises:
        CheckpointError: A file is damaged or of no known kind, two files hold the same component,
            or the second file that belongs to one is missing.
    """
    opened: dict[str, tuple[str, _Opened]] = {}
    for path in files:
        kind, tensors = _open(path)
        # A second file is looked up beside its first file, by name where there are several.
        if kind not in KINDS:
            continue
        component = KINDS[kind].component
        if component in opened and (not wanted or component in wanted):
            raise CheckpointError(
                f"{path} and {opened[component][1][0]} both hold a {component}: "
                "give one of them by its name, or the part of the model (--part decoder)"
            )
        opened[component] = kind, (path, tensors)
    if not opened:
        raise CheckpointError(
            f"{name} holds no network, but what belongs to one: give the prior (prior_fp16.ckpt) "
            "for its statistics, a UNet (kandinsky3*.pt) for the projection of its text"
        )
    parts = [
        _part(kind, *file)
        for component, (kind, file) in opened.items()
        if not wanted or component in wanted
    ]
    return Source(
        name=name, subfolder="", folder=None, parts=parts, others=(), available=list(opened)
    )


def open_original(path: Path, name: str, class_name: str) -> Part:
    """Open the file of a network that is known.

    Args:
        path: The file.
        name: The network's component.
        class_name: The network's class.

    Raises:
        CheckpointError: See `open_originals`, or the file holds another network.
    """
    (part,) = open_originals(str(path), [path], []).parts
    if (part.name, part.class_name) != (name, class_name):
        raise CheckpointError(
            f"{path} holds a {part.name} ({part.class_name}), and a {name} ({class_name}) belongs "
            "there: download it again"
        )
    return part


def _open(path: Path) -> tuple[str, TorchFile]:
    if path.suffix == ".safetensors":
        raise CheckpointError(
            f"{path} alone says neither its class nor its config: give the model's folder"
        )
    tensors = TorchFile(path)
    try:
        return kind_of(tensors), tensors
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _part(kind: str, path: Path, tensors: TorchFile) -> Part:
    beside = _beside(kind, path, tensors)
    try:
        seen = OriginalTensors(kind, tensors, beside and beside[1])
        if seen.unknown:
            some = ", ".join(seen.unknown[:8])
            count, version = len(seen.unknown), KINDS[kind].version
            raise CheckpointError(f"{count} tensors are none of Kandinsky {version} ({some})")
        class_name, config = original_config(kind, seen)
        if kind == "upscaler" and "x2" in path.stem:  # nothing but the name tells the scale
            config["scale"] = 2
        null = _null_embedding(tensors, seen, config["cross_attention_dim"]) if seen.apart else None
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    others = [*tensors.others, *(beside[1].others if beside else ())]
    return Part(
        name=KINDS[kind].component,
        class_name=class_name,
        config=config,
        tensors=seen,
        files=[path] if beside is None else [path, beside[0]],
        folder=None,
        source_count=seen.source_count + len(others),
        ignored={**dict.fromkeys(others, "no tensor"), **seen.ignored},
        null_embedding=null,
    )


def _null_embedding(tensors: TorchFile, seen: OriginalTensors, width: int) -> Array:
    (name,) = seen.apart
    shape, dtype = tensors.spec(name)
    if math.prod(shape) != width or dtype not in ("BF16", "F16", "F32"):
        raise CheckpointError(
            f"{NULL_EMBEDDING} is {dtype} of shape {list(shape)}, not {width} floating-point values"
        )
    return tensors.read(name).reshape(width)


def _beside(kind: str, path: Path, tensors: TorchFile) -> _Opened | None:
    if kind == "prior":
        return _statistics_beside(path)
    if kind == "unet3" and _WITHIN not in OriginalTensors(kind, tensors).names():
        return _projection_beside(path, tensors)
    return None


def _statistics_beside(prior: Path) -> _Opened:
    for found in sorted(prior.parent.glob("*stats*")):
        path = inside(prior.parent, found.name)
        if path.suffix in ORIGINAL_SUFFIXES and kind_of(file := TorchFile(path)) == "statistics":
            return path, file
    raise CheckpointError(
        f"{prior} needs the mean and deviation of its embeddings: put ViT-L-14_stats.th beside it"
    )


def _projection_beside(unet: Path, tensors: TorchFile) -> _Opened:
    """Open the projection of the text for a UNet of 3.1.

    Three projections are published with the same names and shapes. With the wrong one pictures are
    wrong and no error tells. So files are found by their published names, which must agree with the
    UNet's tensors.
    """
    name = PROJECTIONS.get(unet.stem)
    if name is None:
        raise CheckpointError(
            f"{unet} is a UNet of Kandinsky 3.1, and nothing but its name can tell which "
            "projection of the text is its own: give it the name that it was published under, "
            f"{', '.join(PROJECTIONS)} (.pt)"
        )
    layer = next(
        key for key in ("unet.in_layer.weight", "in_layer.weight") if key in tensors.names()
    )
    shape, _ = tensors.spec(layer)
    channels = shape[1] if len(shape) > 1 else 0
    if (unet.stem == _INPAINTING) != (channels == 9):
        raise CheckpointError(
            f"{unet} takes {channels} channels; {_INPAINTING}.pt takes 9, the others 4: "
            "give it the name that it was published under"
        )
    for beside in (name, f"{_PROJECTION_FOLDER}/{name}"):
        if (path := inside(unet.parent, beside)).is_file():
            kind, file = _open(path)
            if kind != "projection":
                raise CheckpointError(f"{path} is no projection of the text: fetch it again")
            return path, file
    raise CheckpointError(
        f"{unet} needs the projection of its text: put {name} of {_PROJECTION_FOLDER} beside it, "
        "and no other's"
    )
