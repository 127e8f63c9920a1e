"""The weights of a backend's networks go into files and come back, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kandinsky_core import (
    Kandinsky3Pipeline,
    PriorTransformer,
    T5EncoderModel,
    VQModel,
)
from kandinsky_core.checkpoints.hub import EMBEDDED
from kandinsky_core.checkpoints.safetensors_files import SafetensorsFiles
from kandinsky_core.checkpoints.weight_files import find_weight_files
from tests.support.backends import BACKENDS
from tests.support.kandinsky3_folder import write_kandinsky3

ATTENTION = "transformer_blocks.0.attn1.to_q.weight"


def files(folder: Path, variant: str | None = None) -> SafetensorsFiles:
    return SafetensorsFiles(find_weight_files(folder, variant))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("network", "subfolder", "part", "code"),
    [
        (PriorTransformer, "prior", "prior", "F16"),
        (VQModel, "movq", "decoder", "F32"),
    ],
)
def test_the_embedded_networks_in_half_precision(
    tmp_path: Path, backend: str, network: Any, subfolder: str, part: str, code: str
) -> None:
    loaded = network.from_pretrained(
        "shapes", subfolder=subfolder, torch_dtype="float16", backend=backend
    )
    loaded.save_pretrained(tmp_path, variant="fp16", max_shard_size="2MB")
    published = files(EMBEDDED["shapes"] / part / subfolder)
    written = files(tmp_path, "fp16")
    assert len(find_weight_files(tmp_path, "fp16")) > 1
    assert set(written.names()) == set(published.names())
    for name in published.names():
        assert written.spec(name) == (published.spec(name)[0], code)
        assert np.array_equal(written.read(name), published.read(name).astype(np.float32)), name


@pytest.mark.parametrize("backend", BACKENDS)
def test_replaced_weights_are_saved_and_offloaded_ones_too(tmp_path: Path, backend: str) -> None:
    prior = PriorTransformer.from_pretrained("shapes", subfolder="prior", backend=backend)
    (before,) = prior.read_weights([ATTENTION]).values()
    prior.update_weights({ATTENTION: before + 1})
    prior.offload()
    prior.save_pretrained(tmp_path)
    assert np.array_equal(files(tmp_path).read(ATTENTION), before + 1)
    again = PriorTransformer.from_pretrained(tmp_path, backend=backend)
    assert np.array_equal(again.read_weights([ATTENTION])[ATTENTION], before + 1)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_text_encoder_that_is_read_block_by_block(tmp_path: Path, backend: str) -> None:
    model = write_kandinsky3(tmp_path / "model")
    pipe = Kandinsky3Pipeline.from_pretrained(
        model, backend=backend, text_encoder_loading="streamed", tokenizer=None, unet=None
    )
    pipe.text_encoder.save_pretrained(tmp_path / "saved")
    whole = T5EncoderModel.from_pretrained(model, subfolder="text_encoder", backend=backend)
    written = files(tmp_path / "saved")
    values = whole.read_weights(whole.weight_shapes())
    assert set(written.names()) == set(values)
    assert all(np.array_equal(written.read(name), values[name]) for name in values)
