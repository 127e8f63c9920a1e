"""Reading the config of the network that a backend is asked to load."""

from __future__ import annotations

from kandinsky_core.configs import NETWORKS, NetworkConfig
from kandinsky_core.errors import ConfigError
from kandinsky_core.seam.tensors import ComponentSource

__all__ = ["read_config"]


def read_config(source: ComponentSource, backend: str) -> NetworkConfig:
    """Return the config of a component; the config's class says which network it is.

    Args:
        source: The component.
        backend: Name of the backend, for the message.

    Raises:
        ConfigError: There is no such network, or a config field is unknown or unsupported.
    """
    if source.class_name not in NETWORKS:
        raise ConfigError(
            f"the {backend} backend has no {source.class_name}; it has {', '.join(NETWORKS)}"
        )
    return NETWORKS[source.class_name].config.from_dict(source.config)
