"""LoRA of Kandinsky 3 in the authors' names against numbers of their own code."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from kandinsky_converters.originals.kandinsky3_fork import fork_config
from kandinsky_converters.originals.tensors import OriginalTensors
from kandinsky_core.schedulers.schedule import make_rows
from tests.support.backends import BACKENDS, needs
from tests.support.dict_tensors import DictTensors
from tests.support.kandinsky3_fork_folder import LORA_DATA, fork_config_of, fork_weights
from tests.support.tolerances import allowed

LOG = logging.getLogger(__name__)
FILE = LORA_DATA / "lora.safetensors"


def network(backend: Any, name: str, kind: str, class_name: str) -> Any:
    tensors = OriginalTensors(kind, DictTensors(fork_weights(name)))
    config = fork_config(fork_config_of(name), tensors)
    source = SimpleNamespace(class_name=class_name, config=config, tensors=lambda: tensors)
    return backend.load(source, "float32")


@pytest.mark.slow(seconds=10)
@pytest.mark.parametrize("backend", BACKENDS)
def test_outputs_at_three_scales(backend_of: Callable[[str], Any], backend: str) -> None:
    """Each projection becomes W + s * up @ down, the output layer too; then all is as before."""
    unet = network(backend_of(backend), "unet", "unet3", "Kandinsky3UNet")
    base, wanted = (np.load(LORA_DATA / f"{name}.npz") for name in ("base_unet", "lora"))
    row = make_rows(1, x0_from_output=1, x0_clip=np.inf, mean_from_x0=1)[0]
    told = {"text_encoder_hidden_states": base["states"], "attention_mask": base["mask"] > 0}
    before = unet.read_weights(unet.weight_shapes())
    unet.load_lora_adapter(FILE, prefix=None, adapter_name="theirs")
    programs = None
    for name, scale in (("1", 1.0), ("0p5", 0.5), ("0", 0.0)):
        unet.set_adapters("theirs", scale)
        run = unet.begin(wanted["x"], told, 1.0)
        run.step(float(wanted["timesteps"][0]), row, None)
        out = wanted[f"out_scale_{name}"]
        error = np.linalg.norm(run.read() - out) / np.linalg.norm(out)
        LOG.info("%s, scale %g: %.2g", backend, scale, error)
        assert error <= allowed("3 unet")
        count = len(unet.compilations or ())
        assert programs in (None, count), "a scale compiled anew"
        programs = count
    unet.load_lora_adapter(FILE, prefix=None, adapter_name="again")
    unet.set_adapters(["theirs", "again"], [0.25, 0.5])
    unet.unload_lora()
    for name, array in unet.read_weights(before).items():
        np.testing.assert_array_equal(array, before[name])


@needs("jax")
def test_the_branch_takes_one_too(backend_of: Callable[[str], Any]) -> None:
    branch = network(
        backend_of("jax"), "unet_controlnet", "controlnet3", "Kandinsky3ControlNetModel"
    )
    elsewhere = ("up_samples", "down_samples.3")  # the branch ends with the third level
    ways_down = {
        name: array for name, array in load_file(FILE).items() if not name.startswith(elsewhere)
    }
    path = "down_samples.1.resnet_attn_blocks.0.1.attention.processor.to_out_lora"
    target = "down_blocks.1.attentions.1.attention.to_out.0.weight"
    before = branch.read_weights([target])[target]
    branch.load_lora_adapter(ways_down, prefix=None)
    change = ways_down[f"{path}.up.weight"] @ ways_down[f"{path}.down.weight"]
    found = branch.read_weights([target])[target]
    assert np.abs(change).max() > 1000 * np.abs(found - before - change).max()
    branch.unload_lora()
    np.testing.assert_array_equal(branch.read_weights([target])[target], before)
