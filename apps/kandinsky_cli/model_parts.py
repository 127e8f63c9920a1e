"""Opens the parts of a model for `kandinsky info`, as far as they lie on this machine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from kandinsky_core.checkpoints.checkpoint import Checkpoint, Component
from kandinsky_core.checkpoints.hub import EMBEDDED, HubOptions
from kandinsky_core.checkpoints.opened_model import OpenedModel
from kandinsky_core.errors import ModelNotFoundError
from kandinsky_core.pipelines.kandinsky2_2.two_halves import find_prior
from kandinsky_core.seam.tensors import Tensors

__all__ = ["Absent", "open_parts", "open_prior", "open_weights"]

_OTHER_PARTS = ("inpaint", "controlnet", "upscaler")
_OTHER_UNETS = ("flash", "inpaint")  # ai-forever's folders hold these beside the decoder's
_UPSCALERS = ("upscaler", "upscaler_x2", "upscaler_flash")  # KandiSuperRes is these alone
_WITHOUT_WEIGHTS = ("Tokenizer", "Scheduler", "Processor")
_FILES = ("*.safetensors*", "*.ckpt", "*.pt", "*.bin*")
_SAFE = _FILES[:2]


class Absent(Exception):
    """The weights of a component cannot be looked at; the message says why."""


def open_parts(subject: str, hub: HubOptions) -> list[Checkpoint]:
    """Open all models that a folder holds; for a model on the hub fetch only the index.

    Raises:
        ModelNotFoundError: There is no such model.
        CheckpointError: The model's index is damaged.
    """
    root = EMBEDDED.get(subject) or Path(subject)
    others = [part for part in _OTHER_PARTS if (root / part / "model_index.json").is_file()]
    upscalers = list(_originals(root, subject, _UPSCALERS)) if root.is_dir() else []
    if upscalers and not (root / "model_index.json").is_file():
        return upscalers
    decoder = OpenedModel.of(subject, "decoder", hub)
    if decoder.checkpoint.has_index:
        parts = [OpenedModel.of(decoder, part, hub) for part in ("prior", "decoder", *others)]
        # All parts are one folder, unless the model's folder holds several.
        return list({part.folder: part.checkpoint for part in parts}.values())
    found = [decoder.checkpoint, *_originals(decoder.folder, subject, _OTHER_UNETS)]
    return [checkpoint for checkpoint in found if _has_unet(checkpoint)] or found[:1]


def _originals(folder: Path, subject: str, parts: Sequence[str]) -> Iterator[Checkpoint]:
    """Yield which of these the authors' folder holds; that of 2.0 has no Flash, for example."""
    for part in parts:
        with contextlib.suppress(ModelNotFoundError):
            yield Checkpoint.open(folder, name=subject, part=part)


def open_prior(decoder: Checkpoint, hub: HubOptions) -> Checkpoint | None:
    """Open the prior that a decoder names, or that lies beside it; None where there is none.

    Raises:
        ModelNotFoundError: The decoder names a prior that is neither here nor on the hub.
    """
    try:
        name = find_prior(decoder, "decoder")
    except ModelNotFoundError:
        return None
    return OpenedModel.of(name, "prior", replace(hub, revision=None)).checkpoint


def open_weights(component: Component) -> Tensors | None:
    """Read the headers of a component's files; None for a kind of component without weights.

    Raises:
        Absent: The files are not here, or cannot be looked at.
        CheckpointError: The files are damaged.
    """
    if any(word in component.class_name for word in _WITHOUT_WEIGHTS):
        if not component.folder.is_dir():
            raise Absent("not on this machine")
        return None
    kinds = [kind for kind in _FILES if any(component.folder.glob(kind))]
    if not kinds:
        raise Absent("not on this machine")
    if type(component) is Component and not set(kinds) & set(_SAFE):
        raise Absent("pickled, which `kandinsky convert` reads")
    try:
        return component.tensors()
    except ModelNotFoundError as error:  # one of several files is missing
        raise Absent("not on this machine") from error


def _has_unet(checkpoint: Checkpoint) -> bool:
    try:
        return open_weights(checkpoint.components["unet"]) is not None
    except Absent:
        return False
