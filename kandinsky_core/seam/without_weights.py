"""The methods about weights, for text encoders of any backend that hold none between calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

from kandinsky_core.arrays import Array
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.seam.network_calls import NetworkCalls

__all__ = ["WithoutWeights"]


class WithoutWeights(NetworkCalls):
    """Keeps to the part of `kandinsky_core.seam.networks.Network` about weights, without any."""

    def __reduce__(self) -> Any:
        raise InvalidInputError(
            "a text encoder that reads its files at each text is not pickled: load the pipeline "
            "with text_encoder_loading='resident', or load it in the other process"
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Copy the settings; the files that are read are the same."""
        made = object.__new__(type(self))
        vars(made).update(vars(self))
        return made

    def offload(self) -> None:
        """Do nothing: no weights are kept anywhere."""

    def onload(self) -> None:
        """Do nothing: no weights are kept anywhere."""

    def read_weights(self, names: Iterable[str]) -> dict[str, Array]:
        """Refuse to read; see `update_weights`.

        Raises:
            KeyError: Always.
        """
        raise KeyError(*names)

    def update_weights(self, values: Mapping[str, Array]) -> None:
        """Refuse new weights: every call reads the weights of the files.

        Raises:
            InvalidInputError: Always.
        """
        raise InvalidInputError(
            f"{', '.join(values)}: a text encoder that is read block by block takes no other "
            "weights; load it whole"
        )

    def restore_weights(self) -> None:
        """Do nothing: no weights are ever replaced."""
