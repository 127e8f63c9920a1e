"""A model that was found by its name once and is handed on to everything that loads from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from kandinsky_core.checkpoints.checkpoint import Checkpoint, Component
from kandinsky_core.checkpoints.hub import (
    HubOptions,
    fetch_components,
    fetch_pickles,
    local_folder,
    resolve_model,
)
from kandinsky_core.checkpoints.variants import without_variant

__all__ = ["OpenedModel"]


class OpenedModel:
    """A model whose name has been resolved and whose index has been read.

    Loading from a hub takes two steps: the index says which pipeline the model is for, and only
    then are the components fetched that this pipeline wants. This object does both without
    resolving the name a second time.

    Args:
        name: The model as the user named it: an embedded model's name, a folder, or a hub id.
        part: The half or variant of the model that is meant; see `resolve_model`.
        options: How to fetch from the hub.
        checkpoint: The index of the model.

    Attributes:
        name: The model as the user named it.
        part: The half or variant of the model that is meant.
        checkpoint: The index; it is opened anew where fetching has brought another folder.
    """

    def __init__(
        self, name: str | Path, part: str, options: HubOptions, checkpoint: Checkpoint
    ) -> None:
        self.name, self.part, self.checkpoint = name, part, checkpoint
        self._options = options
        self._on_hub = local_folder(name) is None
        self._fetched: set[str] = set()
        self._beside: dict[tuple[str, str, HubOptions], OpenedModel] = {}

    @classmethod
    def of(cls, model: str | Path | OpenedModel, part: str, options: HubOptions) -> OpenedModel:
        """Return an opened model as it is, and open a model that is given by its name.

        Args:
            model: An embedded model's name, a folder, a hub id, or an opened model.
            part: `prior`, `decoder`, `inpaint`, `controlnet`, `flash`, `upscaler`, or its variants
                `upscaler_x2` and `upscaler_flash`.
            options: How to fetch from the hub; an opened model has its own.

        Raises:
            InvalidInputError: The name is neither text nor a path.
            ModelNotFoundError: There is no such model.
            CheckpointError: Its index is damaged.
        """
        if isinstance(model, OpenedModel):
            return model._for_part(part)
        folder = resolve_model(model, part, options, ())
        return cls(model, part, options, _open(folder, model, part, options))

    @property
    def folder(self) -> Path:
        """The folder of the model on this machine."""
        return self.checkpoint.folder

    @property
    def pipeline_class(self) -> str:
        """The name of the pipeline class that the model is for, by its index."""
        return self.checkpoint.pipeline_class

    def fetch(self, names: Iterable[str]) -> None:
        """Download the files of components that are not on this machine yet.

        Raises:
            ModelNotFoundError: The hub cannot deliver them.
        """
        missing = [name for name in names if name not in self._fetched]
        if not self._on_hub or not missing:
            return
        known = self.checkpoint.components if self.checkpoint.has_index else {}
        folders = [known[name].folder.name if name in known else name for name in missing]
        folder = fetch_components(
            str(self.name), self.part, self._options, folders, at=self.checkpoint.folder
        )
        pickles = [known[name].folder for name in missing if name in self.checkpoint.pickled]
        without = [place.name for place in pickles if not any(place.glob("*.safetensors"))]
        if without:
            pinned = replace(self._options, revision=folder.name)  # a commit of the hub's cache
            fetch_pickles(str(self.name), pinned, without)
        self._fetched.update(missing)
        # A model without an index shows its components only once they are fetched.
        if folder != self.folder or not self.checkpoint.has_index:
            self.checkpoint = _open(folder, self.name, self.part, self._options)

    def components(self, names: Iterable[str]) -> dict[str, Component]:
        """Return components by name, with their files on this machine.

        Raises:
            ModelNotFoundError: The hub cannot deliver them.
            CheckpointError: The model has no such component, or lacks its folder.
        """
        names = list(names)
        self.fetch(names)
        found = self.checkpoint.require(names)
        plain = without_variant(self.checkpoint.components, found)
        if plain and self._on_hub:
            options = replace(self._options, variant=None)
            fetch_components(str(self.name), self.part, options, plain, at=self.checkpoint.folder)
        return found | plain

    def beside(
        self, model: str | Path | OpenedModel, part: str, options: HubOptions
    ) -> OpenedModel:
        """Return a model that is used with this one, a decoder's prior; it is opened once.

        Arguments and errors are those of `of`.

        Raises:
            KandinskyError: See `of`.
        """
        if isinstance(model, OpenedModel):
            return model._for_part(part)
        key = str(model), part, options
        if key not in self._beside:
            self._beside[key] = type(self).of(model, part, options)
        return self._beside[key]

    def _for_part(self, part: str) -> OpenedModel:
        """Return this model where its name means the same folder for another part."""
        if part == self.part or self.part.startswith(f"{part}_"):  # the part, or a variant of it
            return self
        whole = self._on_hub or self.folder == local_folder(self.name)
        within = self.folder / part / "model_index.json"
        if whole and self.checkpoint.has_index and (self._on_hub or not within.is_file()):
            return self
        return type(self).of(self.name, part, self._options)


def _open(folder: Path, name: str | Path, part: str, options: HubOptions) -> Checkpoint:
    return Checkpoint.open(folder, name=str(name), variant=options.variant, part=part)
