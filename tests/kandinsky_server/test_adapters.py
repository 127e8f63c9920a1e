"""Adapters and pictures beside the prompt: what requests may ask for, and what reaches networks."""

from __future__ import annotations

import base64
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kandinsky_core.errors import CheckpointError, InvalidInputError
from kandinsky_server.build_request import build_request
from kandinsky_server.requests.api_errors import ApiError
from kandinsky_server.requests.fields import read_fields
from kandinsky_server.requests.picture_request import PictureRequest
from kandinsky_server.settings import ServerSettings
from kandinsky_server.work.adapters import Adapters
from kandinsky_server.work.served_tasks import find_tasks, takes_pictures
from tests.kandinsky_server.conftest import Client, Serve
from tests.kandinsky_server.test_jobs import state, submit, wait_for
from tests.support.fake_engine import FakeEngine
from tests.support.kandinsky3_adapters_folder import write_adapters
from tests.support.kandinsky3_ip_adapter_folder import write_ip_adapter
from tests.support.lora_arrays import Pipe, arrays, network, save

SETTINGS = ServerSettings(models={"fake": "fake"})


def png() -> bytes:
    held = BytesIO()
    Image.new("RGB", (8, 8), (1, 2, 3)).save(held, "PNG")
    return held.getvalue()


def built(body: dict[str, Any], count: int = 0, form: bool = False) -> PictureRequest:
    pictures = {"ip_images": [png()] * count} if count else {}
    given = read_fields({"prompt": "a", **body}, form=form)
    return build_request(given, pictures, {"fake": FakeEngine()}, SETTINGS)


def test_equal_scales_have_equal_keys_in_any_order() -> None:
    one = built({"lora": {"pixels": 0.5, "style": 0.8}})
    other = built({"lora": ['{"style": 0.8, "pixels": 0.5}']}, form=True)
    assert one.lora == (("style", 0.8), ("pixels", 0.5))
    assert one.batch_key == other.batch_key
    assert built({"lora": {"style": 0}}).batch_key == built({}).batch_key
    assert built({"lora": {"style": 0.7}}).batch_key != built({"lora": {"style": 0.8}}).batch_key
    assert PictureRequest.from_json(one.to_json(), {}) == one


def test_pictures_beside_the_prompt() -> None:
    request = built({"ip_weights": ["0.7", "0.3"], "ip_scale": ["0.4"]}, count=2, form=True)
    assert (request.task, request.ip_weights, request.ip_scale) == ("text2image", (0.7, 0.3), 0.4)
    assert built({}, count=1).ip_scale == 1.0  # the engine's own, settled before it is stored
    assert PictureRequest.from_json(request.to_json(), request.pictures) == request


@pytest.mark.parametrize(
    ("body", "count", "param", "words"),
    [
        ({"lora": {"pixel": 1}}, 0, "lora", "it has style, pixels"),
        ({"lora": {"style": "much"}}, 0, "lora.style", "from -10 to 10"),
        ({"lora": {"style": float("nan")}}, 0, "lora.style", "from -10 to 10"),
        ({"lora": "style:1"}, 0, "lora", '{"style": 0.8}'),
        ({"lora": {}}, 0, "lora", "1 to 16 entries"),
        ({"ip_scale": 0.5}, 0, "ip_scale", "were not sent"),
        ({"ip_weights": [1, 2]}, 1, "ip_weights", "2 entries for 1 pictures"),
        ({}, 9, "ip_images", "send at most 8"),
        ({"mix": [{"text": "a"}], "prompt": None}, 1, "ip_images", "for text2image, img2img"),
    ],
)
def test_refused(body: dict[str, Any], count: int, param: str, words: str) -> None:
    with pytest.raises(ApiError) as error:
        built(body, count)
    assert (error.value.status, error.value.param) == (400, param)
    assert words in error.value.message


def test_jobs_of_equal_scales_share_a_batch(serve: Serve, http: Client) -> None:
    engine = FakeEngine()
    client = http(serve(engine, batch_sizes=(1, 2)))
    assert client.get("/v1/capabilities").json()["models"]["fake"]["loras"] == ["style", "pixels"]
    engine.gate.clear()
    jobs = [submit(client, seed=0)]
    wait_for(lambda: engine.batches)
    for seed, scale in ((1, 0.5), (2, 0.8), (3, 0.5)):
        jobs.append(submit(client, seed=seed, lora={"style": scale}))
    engine.gate.set()
    wait_for(lambda: {state(client, job) for job in jobs} == {"completed"})
    assert engine.batches == [[0], [1, 3], [2]]
    assert jobs[1]["lora"] == {"style": 0.5}


