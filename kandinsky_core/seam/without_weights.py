"""What text encoders that hold no weights between calls have in common, on every backend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kandinsky_core.arrays import Array
from kandinsky_core.errors import InvalidInputError

__all__ = ["WithoutWeights"]


class WithoutWeights:
    """The part of `kandinsky_core.seam.networks.Network` that is about weights in memory."""

    def offload(self) -> None:
        """Do nothing: no weights are kept anywhere."""

    def read_weights(self, names: Iterable[str]) -> dict[str, Array]:
        """Refuse; see `update_weights`.

        Raises:
            KeyError: Always.
        """
        raise KeyError(*names)

    def update_weights(self, values: Mapping[str, Array]) -> None:
        """Refuse: what the files hold is what counts.

        Raises:
            InvalidInputError: Always.
        """
        raise InvalidInputError(
            f"{', '.join(values)}: a text encoder that is read block by block takes no other "
            "weights; load it whole"
        )

    def restore_weights(self) -> None:
        """Do nothing: no weights are ever replaced."""
