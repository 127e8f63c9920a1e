"""What a device's compiler is told beside a program."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import jax

__all__ = ["compile_lowered", "compiler_options"]

logger = logging.getLogger(__name__)

_OF_TPU = {
    # With one or two pictures a TPU's compiler divides their rows among what it takes for more
    # pictures, and puts the edges together before each convolution. In the networks here that
    # costs more than the convolutions: see "TPUs" in docs/performance.md.
    "xla_tpu_run_space_to_batch": "false",
    "xla_tpu_run_space_to_batch_on_new_platforms": "false",
}


def compiler_options(device: jax.Device) -> Mapping[str, str]:
    """Return the options for a device, which are none except for a TPU."""
    return _OF_TPU if device.platform == "tpu" else {}


def compile_lowered(lowered: jax.stages.Lowered, device: jax.Device) -> jax.stages.Compiled:
    """Compile traced code with a device's options; a compiler that lacks one gets none."""
    options = compiler_options(device)
    if not options:
        return lowered.compile()
    try:
        return lowered.compile(dict(options))
    except jax.errors.JaxRuntimeError as error:
        if not any(name in str(error) for name in options):
            raise
        logger.warning("this compiler has no options %s: %s", ", ".join(options), error)
        return lowered.compile()
