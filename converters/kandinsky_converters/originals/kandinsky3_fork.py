"""Opens model folders of ai-forever/kandinsky3-diffusers, a fork of diffusers, as they are.

They have diffusers' layout, with the fork's classes, configs and names of tensors, and with pickled
weights. Published so are the ControlNets and the IP-Adapter of Kandinsky 3, and the first revisions
of kandinsky-community/kandinsky-3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from kandinsky_converters.component_files import open_component
from kandinsky_converters.originals.component import OriginalComponent
from kandinsky_converters.originals.configs import ip_adapter_fields
from kandinsky_converters.originals.tensors import OriginalTensors
from kandinsky_converters.parts import Part
from kandinsky_core.checkpoints.checkpoint import Checkpoint, Component
from kandinsky_core.configs import NETWORKS
from kandinsky_core.errors import CheckpointError, ConfigError
from kandinsky_core.seam.tensors import Tensors

__all__ = ["adapted", "adapted_component", "fork_config", "is_of_fork"]


_CLASSES: Mapping[str, str] = {
    "UNetKandi3": "Kandinsky3UNet",
    "UNetKandi3Controlnet": "Kandinsky3ControlNetModel",
    "UNetKandi3Controlnet2": "Kandinsky3UNet",
    "UNetKandi3IpAdapter": "Kandinsky3UNet",
}
"""The fork's classes of networks, and what they are called here."""
_KINDS = {"Kandinsky3UNet": "unet3", "Kandinsky3ControlNetModel": "controlnet3"}
_BRANCH = "controlnet"
# The fork's folders that have another name here.
_NAMES: Mapping[str, str] = {"unet_controlnet": _BRANCH, "image_processor": "feature_extractor"}
_PIPELINES = ("Kandinsky3Pipeline", "Kandinsky3ControlNetPipeline")

# Fields of the fork's configs that have another name here.
_RENAMED = {
    "num_channels": "in_channels",
    "time_embed_dim": "time_embedding_dim",
    "head_dim": "attention_head_dim",
    "context_dim": "cross_attention_dim",
    "model_dim": "encoder_hid_dim",
}
_KEPT = ("groups",)
_FIRST = "in_layer.weight"  # the first tensor of all the fork's networks
_HINT = "controlnet_cond_embedding.conv_in.weight"


def adapted(checkpoint: Checkpoint) -> Checkpoint:
    """Return a folder of the fork as a model of this library, and any other folder as it is.

    All its networks are opened as the converter opens them, pickles too.
    """
    found = checkpoint.components
    if not any(component.class_name in _CLASSES for component in found.values()):
        return checkpoint
    components = {}
    for name, component in found.items():
        ours = _NAMES.get(name, name)
        class_name = _CLASSES.get(component.class_name, component.class_name)
        library = NETWORKS[class_name].library if class_name in NETWORKS else component.library
        renamed = replace(component, name=ours, library=library, class_name=class_name)
        components[ours] = adapted_component(renamed) if class_name in NETWORKS else renamed
    classes = {component.class_name for component in found.values()}
    with_hint = bool(classes & {"UNetKandi3Controlnet", "UNetKandi3Controlnet2"})
    pickled = frozenset(
        name for name, part in components.items() if isinstance(part, OriginalComponent)
    )
    return replace(
        checkpoint,
        pipeline_class=_PIPELINES[with_hint],
        components=components,
        absent=checkpoint.absent
        | ({_BRANCH} if with_hint and _BRANCH not in components else set()),
        pickled=pickled,
    )


def adapted_component(component: Component) -> Component:
    """Return a network that is opened as the converter opens it, a pickle of the fork too."""
    opened = _opened if component.class_name in _KINDS else open_component
    return OriginalComponent(
        component.name,
        component.library,
        component.class_name,
        component.folder,
        component.variant,
        opened=partial(opened, component),
    )


def is_of_fork(component: Component) -> bool:
    """Tell whether a component is a network of the fork, by the fields of its config."""
    return component.class_name in _KINDS and "model_channels" in component.config


def _opened(component: Component) -> Part:
    part = open_component(component)
    if _FIRST not in part.tensors.names():  # the fork's class, but saved by diffusers itself
        return part
    seen = OriginalTensors(_KINDS[component.class_name], part.tensors)
    if seen.unknown:
        raise CheckpointError(
            f"{component.folder}: {len(seen.unknown)} tensors are none of a "
            f"{component.class_name} ({', '.join(seen.unknown[:8])})"
        )
    config = {"_class_name": component.class_name, **fork_config(part.config, seen)}
    return replace(part, config=config, tensors=seen)


def fork_config(config: Mapping[str, Any], tensors: Tensors) -> dict[str, Any]:
    """Return the config of the fork's network in diffusers' terms.

    Args:
        config: The fork's config.json; the class that it names is not always its own.
        tensors: The weights under diffusers' names, which show what the config may leave out.

    Raises:
        ConfigError: A field is missing or has a value that no published network has.
    """
    missing = [
        name
        for name in ("model_channels", "dim_mult", "num_blocks", *_RENAMED)
        if name not in config and name != "model_dim"
    ]
    if missing:
        raise ConfigError(f"the fork's config lacks {', '.join(missing)}: take the published file")
    width, factors, counts = (config[name] for name in ("model_channels", "dim_mult", "num_blocks"))
    for name, value in (("dim_mult", factors), ("num_blocks", counts)):
        if not isinstance(value, list) or not all(type(item) is int for item in value):
            raise ConfigError(f"the fork's config field {name} is {value!r}: give whole numbers")
    if len(set(counts)) != 1 or type(width) is not int:
        raise ConfigError(
            f"the fork's config has num_blocks={counts}, model_channels={width!r}: allowed are "
            "equal numbers of blocks, and a whole number of channels"
        )
    found: dict[str, Any] = {new: config[old] for old, new in _RENAMED.items() if old in config} | {
        name: config[name] for name in _KEPT if name in config
    }
    found |= {
        "block_out_channels": [width * factor for factor in factors],
        "layers_per_block": counts[0],
    }
    if config.get("init_channels", width // 2) != width // 2:
        raise ConfigError(
            f"the fork's config has init_channels={config['init_channels']!r}: allowed is half of "
            f"model_channels, {width // 2}"
        )
    if _HINT in tensors.names():  # the config of such a UNet may not say so
        shape, _ = tensors.spec(_HINT)
        found["hint_channels"] = shape[1] if len(shape) > 1 else 0
    return found | ip_adapter_fields(tensors)
