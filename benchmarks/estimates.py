"""Estimates the seconds of Kandinsky 2.2 on accelerators that nobody here has measured.

    python -m benchmarks.estimates --sizes 512 768 1024

XLA itself counts the operations of our networks, which are traced without weights. A call takes at
least as long as its operations at the device's peak rate in half precision, and as reading its
weights once; activations are left out. No program reaches the peak: the last column takes the share
of it that published figures of JAX diffusion models reach.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp

from benchmarks.full_size import component
from kandinsky_core.configs import NETWORKS
from kandinsky_jax.backend import CLASSES
from kandinsky_jax.layers import attention, winograd
from kandinsky_jax.weights.network_form import NetworkForm

# Teraflops in half precision and gigabytes a second of one chip, as its vendor gives them. For the
# last chip the figures come from companies that rent it out.
DEVICES = {
    "TPU v5e": (197, 819),
    "TPU v5p": (459, 2765),
    "TPU v6e": (918, 1640),
    "Ascend 910B": (280, 800),
}
SHARE = 0.3
"""Share of the peak: maxdiffusion's README gives 135.9 of 459 TFLOP/s for Wan 2.1 on v5p-8."""
HALF_PRECISION = 2  # bytes of a weight
FULL_PRECISION = 6  # products in half precision for one in float32, the dtype of MoVQ
STEPS, PRIOR_STEPS = 50, 25


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a network.

    Attributes:
        name: The name in the table.
        count: How many such calls a picture takes.
        flops: Operations of one call.
        weights: Parameters of the network.
        passes: Products in half precision for each of its own.
    """

    name: str
    count: int
    flops: float
    weights: int
    passes: int = 1

    def seconds(self, teraflops: float, gigabytes: float) -> float:
        """Return the seconds of all such calls at these rates."""
        arithmetic = self.passes * self.flops / (teraflops * 1e12)
        return self.count * max(arithmetic, HALF_PRECISION * self.weights / (gigabytes * 1e9))


class Abstract:
    """A component without weights, whose calls are traced and counted."""

    def __init__(self, part: str) -> None:
        source = component(f"kandinsky-2-2-{part}", "2.2")
        config: Any = NETWORKS[source.class_name].config.from_dict(source.config)
        self._form = NetworkForm(CLASSES[type(config)][0], config, "float32")
        self.config = config
        self._weights = self._form.abstract()

    def _run(self, method: str) -> Callable[..., Any]:
        def run(weights: Any, *values: Any) -> Any:
            return getattr(self._form.build(weights), method)(*values)

        return run

    def shapes(self, method: str, *values: Any) -> Any:
        """Return the shapes of a method's result."""
        return jax.eval_shape(self._run(method), self._weights, *values)

    def lower(self, method: str, *values: Any) -> Any:
        """Return a method's program before it is compiled."""
        return jax.jit(self._run(method)).lower(self._weights, *values)

    def count(self, name: str, count: int, method: str, *values: Any) -> Call:
        """Count the operations of a method."""
        cost: Any = self.lower(method, *values).cost_analysis()
        weights = sum(leaf.size for leaf in jax.tree.leaves(self._weights))
        return Call(name, count, float(cost["flops"]), weights)


def array(*shape: int, dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
    """Return a shape and a dtype that stand for an array."""
    return jax.ShapeDtypeStruct(shape, dtype)


def calls(size: int) -> list[Call]:
    """Count all calls of a picture: guidance on, no negative prompt, default steps.

    For a denoiser only its steps count; the work that all steps share is done once.
    """
    # XLA counts the body of a loop once. Long attention is a loop, and so is a CPU's doubling.
    scores = {"MAX_SCORES": sys.maxsize, "HEAD_SCORES": sys.maxsize}
    with mock.patch.multiple(attention, **scores), mock.patch.object(winograd, "WIDE", sys.maxsize):
        return _calls(size)


def _calls(size: int) -> list[Call]:
    text, image = Abstract("prior/text_encoder"), Abstract("prior/image_encoder")
    prior, unet, movq = (
        Abstract("prior/prior"),
        Abstract("decoder/unet"),
        Abstract("decoder/movq"),
    )
    length, width, side = text.config.max_position_embeddings, prior.config.embedding_dim, size // 8
    texts = (array(2, width), array(2, length, width), array(2, length, dtype=jnp.bool_))
    prior_row = (array(2, width), array(2), prior.shapes("prepare", *texts))
    embeds = unet.shapes("prepare", array(2, unet.config.encoder_hid_dim))
    pixels = array(1, image.config.image_size, image.config.image_size, 3)
    return [
        text.count("CLIP text", 2, "__call__", array(1, length, dtype=jnp.int32)),
        image.count("CLIP image", 1, "__call__", pixels),
        prior.count("prior", PRIOR_STEPS, "__call__", *prior_row),
        unet.count("UNet", STEPS, "__call__", array(2, side, side, 4), array(2), embeds),
        replace(movq.count("MoVQ", 1, "decode", array(1, side, side, 4)), passes=FULL_PRECISION),
    ]


def main() -> None:
    """Print the operations of each call and the least time of a picture on each device."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sizes", nargs="+", type=int, default=[512, 768], metavar="PX")
    options = parser.parse_args()
    for size in options.sizes:
        made = calls(size)
        total = sum(call.count * call.flops for call in made) / 1e12
        sys.stdout.write(f"{size} px, one picture, {total:.0f} TFLOP\n")
        for call in made:
            sys.stdout.write(
                f"  {call.name:<12}{call.flops / 1e12:8.3f} TFLOP x {call.count:<3}"
                f"{call.weights / 1e6:8.0f} M weights\n"
            )
        for device, rates in DEVICES.items():
            least = sum(call.seconds(*rates) for call in made)
            likely = sum(call.seconds(rates[0] * SHARE, rates[1]) for call in made)
            step = next(call for call in made if call.name == "UNet").seconds(*rates) / STEPS
            sys.stdout.write(
                f"  {device:<12} estimate: at least {least:.2f} s, a UNet step {1e3 * step:.1f} ms"
                f"; at {SHARE:.0%} of the peak {likely:.1f} s\n"
            )


if __name__ == "__main__":
    main()