def test_pictures_arrive_by_both_kinds_of_body(serve: Serve, http: Client) -> None:
    client = http(serve())
    files = [("ip_images[]", ("a.png", png(), "image/png"))] * 2
    form = {"prompt": "a", "ip_weights[]": ["0.6", "0.4"], "lora": json.dumps({"style": 1})}
    assert client.post("/v1/images/generations", data=form, files=files).status_code == 200
    url = f"data:image/png;base64,{base64.b64encode(png()).decode()}"
    job = submit(client, ip_images=[url, url], ip_weights=[0.6, 0.4])
    assert job["inputs"] == {"ip_images": 2}
    assert client.get(f"/v1/jobs/{job['id']}/inputs/ip_images?index=1").status_code == 200
    # A picture beside the prompt is none to start from.
    refused = client.post("/v1/images/edits", json={"prompt": "a", "ip_images": url})
    assert refused.json()["error"]["param"] == "image"


def test_chosen_adapters_are_in_the_weights_and_no_others(tmp_path: Path) -> None:
    files = {
        name: str(save(tmp_path / name / "pytorch_lora_weights.safetensors", arrays()))
        for name in ("style", "pixels")
    }
    adapters, pipe, alone = Adapters(files), Pipe(unet=network()), Pipe(unet=network())
    adapters.load(pipe, required=True)

    def same(left: Any, right: Any) -> bool:
        return all(np.array_equal(left[name], right[name]) for name in right)

    assert same(pipe.networks["unet"].weights, network().weights)
    for name in files:
        alone.load_lora_weights(files[name], adapter_name=name)
    for names, scales in ((["pixels", "style"], [0.5, 2]), (["style"], [0.25]), (["style"], [1])):
        adapters.choose(pipe, list(zip(names, scales, strict=True)))
        alone.set_adapters(names, scales)
        assert same(pipe.networks["unet"].weights, alone.networks["unet"].weights)
        assert not same(pipe.networks["unet"].weights, network().weights)
    adapters.choose(pipe, ())
    assert same(pipe.networks["unet"].weights, network().weights)


def test_adapters_that_are_missing_or_fit_another_task(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="--lora style"):
        Adapters({"style": str(tmp_path / "none.safetensors")})
    of_prior = {
        "transformer_blocks.0.attn1.to_q.lora_A.weight": np.ones((1, 2), np.float32),
        "transformer_blocks.0.attn1.to_q.lora_B.weight": np.ones((2, 1), np.float32),
    }
    path = save(tmp_path / "a" / "pytorch_lora_weights.safetensors", of_prior)
    adapters, pipe = Adapters({"style": str(path)}), Pipe(unet=network())
    with pytest.raises(CheckpointError, match=r"--lora style: .*for the prior"):
        adapters.load(pipe, required=True)
    adapters.load(pipe, required=False)
    with pytest.raises(InvalidInputError, match="style was trained for another task"):
        adapters.choose(pipe, [("style", 1.0)])


def test_settings_name_models_that_are_served() -> None:
    for setting in ({"loras": {"other": {"style": "a"}}}, {"branches": {"other": "b"}}):
        with pytest.raises(InvalidInputError, match="other is not served"):
            ServerSettings(**setting)  # type: ignore[arg-type]


def test_tasks_of_models_with_hints_and_pictures(tmp_path: Path) -> None:
    assert list(find_tasks("shapes", {})) == [
        *("text2image", "interpolate", "img2img", "inpaint", "controlnet", "upscale")
    ]
    whole, plain = str(write_adapters(tmp_path / "a")), str(write_ip_adapter(tmp_path / "b"))
    hinted = ["controlnet", "controlnet_img2img"]
    assert list(find_tasks(whole, {})) == hinted
    beside = find_tasks(plain, {}, branch=True)
    assert list(beside) == ["text2image", "img2img", *hinted]
    assert [beside[name] for name in hinted] == list(find_tasks(whole, {}).values())
    with pytest.raises(InvalidInputError, match="no UNet of Kandinsky 3"):
        find_tasks("shapes", {}, branch=True)

    class Config:
        num_image_tokens = 4

    taking = [takes_pictures(made, Config()) for made in beside.values()]
    assert (taking, takes_pictures(beside["text2image"], object())) == ([True] * 4, False)
