"""The calls by which diffusers' scripts give adapters (LoRA) to a network."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from kandinsky_backend_kit.adapter_set import AdapterSet, LoadedAdapter
from kandinsky_backend_kit.replaceable_weights import ReplaceableWeights
from kandinsky_core.arrays import Array
from kandinsky_core.checkpoints.hub import HubOptions
from kandinsky_core.checkpoints.lora import Adapter, merged_weights, read_adapters, require_fit
from kandinsky_core.checkpoints.lora_sources import LoraSource
from kandinsky_core.checkpoints.lora_writer import adapter_tensors, write_lora
from kandinsky_core.errors import CheckpointError, InvalidInputError
from kandinsky_core.seam.adapter_arguments import adapter_name, names_of, weights_of
from kandinsky_core.seam.quantization import refuse_if_quantized
from kandinsky_core.validation import real_number

__all__ = ["AdaptedNetwork"]

logger = logging.getLogger(__name__)

_SHOWN = 8


class AdaptedNetwork(ReplaceableWeights):
    """Base of each backend's networks: it merges adapters into the weights.

    The weights are always the first ones plus what the adapters in effect add, so that a step costs
    what it did, and `unload_lora` gives the first weights back bit for bit.
    `kandinsky_backend_kit.adapter_set` says what fusing means.

    Attributes:
        unet_name: diffusers' prefix of the UNet in the names of tensors.
        text_encoder_name: The prefix of the text encoder.
    """

    unet_name: ClassVar[str] = "unet"
    text_encoder_name: ClassVar[str] = "text_encoder"

    def __init__(self) -> None:
        super().__init__()
        self._adapters = AdapterSet()

    @property
    def adapter_names(self) -> list[str]:
        """See `kandinsky_core.seam.adapters.TakesAdapters`."""
        return list(self._adapters.loaded)

    @property
    def chosen_adapters(self) -> list[str]:
        """See `kandinsky_core.seam.adapters.TakesAdapters`."""
        return list(self._adapters.active)

    @property
    def fused_adapters(self) -> set[str]:
        """See `kandinsky_core.seam.adapters.TakesAdapters`."""
        return self._adapters.fused_names()

    @property
    def adapters_in_effect(self) -> list[tuple[str, float]]:
        """See `kandinsky_core.seam.adapters.TakesAdapters`."""
        return [(term.loaded.label, term.factor) for term in self._adapters.terms()]

    def attach_adapter(
        self,
        layers: Mapping[str, Adapter],
        *,
        label: str,
        name: str | None = None,
        weight: float = 1.0,
        swap: bool = False,
    ) -> None:
        """See `kandinsky_core.seam.adapters.TakesAdapters`.

        Raises:
            InvalidInputError: The name is in use, or the network keeps its weights in 8 bits.
            CheckpointError: The matrices do not fit this network.
        """
        refuse_if_quantized(self, "a LoRA")
        chosen = self._adapters.free_name() if name is None else adapter_name(name)
        adapter = LoadedAdapter(layers, label, real_number("weight", weight))
        changed = self._adapters.with_adapter(chosen, adapter, swap=swap)
        try:
            require_fit(layers, self.original_weights(layers))
        except KeyError as error:
            some = ", ".join(map(str, error.args[:_SHOWN]))
            raise CheckpointError(
                f"{label} changes {len(error.args)} weights that this network does not have "
                f"({some}): it was trained for another model"
            ) from error
        if self._adapters.fused and not changed.fused:
            logger.warning("the fused adapters are unfused, as another one is loaded")
        self._take(changed)

    def load_lora_adapter(
        self,
        pretrained_model_name_or_path_or_dict: str | Path | Mapping[str, Any],
        prefix: str | None = "transformer",
        hotswap: bool = False,
        *,
        adapter_name: str | None = None,
        weight: float = 1.0,
        weight_name: str | None = None,
        subfolder: str | None = None,
        network_alphas: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        use_safetensors: bool | None = None,
        low_cpu_mem_usage: bool | None = None,
        **hub: Any,
    ) -> None:
        """Load a LoRA, and make it the only active one.

        Args:
            pretrained_model_name_or_path_or_dict: A file, a folder, a hub id, or a dict of arrays.
            prefix: Only names that start with `PREFIX.` count; None takes all, which the files of
                Kandinsky need.
            hotswap: Put it in the place of the adapter that has this name.
            adapter_name: What to call it; None counts `default_0`, `default_1`, ...
            weight: Factor of its change.
            weight_name: The file's name in a folder or repository.
            subfolder: The file's folder in that folder or repository.
            network_alphas: The alphas of layers, where the file does not hold them.
            metadata: Ranks and alphas as PEFT's `adapter_config.json` has them.
            use_safetensors: True takes no `.bin`, False nothing else.
            low_cpu_mem_usage: Has no effect.
            **hub: `revision`, `cache_dir`, `token`, `local_files_only`, `force_download`.

        Raises:
            InvalidInputError: There is no such file, or an argument is wrong.
            CheckpointError: It is damaged, of no supported kind, or for another network.
        """
        refuse_if_quantized(self, "a LoRA")
        source = LoraSource.open(
            pretrained_model_name_or_path_or_dict,
            weight_name=weight_name,
            subfolder=subfolder,
            use_safetensors=use_safetensors,
            hub=HubOptions.given(hub),
        )
        source = source.with_alphas(network_alphas).under(prefix)
        layers = read_adapters(source, metadata)
        self.attach_adapter(
            layers, label=source.label, name=adapter_name, weight=weight, swap=hotswap
        )

    def load_attn_procs(
        self, pretrained_model_name_or_path_or_dict: str | Path | Mapping[str, Any], **options: Any
    ) -> None:
        """Load a LoRA under diffusers' older name of the call.

        Args:
            pretrained_model_name_or_path_or_dict: See `load_lora_adapter`.
            **options: See `load_lora_adapter`. Names may start with `unet.`, or not.

        Raises:
            KandinskyError: See `load_lora_adapter`.
        """
        self.load_lora_adapter(pretrained_model_name_or_path_or_dict, prefix=None, **options)

    def save_lora_adapter(
        self,
        save_directory: str | Path,
        adapter_name: str | None = "default",
        upcast_before_saving: bool = False,
        safe_serialization: bool = True,
        weight_name: str | None = None,
    ) -> None:
        """Write one adapter, as it was loaded, in PEFT's form.

        Args:
            save_directory: Folder of `pytorch_lora_weights.safetensors`.
            adapter_name: Which one; None takes the only one.
            upcast_before_saving: Has no effect: adapters are kept in float32.
            safe_serialization: False, which asks for a pickle, is refused.
            weight_name: Another name of the file.

        Raises:
            InvalidInputError: There is no such adapter, or the folder cannot be written.
        """
        if not safe_serialization:
            raise InvalidInputError("safe_serialization=False asks for a pickle: leave it out")
        loaded = self._adapters.loaded
        only = next(iter(loaded)) if len(loaded) == 1 else "default"
        name = only if adapter_name is None else adapter_name
        if name not in loaded:
            raise InvalidInputError(
                f"adapter_name={adapter_name!r}: loaded are {', '.join(loaded) or 'none'}"
            )
        write_lora(save_directory, *adapter_tensors(loaded[name].layers), weight_name)

    def save_attn_procs(
        self,
        save_directory: str | Path,
        is_main_process: bool = True,
        weight_name: str | None = None,
        save_function: Any = None,
        safe_serialization: bool = True,
        **options: Any,
    ) -> None:
        """Write the only adapter under diffusers' older name of the call.

        Args:
            save_directory: See `save_lora_adapter`.
            is_main_process: Has no effect.
            weight_name: See `save_lora_adapter`.
            save_function: Refused: the file is always safetensors.
            safe_serialization: See `save_lora_adapter`.
            **options: Have no effect, as in diffusers.

        Raises:
            InvalidInputError: There is no adapter, or several are loaded; `save_lora_adapter`
                says more.
        """
        if save_function is not None:
            raise InvalidInputError("save_function: the file is always safetensors: leave it out")
        self.save_lora_adapter(
            save_directory, None, safe_serialization=safe_serialization, weight_name=weight_name
        )

    def add_adapter(self, adapter_config: Any, adapter_name: str = "default") -> None:
        """Refuse an adapter without weights, which is the start of training.

        Raises:
            InvalidInputError: Always.
        """
        raise InvalidInputError(
            "add_adapter starts the training of a LoRA, and networks are not trained here: load a "
            "trained one by load_lora_adapter"
        )

    def set_adapters(self, adapter_names: str | Sequence[str], weights: Any = None) -> None:
        """Choose the active adapters and their weights.

        Args:
            adapter_names: One name, or several.
            weights: A number for all, or one for each; None and None in a list are 1. A weight of 0
                leaves the first weights as they are.

        Raises:
            InvalidInputError: There is no such adapter, or a weight is no number.
        """
        names = names_of(adapter_names)
        self._take(self._adapters.choose(dict(zip(names, weights_of(names, weights), strict=True))))
        self._say_if_fused()

    def set_adapter(self, adapter_name: str | Sequence[str]) -> None:
        """Choose the active adapters, and leave their weights.

        Args:
            adapter_name: One name, or several.

        Raises:
            InvalidInputError: There is no such adapter.
        """
        loaded = self._adapters.loaded
        names = names_of(adapter_name)
        weights = {name: loaded[name].weight if name in loaded else 1.0 for name in names}
        self._take(self._adapters.choose(weights))
        self._say_if_fused()

    def active_adapters(self) -> list[str]:
        """Return the names of the active adapters.

        Raises:
            InvalidInputError: No adapter is loaded; diffusers raises there too.
        """
        if not self._adapters.loaded:
            raise InvalidInputError("no adapter is loaded: call load_lora_weights first")
        return list(self._adapters.active)

    def delete_adapters(self, adapter_names: str | Sequence[str]) -> None:
        """Remove adapters; a name that none has is logged and left out, as in diffusers.

        Raises:
            InvalidInputError: One is fused.
        """
        names = names_of(adapter_names)
        unknown = [name for name in names if name not in self._adapters.loaded]
        if unknown:
            logger.warning("delete_adapters: no adapter is called %s", ", ".join(unknown))
        self._take(self._adapters.without(names))

    def fuse_lora(
        self,
        lora_scale: float = 1.0,
        safe_fusing: bool = False,
        adapter_names: Sequence[str] | None = None,
    ) -> None:
        """Hold adapters in the weights until `unfuse_lora`, whatever is chosen meanwhile.

        Args:
            lora_scale: Factor of the active adapters' weights, which they keep.
            safe_fusing: Has no effect: weights that would be infinite are always refused.
            adapter_names: Which ones; None takes the active ones.

        Raises:
            InvalidInputError: There is no such adapter, all are off, or the scale is for one that
                is not active.
        """
        names = None if adapter_names is None else names_of(adapter_names)
        self._take(self._adapters.fuse(real_number("lora_scale", lora_scale), names))

    def unfuse_lora(self) -> None:
        """Undo `fuse_lora`: the active adapters count again."""
        self._take(replace(self._adapters, fused={}))

    def unload_lora(self) -> None:
        """Remove all adapters: the first weights are back, or those that were fused stay."""
        self._take(self._adapters.unload())

    def disable_lora(self) -> None:
        """Switch all adapters off, until `enable_lora`."""
        self._take(replace(self._adapters, enabled=False))

    def enable_lora(self) -> None:
        """Switch the adapters on again."""
        self._take(replace(self._adapters, enabled=True))

    disable_adapters = disable_lora
    enable_adapters = enable_lora

    def enable_lora_hotswap(self, **options: Any) -> None:
        """Log that this is not needed: adapters of any rank can take each other's place."""
        logger.info("enable_lora_hotswap changes nothing: adapters are merged into the weights")

    def _take(self, adapters: AdapterSet) -> None:
        """Write the weights that a set of adapters gives, computed from the first weights."""
        before, after = self._adapters.terms(), adapters.terms()
        if before != after:
            terms = [(term.loaded.layers, term.factor) for term in after]
            values: dict[str, Array] = {**merged_weights(terms, self.original_weights)}
            touched = {name for term in before for name in term.loaded.layers}
            self.update_weights(values, restored=touched)
        self._adapters = adapters

    def _say_if_fused(self) -> None:
        if self._adapters.fused:
            logger.warning("adapters are fused: the choice counts after unfuse_lora()")
