"""Saves a pipeline in the folder layout of diffusers."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from kandinsky_core.arrays import Array
from kandinsky_core.checkpoints.file_names import INDEX, NULL_EMBEDDING, NULL_EMBEDDING_FILE
from kandinsky_core.checkpoints.safetensors_writer import write_safetensors
from kandinsky_core.checkpoints.saved_folder import check_save_options, saved_folder, write_json
from kandinsky_core.checkpoints.saved_network import DIFFUSERS_VERSION
from kandinsky_core.checkpoints.weight_shards import checked_variant, shard_size
from kandinsky_core.configs import NETWORKS
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.schedulers import Scheduler
from kandinsky_core.seam.stored_dtypes import BY_NAME

__all__ = ["SavesPipelines"]

logger = logging.getLogger(__name__)


class SavesPipelines:
    """Base of pipelines that can be saved: each component saves itself in a folder of its name."""

    optional_components: ClassVar[frozenset[str]]

    if TYPE_CHECKING:

        @property
        def lora_facts(self) -> dict[str, str]: ...

        @property
        def components(self) -> dict[str, Any]:
            """Every component by name."""

    def save_pretrained(
        self,
        save_directory: str | Path,
        safe_serialization: bool = True,
        variant: str | None = None,
        max_shard_size: int | str | None = None,
        push_to_hub: bool = False,
        **others: Any,
    ) -> None:
        """Write a folder that `from_pretrained` of this library and of diffusers load.

        Weights are written as they are at this moment and in the dtype of each network: a LoRA
        that is merged stays in what is saved. They are copied a few at a time. The folder gets
        its new files together, once all of them are written.

        Args:
            save_directory: The folder; files of the same names are replaced.
            safe_serialization: Only safetensors are written; False is refused.
            variant: Infix of the weight files, `fp16` for example. It changes no dtype.
            max_shard_size: Bytes of a file, or a text as `5GB`; larger weights get several files
                with an index. None takes 10 GB.
            push_to_hub: Refused.
            **others: Refused.

        Raises:
            InvalidInputError: An argument is wrong, a component cannot be saved, or the folder
                cannot be written.
            CheckpointError: A link in the folder leads out of it, or a tokenizer's files are gone.
        """
        check_save_options(
            safe_serialization=safe_serialization, push_to_hub=push_to_hub, others=others
        )
        weights = {
            "variant": checked_variant(variant),
            "max_shard_size": shard_size(max_shard_size),
        }
        parts = {
            name: part
            for name, part in self.components.items()
            if name != NULL_EMBEDDING and (part is not None or name not in self.optional_components)
        }
        index = {name: _library_and_class(name, part) for name, part in parts.items()}
        size = sum(part.saved_size() for part in parts.values() if hasattr(part, "saved_size"))
        for adapters in self.lora_facts.values():
            logger.info("the LoRA %s is merged into what is saved", adapters)
        with saved_folder(save_directory, size, variant) as folder:
            for name, part in parts.items():
                if part is not None:
                    options = weights if hasattr(part, "saved_size") else {}
                    part.save_pretrained(folder / name, **options)
            null_embedding = self.components.get(NULL_EMBEDDING)
            if null_embedding is not None:
                _write_null_embedding(folder / "unet" / NULL_EMBEDDING_FILE, null_embedding)
            head = {"_class_name": type(self).__name__, "_diffusers_version": DIFFUSERS_VERSION}
            write_json(folder / INDEX, {**head, **index})


def _library_and_class(name: str, part: Any) -> list[str | None]:
    """Return the entry of a component in model_index.json.

    Raises:
        InvalidInputError: The component cannot be saved.
    """
    if part is None:
        return [None, None]
    class_name = getattr(getattr(part, "config", None), "CLASS_NAME", None)
    if isinstance(part, Scheduler):
        return ["diffusers", type(part).__name__]
    if not hasattr(part, "save_pretrained"):
        hint = (
            ": load it with CLIPImageProcessor.from_pretrained" if isinstance(part, Mapping) else ""
        )
        raise InvalidInputError(
            f"the component {name!r} is a {type(part).__name__}, which cannot be saved{hint}"
        )
    if isinstance(class_name, str) and class_name in NETWORKS:
        return [NETWORKS[class_name].library, class_name]
    return ["transformers", getattr(part, "class_name", type(part).__name__)]


def _write_null_embedding(path: Path, values: Array) -> None:
    """Write the tensor that Kandinsky 3 takes for no text beside the weights of its UNet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    flat = np.ascontiguousarray(values).reshape(-1)
    specs = {NULL_EMBEDDING: (flat.shape, BY_NAME[flat.dtype.name].code)}
    write_safetensors(path, specs, lambda _: flat, {"format": "pt"})
