"""The arrays of a denoising loop, under the names by which a callback reads and changes them.

Under guidance an array has 2B rows, the unconditional ones first, as in diffusers. A callback that
switches guidance off may return the B conditional rows, which diffusers requires.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kandinsky_core.arrays import Array
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pictures.inputs import as_array
from kandinsky_core.seam.step_rules import Kept

__all__ = ["LoopValues", "View", "checked_as", "kind_of"]

logger = logging.getLogger(__name__)

# Arrays of pictures, whose unconditional rows equal the conditional ones.
_OF_PICTURES = ("image_latents", "hint", "control_")


@dataclass(frozen=True, slots=True)
class View:
    """A name of a callback that is no array of the conditioning, but a part of one.

    Attributes:
        array: Name of the array.
        channels: The part of its channels; None is all.
        unconditional: Whether it is the unconditional half, as it was when the loop began. As in
            diffusers, changing it changes nothing: the network reads the array.
    """

    array: str
    channels: slice | None = None
    unconditional: bool = False

    def of(self, array: Array) -> Array:
        """Return this part of the array."""
        return array if self.channels is None else array[:, self.channels]

    def put(self, array: Array, value: Array) -> Array:
        """Return the array with this part replaced."""
        if self.channels is None:
            return value
        changed = array.copy()
        changed[:, self.channels] = value
        return changed


class LoopValues:
    """The arrays of one loop.

    Attributes:
        arrays: What the network reads beside the sample.
        guided: Whether these have unconditional rows.
        kept: The part of the picture that every step puts back, or None.
    """

    def __init__(
        self,
        conditioning: Mapping[str, Array],
        views: Mapping[str, View],
        guided: bool,
        kept: Kept | None,
    ) -> None:
        self.arrays = dict(conditioning)
        self.guided = guided
        self.kept = kept
        self._views = {name: view for name, view in views.items() if view.array in conditioning}
        self._unconditional: dict[str, Any] = {
            name: np.array(np.split(conditioning[view.array], 2)[0]) if guided else None
            for name, view in self._views.items()
            if view.unconditional
        }

    def __iter__(self) -> Iterator[str]:
        yield from self.arrays
        yield from self._views

    def read(self, name: str) -> Array | None:
        """Return a copy of the array of this name; None for unconditional rows that are not there.

        It is a copy, as a callback may write into it.
        """
        if name in self._unconditional:
            found = self._unconditional[name]
            return found.copy() if isinstance(found, np.ndarray) else found
        view = self._view(name)
        return np.array(view.of(self.arrays[view.array]))

    def _view(self, name: str) -> View:
        return self._views.get(name, View(name))

    def put_back(self, who: str, changed: Mapping[str, Any], guided: bool) -> bool:
        """Take over what a callback returned, once all of it has been checked.

        Args:
            who: Names the callback, for errors.
            changed: Values by name.
            guided: Whether guidance is on from now on.

        Returns:
            Whether anything differs from before.

        Raises:
            InvalidInputError: A value is no array of the right shape, holds NaN or infinity, or
                lacks the unconditional rows that guidance needs.
        """
        fitted = {name: self._fitted(name, guided) for name in self.arrays}
        after: dict[str, Array | None] = dict(fitted)
        for name, value in changed.items():
            if name in self._unconditional:
                self._keep_unconditional(who, name, value)
                continue
            view, array = self._view(name), self._checked(who, name, value, guided)
            before, now = fitted[view.array], after[view.array]
            if before is not None and np.array_equal(view.of(before), array):
                continue  # one array has several names: only those that were changed count
            after[view.array] = array if now is None else view.put(now, array)
        for name, rows in after.items():
            if rows is None:
                shape = self._shape(self.arrays[name].shape, guided)
                raise InvalidInputError(
                    f"{who} switched guidance on: return {name} of shape {shape} too, the "
                    "unconditional rows first"
                )
        if guided == self.guided and all(after[name] is fitted[name] for name in after):
            return False
        self._take(after, guided)
        return True

    def _take(self, after: Mapping[str, Any], guided: bool) -> None:
        self.arrays, self.guided = dict(after), guided
        if self.kept is not None:  # the mask that the network reads is the one of what is put back
            rows = len(self.kept.mask)
            self.kept = replace(self.kept, mask=self.arrays["image_latents"][:rows, -1:])

    def _fitted(self, name: str, guided: bool) -> Array | None:
        """Return an array with the rows that guidance needs; None where it lacks them."""
        array = self.arrays[name]
        if guided == self.guided:
            return array
        if self.guided:
            return np.split(array, 2)[1]
        return np.concatenate([array, array]) if name.startswith(_OF_PICTURES) else None

    def _shape(self, shape: tuple[int, ...], guided: bool) -> tuple[int, ...]:
        """Return the shape that an array of this shape has with or without guidance."""
        rows = shape[0] // (2 if self.guided else 1) * (2 if guided else 1)
        return (rows, *shape[1:])

    def _checked(self, who: str, name: str, value: Any, guided: bool) -> Array:
        view = self._view(name)
        now = view.of(self.arrays[view.array])
        shape = self._shape(now.shape, guided)
        either = self.guided or view.array.startswith(_OF_PICTURES)
        allowed = {shape, now.shape} if either else {shape}
        array = checked_as(who, name, value, shape, now.dtype, allowed)
        if array.shape != shape:  # as it was before guidance was switched: see `_fitted`
            array = np.split(array, 2)[1] if self.guided else np.concatenate([array, array])
        if not np.isfinite(array).all():
            raise InvalidInputError(f"{who} returned {name} that holds NaN or infinity")
        return array

    def _keep_unconditional(self, who: str, name: str, value: Any) -> None:
        now = self._unconditional[name]
        given = None if value is None else _as_array(who, name, value, np.shape(now))
        same = given is now if given is None or now is None else np.array_equal(given, now)
        if not same:
            logger.warning(
                "%s changed %s, which changes nothing, as in diffusers: the network reads the "
                "first half of %s",
                who,
                name,
                self._views[name].array,
            )
        self._unconditional[name] = given


def _as_array(who: str, name: str, value: Any, shape: tuple[int, ...]) -> Array:
    try:
        return as_array(name, value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidInputError(
            f"{who} returned {name} of {kind_of(value)}, which is no array of numbers: return an "
            f"array of shape {shape}"
        ) from error


def checked_as(
    who: str,
    name: str,
    value: Any,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    allowed: set[tuple[int, ...]] | None = None,
) -> Array:
    """Return what a callback returned as an array of a dtype.

    Args:
        who: Names the callback, for errors.
        name: The name of the value.
        value: Any array of numbers.
        shape: The shape that it should have.
        dtype: The dtype that it gets.
        allowed: The shapes that are taken; None takes `shape` alone.

    Raises:
        InvalidInputError: The value is no such array.
    """
    array = _as_array(who, name, value, shape)
    if array.shape not in (allowed or {shape}):
        raise InvalidInputError(
            f"{who} returned {name} of shape {array.shape}: return an array of shape {shape}"
        )
    with np.errstate(over="ignore", invalid="ignore"):  # both are found in the result
        cast = array.astype(dtype)
    if dtype.kind != "f" and not np.array_equal(cast, array):
        raise InvalidInputError(
            f"{who} returned {name} of dtype {array.dtype}: return values of {dtype}"
        )
    return cast


def kind_of(value: Any) -> str:
    """Return what a value is, in words for an error."""
    return repr(value) if isinstance(value, (bool, int, float)) else f"a {type(value).__name__}"
