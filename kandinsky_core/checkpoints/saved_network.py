"""Writes a loaded network as diffusers and transformers do, by the base of every network."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kandinsky_core.arrays import Array
from kandinsky_core.checkpoints.file_names import SAFE_STEMS
from kandinsky_core.checkpoints.safetensors_writer import Specs, spec_size
from kandinsky_core.checkpoints.saved_folder import check_save_options, saved_folder, write_json
from kandinsky_core.checkpoints.weight_shards import (
    LARGEST_SHARD,
    checked_variant,
    shard_size,
    write_shards,
)
from kandinsky_core.configs.diffusion import VQModelConfig
from kandinsky_core.configs.networks import CODEBOOK, NETWORKS
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.seam.quantization import refuse_if_quantized
from kandinsky_core.seam.stored_dtypes import BY_NAME, STORED
from kandinsky_core.seam.tensors import Tensors

__all__ = ["DIFFUSERS_VERSION", "SavedNetwork"]

logger = logging.getLogger(__name__)

DIFFUSERS_VERSION = "0.39.0"
"""The version of diffusers whose layout is written, where a model's files name none."""

_BATCH = 64 << 20  # bytes of weights that are copied to the host together


class SavedNetwork:
    """Base of networks that can be saved; a subclass says which weights there are.

    A network's files may hold tensors that no pipeline uses, and fields of its config that say
    nothing about inference. Both are kept from the source, as other libraries ask for them.
    """

    config: Any
    _config_file: Mapping[str, Any] | None = None
    _unused: Mapping[str, Array] = {}

    @property
    @abstractmethod
    def dtype(self) -> str:
        """Name of the dtype that the network computes in."""

    @abstractmethod
    def weight_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Return the shape of each weight by PyTorch's name, in its layout."""

    @abstractmethod
    def weights_now(self, names: Iterable[str]) -> Mapping[str, Array]:
        """Return copies of weights as they are at this moment, a merged LoRA included."""

    def keep(self, config: Mapping[str, Any], tensors: Tensors) -> None:
        """Keep what the network does not hold and its files need.

        Args:
            config: The content of the config.json that the network was loaded from.
            tensors: Its files, in PyTorch's names and layout.
        """
        unused = NETWORKS[self.config.CLASS_NAME].unused.keys() & set(tensors.names())
        # Copies, as the files may go; they take 4 MB at most.
        self._unused = {name: np.array(tensors.read(name)) for name in sorted(unused)}
        self._config_file = dict(config)
        if isinstance(self.config, VQModelConfig) and not unused:
            # The authors' files of Kandinsky 3 have no codebook. diffusers cannot move a network to
            # a device that lacks a tensor; no pipeline reads this one.
            width = self.config.vq_embed_dim or self.config.latent_channels
            shape = self.config.num_vq_embeddings, width
            self._unused = {CODEBOOK: np.zeros(shape, np.float32)}

    def save_pretrained(
        self,
        save_directory: str | Path,
        is_main_process: bool = True,
        save_function: Any = None,
        safe_serialization: bool = True,
        variant: str | None = None,
        max_shard_size: int | str = LARGEST_SHARD,
        push_to_hub: bool = False,
        **others: Any,
    ) -> None:
        """Write config.json and the weights, in PyTorch's names and layout and the present dtype.

        The weights are those of this moment: a LoRA that is merged stays in what is saved. They
        are copied and written a few at a time.

        Args:
            save_directory: The folder; files of the same names are replaced.
            is_main_process: False writes nothing, as another process does.
            save_function: Has no effect; scripts may pass it.
            safe_serialization: Only safetensors are written; False is refused.
            variant: Infix of the weight files, `fp16` for example.
            max_shard_size: Bytes of a file, or a text as `5GB`; larger weights get several files
                with an index.
            push_to_hub: Refused.
            **others: Refused.

        Raises:
            InvalidInputError: An argument is wrong, the folder cannot be written, or the network
                was loaded to compile only or keeps its weights in 8 bits.
            CheckpointError: A link in the folder leads out of it.
        """
        check_save_options(
            safe_serialization=safe_serialization, push_to_hub=push_to_hub, others=others
        )
        variant, largest = checked_variant(variant), shard_size(max_shard_size)
        if not is_main_process:
            return
        entry = NETWORKS[self.config.CLASS_NAME]
        specs = self._specs()
        with saved_folder(save_directory, self.saved_size(), variant) as folder:
            write_shards(
                folder,
                SAFE_STEMS[entry.library],
                specs,
                lambda order: _Reader(order, specs, self._read),
                variant=variant,
                largest=largest,
            )
            write_json(folder / "config.json", self._config(entry.library))

    def saved_size(self) -> int:
        """Return the bytes of all tensors that `save_pretrained` writes."""
        return sum(map(spec_size, self._specs().values()))

    def _specs(self) -> Specs:
        if self._config_file is None:
            raise InvalidInputError(
                f"this {self.config.CLASS_NAME} holds no weights, as it was loaded to compile "
                "only: load it again to save it"
            )
        refuse_if_quantized(self, "save_pretrained")
        code = BY_NAME[self.dtype].code
        specs = {name: (tuple(shape), code) for name, shape in self.weight_shapes().items()}
        for name, array in self._unused.items():
            stored = BY_NAME[array.dtype.name]
            specs[name] = array.shape, code if stored.floating else stored.code
        return specs

    def _read(self, names: list[str]) -> dict[str, Array]:
        used = [name for name in names if name not in self._unused]
        dtype = BY_NAME[self.dtype].numpy
        unused = {
            name: array.astype(dtype) if BY_NAME[array.dtype.name].floating else array
            for name, array in self._unused.items()
            if name in names
        }
        return {**unused, **(self.weights_now(used) if used else {})}

    def _config(self, library: str) -> dict[str, Any]:
        """Return the content of config.json: that of the source, with what other libraries need."""
        name = self.config.CLASS_NAME
        raw = dict(self._config_file or {})
        if library in ("diffusers", "kandinsky_core"):  # the second follows the first
            return {"_diffusers_version": DIFFUSERS_VERSION, **raw, "_class_name": name}
        field = "dtype" if "dtype" in raw else "torch_dtype"
        return {"architectures": [name], **raw, field: self.dtype}


class _Reader:
    """Reads tensors ahead, so that a network is asked for many at once.

    Args:
        order: The names in the order in which they will be asked for.
        specs: Their shapes and dtypes.
        read: Returns tensors by their names.
    """

    def __init__(
        self, order: list[str], specs: Specs, read: Callable[[list[str]], dict[str, Array]]
    ) -> None:
        self._left = order[::-1]
        self._specs = specs
        self._read = read
        self._held: dict[str, Array] = {}

    def __call__(self, name: str) -> Array:
        if name not in self._held:
            names: list[str] = []
            size = 0
            while self._left and (not names or size < _BATCH):
                names.append(self._left.pop())
                size += spec_size(self._specs[names[-1]])
            self._held = self._read(names)
        # Other libraries register types of the same names; the bytes are what counts.
        shape, code = self._specs[name]
        array = np.ascontiguousarray(self._held.pop(name)).view(STORED[code].numpy)
        return array.reshape(shape)
