"""Loads models of ai-forever/kandinsky3-diffusers, a fork of diffusers, as they were published.

Their index names the fork's classes, the UNet has the authors' names and a config of another form,
and all weights may be pickles. Published so is `ai-forever/kandinsky3_ip_adapter`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from kandinsky_converters.component_files import open_component, open_weights
from kandinsky_converters.originals.component import OriginalComponent
from kandinsky_converters.originals.configs import original_config
from kandinsky_converters.originals.tensors import OriginalTensors
from kandinsky_converters.parts import Part
from kandinsky_core.checkpoints.checkpoint import Checkpoint, Component
from kandinsky_core.configs import NETWORKS
from kandinsky_core.errors import CheckpointError

__all__ = ["adopted"]

_UNETS = ("UNetKandi3", "UNetKandi3IpAdapter")
_UNET = "Kandinsky3UNet"
# What the weights do not show: the field of the fork's config, and ours.
_FIELDS = {"groups": "groups", "head_dim": "attention_head_dim"}


def adopted(checkpoint: Checkpoint) -> Checkpoint | None:
    """Return a model of the fork with the classes of this library; None for any other model."""
    unet = checkpoint.components.get("unet")
    if unet is None or unet.class_name not in _UNETS:
        return None
    found = [_adopted(component) for component in checkpoint.components.values()]
    return replace(
        checkpoint,
        pipeline_class="Kandinsky3Pipeline",
        components={component.name: component for component in found},
        pickled=True,
    )


def _adopted(component: Component) -> Component:
    class_name = _UNET if component.class_name in _UNETS else component.class_name
    name = "feature_extractor" if component.name == "image_processor" else component.name
    if class_name not in NETWORKS:
        return replace(component, name=name)
    return _ForkComponent(name, component.library, class_name, component.folder, component.variant)


def _never() -> Part:
    raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class _ForkComponent(OriginalComponent):
    """A network of the fork."""

    opened: Callable[[], Part] = _never

    @cached_property
    def part(self) -> Part:
        """See `OriginalComponent.part`."""
        plain = Component(self.name, self.library, self.class_name, self.folder, self.variant)
        return _unet(plain) if self.class_name == _UNET else open_component(plain)


def _unet(component: Component) -> Part:
    files, tensors = open_weights(component.folder, component.variant)
    seen = OriginalTensors("unet3", tensors)
    if seen.unknown:
        some = ", ".join(seen.unknown[:8])
        raise CheckpointError(
            f"{component.folder}: {len(seen.unknown)} tensors are none of Kandinsky 3 ({some})"
        )
    class_name, config = original_config("unet3", seen)
    given = component.config
    return Part(
        name=component.name,
        class_name=class_name,
        config=config | _stated(given),
        tensors=seen,
        files=files,
        folder=None,
        source_count=seen.source_count + len(tensors.others),
        ignored=dict.fromkeys(tensors.others, "no tensor"),
    )


def _stated(given: dict[str, Any]) -> dict[str, Any]:
    return {ours: given[theirs] for theirs, ours in _FIELDS.items() if theirs in given}
