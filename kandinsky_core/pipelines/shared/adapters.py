"""Loading low-rank adapters into the networks of a pipeline, and taking them out again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kandinsky_core.arrays import Array
from kandinsky_core.checkpoints.lora import merged_weights, read_lora
from kandinsky_core.errors import CheckpointError
from kandinsky_core.seam.networks import Network
from kandinsky_core.validation import real_number

__all__ = ["load_lora", "unload_lora"]

_SHOWN = 8


def load_lora(networks: Mapping[str, Network], path: str | Path, weight: Any) -> None:
    """Merge the adapters of a file into the UNet or the prior, whichever they are for.

    Args:
        networks: The networks of a pipeline by component name.
        path: The adapters; see `kandinsky_core.checkpoints.lora.read_lora`.
        weight: Factor of the change that the adapters make; 1 takes it as it was trained.

    Raises:
        InvalidInputError: There is no such file, or the weight is no number.
        CheckpointError: The file is damaged, of no known form, or for another network.
    """
    factor = real_number("weight", weight)
    adapters = read_lora(path)
    of_prior = all(name.startswith("transformer_blocks.") for name in adapters)
    names = ("prior", "prior_prior") if of_prior else ("unet",)
    chosen: Any = next((networks[name] for name in names if name in networks), None)
    if chosen is None:
        raise CheckpointError(
            f"{path} is a LoRA for the {names[0]}, and this pipeline has "
            f"{', '.join(networks)}: load it into the pipeline that has one"
        )

    def read(wanted: Iterable[str]) -> dict[str, Array]:
        try:
            return dict(chosen.read_weights(wanted))
        except KeyError as error:
            some = ", ".join(map(str, error.args[:_SHOWN]))
            raise CheckpointError(
                f"{path} changes {len(error.args)} weights that the {names[0]} does not have "
                f"({some}): it was trained for another model"
            ) from error

    chosen.update_weights(merged_weights(adapters, factor, read))


def unload_lora(networks: Mapping[str, Network]) -> None:
    """Put back, bit for bit, the weights of all networks as they were loaded."""
    for network in networks.values():
        network.restore_weights()
