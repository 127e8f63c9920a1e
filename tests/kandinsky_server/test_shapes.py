"""The embedded model behind the server: the same pictures as from Python, and zero compilations."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kandinsky_core import AutoPipelineForText2Image
from kandinsky_core.pictures.metadata import read_metadata
from kandinsky_server.server import KandinskyServer
from kandinsky_server.settings import ServerSettings
from tests.kandinsky_server.conftest import Client
from tests.support.backends import needs

STEPS = {"num_inference_steps": 4, "prior_num_inference_steps": 3}


@needs("jax")
@pytest.mark.slow(seconds=40)
def test_pictures_are_those_of_the_pipeline(http: Client, tmp_path: Path) -> None:
    warm = (("text2image", None, None), ("img2img", None, None))
    settings = ServerSettings(port=0, warm_shapes=warm, loading={"backend": "jax"})
    with KandinskyServer(settings) as server:
        client = http(server)
        (engine,) = server.service.engines.values()
        log: Any = engine._pipeline("text2image", None).unet.compilations  # type: ignore[attr-defined]
        before = len(log)
        body = {"prompt": "a red circle on blue", "seed": 3, "partial_images": 1, **STEPS}
        answer = client.post("/v1/images/generations", json=body).json()
        content = base64.b64decode(answer["data"][0]["b64_json"])
        url = f"data:image/png;base64,{base64.b64encode(content).decode()}"
        changed = client.post("/v1/images/edits", json={**body, "image": url, "strength": 0.5})
        assert changed.status_code == 200, changed.text
        assert log[before:] == []
    (tmp_path / "a.png").write_bytes(content)
    pipe = AutoPipelineForText2Image.from_pretrained("shapes", backend="jax")
    pipe.set_progress_bar_config(disable=True)
    (alone,) = pipe("a red circle on blue", seed=[3], **STEPS).images
    np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(content))), np.asarray(alone))
    assert read_metadata(tmp_path / "a.png")["seed"] == 3
