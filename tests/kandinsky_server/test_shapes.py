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
from tests.support.lora_arrays import save

STEPS = {"num_inference_steps": 4, "prior_num_inference_steps": 3}


def lora(folder: Path, unet: Any) -> Path:
    """A LoRA of random numbers for the queries of a UNet's attention."""
    rng = np.random.default_rng(1)
    found = {}
    for name, shape in unet.weight_shapes().items():
        if name.endswith(".to_q.weight"):
            layer = f"unet.{name.removesuffix('.weight')}.lora"
            found[f"{layer}.down.weight"] = 0.3 * rng.standard_normal((4, shape[1]), np.float32)
            found[f"{layer}.up.weight"] = 0.3 * rng.standard_normal((shape[0], 4), np.float32)
    return save(folder / "style.safetensors", found)


@needs("jax")
@pytest.mark.slow(seconds=48)
def test_pictures_are_those_of_the_pipeline(http: Client, tmp_path: Path) -> None:
    pipe = AutoPipelineForText2Image.from_pretrained("shapes", backend="jax")
    pipe.set_progress_bar_config(disable=True)
    adapter = str(lora(tmp_path, pipe.unet))
    warm = (("text2image", None, None), ("img2img", None, None))
    loras = {"shapes": {"style": adapter}}
    settings = ServerSettings(port=0, warm_shapes=warm, loading={"backend": "jax"}, loras=loras)

    def ask(route: str = "generations", **more: Any) -> bytes:
        answer = client.post(f"/v1/images/{route}", json={**body, **more})
        assert answer.status_code == 200, answer.text
        return base64.b64decode(answer.json()["data"][0]["b64_json"])

    with KandinskyServer(settings) as server:
        client = http(server)
        (engine,) = server.service.engines.values()
        log: Any = engine._pipeline("text2image", None).unet.compilations  # type: ignore[attr-defined]
        before = len(log)
        body = {"prompt": "a red circle on blue", "seed": 3, "partial_images": 1, **STEPS}
        content = ask()
        url = f"data:image/png;base64,{base64.b64encode(content).decode()}"
        ask("edits", image=url, strength=0.5)
        adapted = ask(lora={"style": 0.8})
        assert ask() == content  # the adapter is out again
        assert log[before:] == []
        pictured = ask(ip_images=[url, url], ip_weights=[0.7, 0.3], ip_scale=0.4)

    def same(found: bytes, **more: Any) -> None:
        (alone,) = pipe("a red circle on blue", seed=[3], **STEPS, **more).images
        np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(found))), np.asarray(alone))

    same(content)
    assert len({content, adapted, pictured}) == 3
    image = Image.open(BytesIO(content))
    pipe.set_ip_adapter_scale(0.4)
    same(pictured, ip_adapter_image=[image, image], ip_adapter_weights=[0.7, 0.3])
    pipe.load_lora_weights(adapter, weight=0.8)
    same(adapted)
    (tmp_path / "a.png").write_bytes(adapted)
    found = read_metadata(tmp_path / "a.png")
    assert (found["seed"], found["lora"]) == (3, "style:0.8")
