"""The calls by which diffusers' scripts give adapters (LoRA) to a pipeline."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kandinsky_core.checkpoints.hub import HubOptions
from kandinsky_core.checkpoints.lora import read_adapters
from kandinsky_core.checkpoints.lora_sources import LoraSource
from kandinsky_core.errors import CheckpointError, InvalidInputError
from kandinsky_core.pipelines.shared.lora_file_calls import LoraFileCalls
from kandinsky_core.seam.adapter_arguments import names_of, weights_of
from kandinsky_core.seam.adapters import TakesAdapters
from kandinsky_core.seam.networks import Network
from kandinsky_core.seam.quantization import refuse_if_quantized

__all__ = ["LoraCalls"]

logger = logging.getLogger(__name__)

_UNET, _PRIORS = "unet", ("prior", "prior_prior")
_ADAPTED = (_UNET, "controlnet", *_PRIORS)


class LoraCalls(LoraFileCalls):
    """Methods of every pipeline that load adapters, choose among them, and take them out.

    The adapters belong to the networks. Pipelines that share a network share its adapters.
    """

    @property
    def networks(self) -> dict[str, Network]:
        """The components that hold weights."""
        raise NotImplementedError

    @property
    def _adapted(self) -> dict[str, TakesAdapters]:
        """The networks that adapters are for, by component name."""
        networks: dict[str, Any] = self.networks
        return {
            name: networks[name]
            for name in _ADAPTED
            if isinstance(networks.get(name), TakesAdapters)
        }

    def load_lora_weights(
        self,
        pretrained_model_name_or_path_or_dict: str | Path | Mapping[str, Any],
        adapter_name: str | None = None,
        hotswap: bool = False,
        *,
        weight: float = 1.0,
        weight_name: str | None = None,
        subfolder: str | None = None,
        network_alphas: Mapping[str, Any] | None = None,
        use_safetensors: bool | None = None,
        low_cpu_mem_usage: bool | None = None,
        **hub: Any,
    ) -> None:
        """Load a LoRA into the UNet or the prior, and make it the only active one there.

        Several that are loaded are combined by `set_adapters`, as in diffusers. The names in a file
        do not tell the ControlNet of Kandinsky 3 from its UNet: load one for that by
        `pipe.controlnet.load_lora_adapter`; all other calls here are for it too.

        Args:
            pretrained_model_name_or_path_or_dict: A .safetensors or .bin file, a folder that holds
                one, a hub id, or a dict of arrays of any framework.
            adapter_name: What to call it; None counts `default_0`, `default_1`, ...
            hotswap: Put it in the place of the adapter that has this name.
            weight: Factor of the change that it makes; 1 takes it as it was trained.
            weight_name: The file's name in a folder or repository.
            subfolder: The file's folder in that folder or repository.
            network_alphas: The alphas of layers, where the file does not hold them.
            use_safetensors: True takes no .bin, False nothing else.
            low_cpu_mem_usage: Has no effect.
            **hub: `revision`, `cache_dir`, `token`, `local_files_only`, `force_download`.

        Raises:
            InvalidInputError: There is no such file, an argument is wrong, or the network keeps its
                weights in 8 bits.
            ModelNotFoundError: The hub does not deliver it.
            CheckpointError: It is damaged, of no supported kind, or for another network.
        """
        adapted = self._adapted
        for only in adapted.values() if len(adapted) == 1 else ():  # else the file tells which one
            refuse_if_quantized(only, "load_lora_weights")
        source = LoraSource.open(
            pretrained_model_name_or_path_or_dict,
            weight_name=weight_name,
            subfolder=subfolder,
            use_safetensors=use_safetensors,
            hub=HubOptions.given(hub),
        ).with_alphas(network_alphas)
        layers = read_adapters(source)
        of_prior = all(name.startswith("transformer_blocks.") for name in layers)
        names = _PRIORS if of_prior else (_UNET,)
        network = next((adapted[name] for name in names if name in adapted), None)
        if network is None:
            there = self.networks
            if any(name in there for name in names):
                raise InvalidInputError(
                    f"{source.label} is a LoRA for the {names[0]}, whose backend takes none: load "
                    "the pipeline with backend='jax' or backend='mindspore'"
                )
            raise CheckpointError(
                f"{source.label} is a LoRA for the {names[0]}, and this pipeline has "
                f"{', '.join(there)}: load it into the pipeline that has one"
            )
        network.attach_adapter(
            layers, label=source.label, name=adapter_name, weight=weight, swap=hotswap
        )

    def unload_lora_weights(self) -> None:
        """Put the weights back as they were before the first LoRA, bit for bit.

        Fused adapters stay in the weights for good, as in diffusers; `unfuse_lora` before it takes
        them out.
        """
        for network in self._adapted.values():
            network.unload_lora()

    def set_adapters(self, adapter_names: str | Sequence[str], adapter_weights: Any = None) -> None:
        """Choose the active adapters and their weights.

        Args:
            adapter_names: One name, or several.
            adapter_weights: A number for all, or one for each; None is 1. A number may be a dict of
                numbers by the networks' names, `{"unet": 0.5}`.

        Raises:
            InvalidInputError: There is no such adapter, or a weight is no number.
        """
        names = self._require_loaded(names_of(adapter_names))
        for component, network in self._adapted.items():
            weights = weights_of(names, _of_component(component, adapter_weights))
            own = {
                name: weight
                for name, weight in zip(names, weights, strict=True)
                if name in network.adapter_names
            }
            network.set_adapters(list(own), list(own.values()))

    def get_active_adapters(self) -> list[str]:
        """Return the names of the active adapters."""
        active = (name for network in self._adapted.values() for name in network.chosen_adapters)
        return list(dict.fromkeys(active))

    def get_list_adapters(self) -> dict[str, list[str]]:
        """Return the names of all loaded adapters, by the networks that have them."""
        lists = {component: network.adapter_names for component, network in self._adapted.items()}
        return {component: names for component, names in lists.items() if names}

    def delete_adapters(self, adapter_names: str | Sequence[str]) -> None:
        """Remove adapters; a name that none has is logged and left out.

        Args:
            adapter_names: One name, or several.

        Raises:
            InvalidInputError: One is fused.
        """
        names = names_of(adapter_names)
        fused = sorted(self.fused_loras & {*names} & {*self._all_names()})
        if fused:
            raise InvalidInputError(
                f"{', '.join(fused)}: fused adapters cannot be deleted: call unfuse_lora() first"
            )
        unknown = [name for name in names if name not in self._all_names()]
        if unknown:
            logger.warning("delete_adapters: no adapter is called %s", ", ".join(unknown))
        for network in self._adapted.values():
            own = [name for name in names if name in network.adapter_names]
            if own:
                network.delete_adapters(own)

    def fuse_lora(
        self,
        components: Sequence[str] | None = None,
        lora_scale: float = 1.0,
        safe_fusing: bool = False,
        adapter_names: Sequence[str] | None = None,
        **old: Any,
    ) -> None:
        """Hold adapters in the weights until `unfuse_lora`, whatever is chosen meanwhile.

        A step costs the same with and without it: adapters are always merged here.

        Args:
            components: The networks; None takes all. `text_encoder` has no adapters here.
            lora_scale: Factor of the active adapters' weights, which they keep.
            safe_fusing: Has no effect: weights that would be infinite are always refused.
            adapter_names: Which ones; None takes the active ones.
            **old: `fuse_unet` and `fuse_text_encoder` of older scripts, which have no effect.

        Raises:
            InvalidInputError: There is no such network or adapter, or all adapters are off.
        """
        _require_old(old, "fuse")
        wanted = None if adapter_names is None else self._require_loaded(names_of(adapter_names))
        if not self._all_names():
            logger.warning("fuse_lora: no adapter is loaded, so nothing is fused")
        for network in self._chosen(components):
            own = [name for name in wanted or () if name in network.adapter_names]
            if wanted is None or own:
                network.fuse_lora(lora_scale, safe_fusing, None if wanted is None else own)

    def unfuse_lora(self, components: Sequence[str] | None = None, **old: Any) -> None:
        """Undo `fuse_lora`: the active adapters count again.

        Args:
            components: The networks; None takes all.
            **old: `unfuse_unet` and `unfuse_text_encoder` of older scripts, which have no effect.

        Raises:
            InvalidInputError: There is no such network.
        """
        _require_old(old, "unfuse")
        for network in self._chosen(components):
            network.unfuse_lora()

    def disable_lora(self) -> None:
        """Switch all adapters off, until `enable_lora`."""
        for network in self._adapted.values():
            network.disable_lora()

    def enable_lora(self) -> None:
        """Switch the adapters on again."""
        for network in self._adapted.values():
            network.enable_lora()

    @property
    def fused_loras(self) -> set[str]:
        """Names of the fused adapters."""
        return {name for network in self._adapted.values() for name in network.fused_adapters}

    @property
    def num_fused_loras(self) -> int:
        """Number of the fused adapters."""
        return len(self.fused_loras)

    @property
    def lora_scale(self) -> float:
        """diffusers' default scale, 1; an adapter's own weight is set by `set_adapters`."""
        return 1.0

    @property
    def lora_facts(self) -> dict[str, str]:
        """What the metadata of pictures say: `lora`, the adapters in effect and their weights."""
        terms = [
            f"{label}:{factor:.15g}"
            for network in self._adapted.values()
            for label, factor in network.adapters_in_effect
        ]
        return {"lora": ",".join(terms)} if terms else {}

    def set_lora_device(self, adapter_names: Sequence[str], device: Any) -> None:
        """Log that adapters have no device: they are merged into the weights."""
        logger.info("set_lora_device changes nothing: adapters are merged into the weights")

    def enable_lora_hotswap(self, **options: Any) -> None:
        """Log that this is not needed: adapters of any rank can take each other's place."""
        logger.info("enable_lora_hotswap changes nothing: adapters are merged into the weights")

    def _all_names(self) -> list[str]:
        return [name for network in self._adapted.values() for name in network.adapter_names]

    def _require_loaded(self, names: list[str]) -> list[str]:
        there = self._all_names()
        missing = [name for name in names if name not in there]
        if missing:
            raise InvalidInputError(
                f"no adapter is called {', '.join(missing)}: loaded are "
                f"{', '.join(there) or 'none'}"
            )
        return names

    def _chosen(self, components: Sequence[str] | None) -> list[TakesAdapters]:
        adapted = self._adapted
        names = list(adapted) if components is None else names_of(components)
        unknown = sorted({*names} - {*adapted, "text_encoder"})
        if unknown:
            raise InvalidInputError(
                f"components={names!r}: adapters are for {', '.join(adapted)} in this pipeline"
            )
        return [adapted[name] for name in names if name in adapted]


def _of_component(component: str, weights: Any) -> Any:
    """Return what the weights say for one network: entries that are dicts name networks."""
    if isinstance(weights, list | tuple):
        return [_of_component(component, weight) for weight in weights]
    if not isinstance(weights, Mapping):
        return weights
    unknown = sorted(str(name) for name in weights if name not in _ADAPTED)
    if unknown:
        raise InvalidInputError(
            f"adapter_weights name {', '.join(unknown)}: adapters are for {', '.join(_ADAPTED[:3])}"
        )
    return weights.get(component)


def _require_old(old: Mapping[str, Any], verb: str) -> None:
    known = {f"{verb}_unet", f"{verb}_text_encoder", f"{verb}_transformer"}
    unknown = sorted(old.keys() - known)
    if unknown:
        raise InvalidInputError(f"{verb}_lora takes no {', '.join(unknown)}")
