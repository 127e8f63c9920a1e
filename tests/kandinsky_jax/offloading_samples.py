"""What lies on a device while pipelines are loaded and run; `test_offloading_jax` starts this.

JAX divides the CPU into two, and the second one stands for an accelerator: of its memory only what
JAX keeps count of is looked at, the arrays that are alive.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from kandinsky_core import AutoPipelineForText2Image, Kandinsky3Pipeline
from kandinsky_jax.backend import JaxBackend
from kandinsky_jax.components.denoise import JaxRun
from kandinsky_jax.components.network import JaxNetwork
from kandinsky_jax.components.t5_streaming import StreamedT5TextEncoder

DEVICE = "cpu:1"
FEW: dict[str, Any] = {"num_inference_steps": 2, "output_type": "np", "seed": 0}


def live() -> int:
    """Bytes of all arrays there."""
    where = jax.local_devices()[1]
    return sum(array.nbytes for array in jax.live_arrays() if where in array.devices())


class Samples:
    """Taken at every loading and use: what is there of the network at work, and what else is."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, str, int, int]] = []

    def take(self, when: str, network: Any, weights: Any) -> None:
        """Note it, under the network's class."""
        own = sum(leaf.nbytes for leaf in jax.tree.leaves(weights) if isinstance(leaf, jax.Array))
        self.taken.append((when, type(network.config).CLASS_NAME, own, live() - own))

    def watch(self) -> None:
        """Look on from now on."""
        placed, step, load = JaxNetwork.placed_weights, JaxRun.step, JaxBackend.load
        block = StreamedT5TextEncoder._apply_block

        def placed_weights(network: Any, *arguments: Any) -> Any:
            weights = placed(network, *arguments)
            self.take("use", network, weights)
            return weights

        def run_step(run: Any, *arguments: Any) -> None:
            step(run, *arguments)
            self.take("step", run._denoiser, run._weights)

        def load_network(backend: Any, *arguments: Any) -> Any:
            network = load(backend, *arguments)
            self.take("load", network, network._weights)
            return network

        def apply_block(encoder: Any, *arguments: Any) -> Any:
            rows = block(encoder, *arguments)
            self.take("block", encoder, ())
            return rows

        JaxNetwork.placed_weights = placed_weights  # type: ignore[method-assign]
        JaxRun.step = run_step  # type: ignore[method-assign]
        JaxBackend.load = load_network  # type: ignore[method-assign]
        StreamedT5TextEncoder._apply_block = apply_block  # type: ignore[method-assign]


def preview(pipe: Any, index: int, timestep: int, values: dict[str, Any]) -> dict[str, Any]:
    """Use another network between two steps."""
    decoded = pipe.movq.decode(values["latents"])
    assert np.isfinite(decoded).all()
    return {}


def kandinsky2(**options: Any) -> Any:
    """Prior and decoder, offloaded while they are loaded or after."""
    pipe = AutoPipelineForText2Image.from_pretrained(
        "shapes", backend="jax", device=DEVICE, **options
    )
    if not options:
        pipe.enable_model_cpu_offload()
    pipe.set_progress_bar_config(disable=True)
    pipe("a red circle", callback_on_step_end=preview, prior_num_inference_steps=2, **FEW)
    return pipe


def kandinsky3(folder: str, loading: str) -> Any:
    """A text encoder that is loaded for a text; two texts, so that it comes back."""
    pipe = Kandinsky3Pipeline.from_pretrained(
        folder, backend="jax", device=DEVICE, tokenizer=None, text_encoder_loading=loading
    )
    pipe.set_progress_bar_config(disable=True)
    for token in (3, 4):
        mask = np.ones((1, 8), bool)
        states = pipe.text_encoder.encode(np.full((1, 8), token, np.int32), mask)
        texts = {"prompt_embeds": states, "attention_mask": mask}
        pipe(**texts, height=64, width=64, callback_on_step_end=preview, **FEW)
    return pipe


def main() -> None:
    """Print the samples of the cases that are named, as JSON."""
    gc.disable()  # nothing may depend on when Python clears up
    folder, *wanted = sys.argv[1:]
    cases: dict[str, Callable[[], Any]] = {
        "offload": lambda: kandinsky2(offload=True),
        "enable_model_cpu_offload": kandinsky2,
        "on_demand": lambda: kandinsky3(folder, "on_demand"),
        "streamed": lambda: kandinsky3(folder, "streamed"),
    }
    samples = Samples()
    samples.watch()
    found = {}
    for name in wanted:
        samples.taken = []
        pipe = cases[name]()
        found[name] = {"samples": samples.taken, "after": live(), "device": pipe.device}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
