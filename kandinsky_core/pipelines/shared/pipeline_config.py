"""`pipe.config`: what a pipeline is made of, as diffusers shows it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from kandinsky_core.checkpoints.file_names import NULL_EMBEDDING
from kandinsky_core.checkpoints.saved_network import DIFFUSERS_VERSION
from kandinsky_core.configs import NETWORKS
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.schedulers import Scheduler

__all__ = ["FrozenConfig", "pipeline_config"]


class FrozenConfig(dict[str, Any]):
    """A dict whose entries are attributes too, and which nobody changes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the config has no {name!r}: {', '.join(self)}") from None

    def _refuse(self, *args: Any, **options: Any) -> NoReturn:
        raise InvalidInputError("a config is not changed: set the pipeline's component instead")

    __setattr__ = __setitem__ = __delitem__ = __delattr__ = _refuse
    pop = popitem = setdefault = update = clear = _refuse

    def __reduce__(self) -> tuple[type[FrozenConfig], tuple[dict[str, Any]]]:
        return FrozenConfig, (dict(self),)

    def to_json_string(self) -> str:
        """Return the text of a `model_index.json`."""
        return json.dumps(self, indent=2, sort_keys=True) + "\n"


def pipeline_config(
    class_name: str, components: Mapping[str, Any], name: str | None
) -> FrozenConfig:
    """Return a pipeline's config: for each component its library and its class.

    Args:
        class_name: The pipeline's class.
        components: Its components by name.
        name: The model that it was loaded from; None for a pipeline made of components.
    """
    parts = {key: part for key, part in components.items() if key != NULL_EMBEDDING}
    entries = {key: _library_and_class(part) for key, part in parts.items()}
    head = {"_class_name": class_name, "_diffusers_version": DIFFUSERS_VERSION}
    return FrozenConfig(entries | head | {"_name_or_path": name})


def _library_and_class(part: Any) -> tuple[str | None, str | None]:
    if part is None:
        return None, None
    if isinstance(part, Scheduler):
        return "diffusers", type(part).__name__
    class_name = getattr(getattr(part, "config", None), "CLASS_NAME", None)
    if (entry := NETWORKS.get(str(class_name))) is not None:
        return entry.library, entry.class_name
    return "transformers", getattr(part, "class_name", type(part).__name__)
