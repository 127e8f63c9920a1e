"""One exception class for each kind of failure that a user can mend.

Every message is one line: what was given, what is allowed, what to do. The command line
prints it and exits with code 2; in Python the class says what to catch.
"""

from __future__ import annotations

from kandinsky_core.terminal import one_line

__all__ = [
    "BackendUnavailableError",
    "CheckpointError",
    "ConfigError",
    "DeviceMemoryError",
    "InvalidInputError",
    "KandinskyError",
    "ModelNotFoundError",
    "NonFiniteError",
    "RefusedNameError",
]


class KandinskyError(Exception):
    """Base of every error that this library raises on purpose.

    A message may name what a stranger wrote: a tensor, a prompt, a server's reason. So its text is
    one printable line of bounded length, here for all of them. `args` holds the message in full.
    """

    def __str__(self) -> str:
        return one_line(super().__str__())


class InvalidInputError(KandinskyError, ValueError):
    """An argument of a call is of the wrong type, out of range, or contradicts another."""


class ConfigError(KandinskyError, ValueError):
    """A config.json has an unknown field, or a value that no published Kandinsky model uses."""


class CheckpointError(KandinskyError):
    """A checkpoint's files are missing, damaged, or do not fit the network."""


class ModelNotFoundError(CheckpointError):
    """A model name is neither embedded, nor a folder, nor a hub repository that can be reached."""


class BackendUnavailableError(KandinskyError, ImportError):
    """This machine lacks the packages or the devices of the backend that was asked for."""


class DeviceMemoryError(KandinskyError, MemoryError):
    """The device's memory did not suffice; the message names ways to need less."""


class NonFiniteError(KandinskyError, FloatingPointError):
    """A stage of a pipeline gave NaN or infinity; the message names the stage and the remedy."""


class RefusedNameError(KandinskyError, AttributeError):
    """diffusers has this name and this library does not; the message says why, and what to do."""
