"""What a device's compiler is told beside a program."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kandinsky_jax.layers.products import multiplies_bfloat16

__all__ = ["compile_lowered", "compiler_options"]

logger = logging.getLogger(__name__)

_OF_HALF_PRECISION_ON_A_TPU_V5 = {
    # With one or two pictures a TPU's compiler divides their rows among what it takes for more
    # pictures, and puts the edges together before each convolution. In half precision that costs
    # more than the convolutions. In float32, and on a v6e, the compiler needs minutes for each
    # without it and gains nothing: see "TPUs" in docs/accelerators.md.
    "xla_tpu_run_space_to_batch": "false",
    "xla_tpu_run_space_to_batch_on_new_platforms": "false",
}
# The usual scheduler starts all that waits for nothing, so it widens all weights before the first
# product, into memory that the system has to clear. The other one widens each where it is used.
_OF_NARROW_WEIGHTS_ON_A_CPU: Mapping[str, str | bool] = (
    {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}
    if jax.__version_info__ >= (0, 10)  # it takes the earlier name too, and ignores it
    else {"xla_cpu_enable_concurrency_optimized_scheduler": False}
)


def compiler_options(device: jax.Device, weights: Any) -> Mapping[str, str | bool]:
    """Return the options of a program, which are few.

    Args:
        device: What it is compiled for.
        weights: Its weights, or their shapes and dtypes.
    """
    narrow = {leaf.dtype for leaf in jax.tree.leaves(weights) if leaf.dtype.itemsize < 4}
    if device.platform == "cpu" and narrow - _not_widened():
        return _OF_NARROW_WEIGHTS_ON_A_CPU
    half = narrow - {jnp.dtype(jnp.int8)}  # weights in 8 bits are beside those of any dtype
    if half and device.platform == "tpu" and device.device_kind.startswith("TPU v5"):
        return _OF_HALF_PRECISION_ON_A_TPU_V5
    return {}


def _not_widened() -> set[np.dtype[Any]]:
    """Return the dtypes of weights that a CPU multiplies as they are."""
    return {jnp.dtype(jnp.bfloat16)} if multiplies_bfloat16() else set()


def compile_lowered(
    lowered: jax.stages.Lowered, options: Mapping[str, str | bool]
) -> jax.stages.Compiled:
    """Compile traced code with options; a compiler that lacks one gets none."""
    if not options:
        return lowered.compile()
    try:
        return lowered.compile(dict(options))
    except jax.errors.JaxRuntimeError as error:
        if not any(name in str(error) for name in options):
            raise
        logger.warning("this compiler has no options %s: %s", ", ".join(options), error)
        return lowered.compile()
