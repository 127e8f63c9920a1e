"""Running out of device memory, said in words that help."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import jax

from kandinsky_core.errors import DeviceMemoryError

__all__ = ["explain_out_of_memory"]


@contextmanager
def explain_out_of_memory(device: str) -> Iterator[None]:
    """Turn XLA's report, which may come wherever a result is waited for, into our own error.

    Raises:
        DeviceMemoryError: The device's memory did not suffice.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        reason = str(error).splitlines()[0]
        raise DeviceMemoryError(
            f"{device} has too little memory ({reason}): ask for a smaller or for fewer pictures, "
            "for dtype='bfloat16', or call enable_model_cpu_offload()"
        ) from error
