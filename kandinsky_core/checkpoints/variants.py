"""Chooses the weights of components where only some of a model have the variant asked for."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

from kandinsky_core.checkpoints.checkpoint import Component
from kandinsky_core.checkpoints.weight_files import has_variant
from kandinsky_core.configs.networks import NETWORKS

__all__ = ["without_variant"]

logger = logging.getLogger(__name__)


def without_variant(
    components: Mapping[str, Component], wanted: Mapping[str, Component]
) -> dict[str, Component]:
    """Return the networks that have to do without the variant, as they load in diffusers 0.39.

    A network without files of the variant loads its other files, if any network of the model has
    the variant. Where none has it, each keeps asking for it, and the error names its files.

    Args:
        components: All components of the model, of which some may not be on this machine.
        wanted: The components that are to be loaded.
    """
    having = {
        name
        for name, component in components.items()
        if component.variant
        and component.class_name in NETWORKS
        and component.folder.is_dir()
        and has_variant(component.folder, component.variant)
    }
    found = {
        name: replace(component, variant=None)
        for name, component in wanted.items()
        if having and name not in having and component.variant and component.class_name in NETWORKS
    }
    if found:
        variant = next(iter(wanted.values())).variant
        logger.warning(
            "no weights for variant %r in %s: those for no variant are loaded (%s has the variant)",
            variant,
            " and ".join(found),
            " and ".join(sorted(having)),
        )
    return found
