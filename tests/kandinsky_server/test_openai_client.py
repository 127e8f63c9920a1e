"""The unmodified OpenAI client against a live server."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.kandinsky_server.conftest import Serve
from tests.support.fake_engine import FakeEngine, colour_of

openai = pytest.importorskip("openai")


@pytest.fixture
def client() -> Iterator[Callable[..., Any]]:
    """OpenAI's clients of servers; a test's clients end with it."""
    with ExitStack() as stack:

        def start(server: Any, api_key: str = "none", **options: Any) -> Any:
            made = openai.OpenAI(base_url=f"{server.url}/v1", api_key=api_key, **options)
            return stack.enter_context(made)

        yield start


def opened(b64_json: str) -> Image.Image:
    return Image.open(BytesIO(base64.b64decode(b64_json)))


def png(*size: int, mode: str = "RGB", colour: Any = 0) -> BytesIO:
    held = BytesIO()
    Image.new(mode, size or (16, 16), colour).save(held, "PNG")
    held.name = "picture.png"
    held.seek(0)
    return held


def test_nothing_but_a_prompt(serve: Serve, client: Callable[..., Any]) -> None:
    answer = client(serve()).images.generate(prompt="a cat")
    (picture,) = answer.data
    image = opened(picture.b64_json)
    assert image.size == (32, 32)
    assert answer.size == "32x32"
    assert image.getpixel((0, 0)) == colour_of(picture.model_extra["seed"])


def test_fields_of_diffusers_and_a_free_size(serve: Serve, client: Callable[..., Any]) -> None:
    answer = client(serve()).images.generate(
        prompt="a cat", size="96x64", n=2, extra_body={"seed": [1, 2], "steps": 2}
    )
    assert answer.size == "96x64"
    assert [one.model_extra["seed"] for one in answer.data] == [1, 2]
    assert [opened(one.b64_json).size for one in answer.data] == [(96, 64)] * 2


def test_a_seed_stands_for_consecutive_ones(serve: Serve, client: Callable[..., Any]) -> None:
    answer = client(serve()).images.generate(prompt="a", n=3, extra_body={"seed": 7})
    assert [one.model_extra["seed"] for one in answer.data] == [7, 8, 9]


def test_a_stream_with_partial_pictures(serve: Serve, client: Callable[..., Any]) -> None:
    events = client(serve()).images.generate(
        prompt="a", stream=True, partial_images=2, extra_body={"seed": 5}
    )
    found = list(events)
    kinds = [event.type.removeprefix("image_generation.") for event in found]
    assert kinds == ["partial_image", "partial_image", "completed"]
    assert [event.partial_image_index for event in found[:2]] == [0, 1]
    assert [event.size for event in found] == ["24x24", "24x24", "32x32"]
    assert opened(found[-1].b64_json).getpixel((0, 0)) == colour_of(5)


def test_edits_with_one_picture_several_and_a_mask(
    serve: Serve, client: Callable[..., Any]
) -> None:
    images = client(serve()).images
    one = images.edit(image=png(), prompt="a", extra_body={"strength": 0.3, "seed": [1, 2]}, n=2)
    assert [entry.model_extra["seed"] for entry in one.data] == [1, 2]
    clear = png(mode="RGBA", colour=(0, 0, 0, 0))
    assert images.edit(image=png(), mask=clear, prompt="a").data
    with pytest.raises(openai.BadRequestError) as error:
        images.edit(image=[png(), png()], prompt="a")
    assert error.value.param == "image"
    with pytest.raises(openai.BadRequestError) as error:
        images.edit(image=png(), mask=png(mode="RGBA", colour=(0, 0, 0, 255)), prompt="a")
    assert error.value.param == "mask"
    assert images.create_variation(image=png()).data


def test_errors_name_the_field_and_the_reason(serve: Serve, client: Callable[..., Any]) -> None:
    images = client(serve()).images
    with pytest.raises(openai.BadRequestError) as error:
        images.generate(prompt="a", extra_body={"num_inference_stepz": 3})
    assert error.value.code == "unknown_field"
    assert "num_inference_steps" in error.value.message
    with pytest.raises(openai.BadRequestError) as error:
        images.generate(prompt="a", size="33x32")
    assert "multiple of 8" in error.value.message
    with pytest.raises(openai.NotFoundError) as error:
        images.generate(prompt="a", model="gpt-image-2")
    assert error.value.code == "model_not_found"
    assert error.value.request_id


def test_a_failure_is_not_tried_again(serve: Serve, client: Callable[..., Any]) -> None:
    engine = FakeEngine()
    server = serve(engine)
    engine.batches.clear()
    engine.failure = RuntimeError("secret detail")
    with pytest.raises(openai.InternalServerError) as error:
        client(server).images.generate(prompt="a")
    assert len(engine.batches) == 1
    assert "secret" not in error.value.message


def test_a_full_queue_is_waited_for(serve: Serve, client: Callable[..., Any]) -> None:
    server = serve(FakeEngine(step_seconds=0.05), max_queue=1)
    found = []
    images = client(server, max_retries=9).images

    def ask() -> None:
        found.append(images.generate(prompt="a").data)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4


def test_keys(serve: Serve, client: Callable[..., Any]) -> None:
    server = serve(api_keys=("right",))
    with pytest.raises(openai.AuthenticationError) as error:
        client(server).images.generate(prompt="a")
    assert error.value.code == "invalid_api_key"
    right = client(server, "right")
    assert right.images.generate(prompt="a").data
    assert [model.id for model in right.models.list()] == ["fake"]


def test_the_asynchronous_client(serve: Serve) -> None:
    server = serve()

    async def ask() -> list[Any]:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none") as images:
            plain = await images.images.generate(prompt="a", extra_body={"seed": 1})
            stream = await images.images.generate(prompt="a", stream=True, partial_images=1)
            return [plain, *[event.type async for event in stream]]

    plain, *kinds = asyncio.run(ask())
    assert plain.data[0].model_extra["seed"] == 1
    assert kinds == ["image_generation.partial_image", "image_generation.completed"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png().getvalue())
    url = f"{serve().url}/v1/images"
    edit = ["-F", f"image=@{tmp_path / 'a.png'}", "-F", "prompt=a", f"{url}/edits"]
    for words in (["-d", '{"prompt": "a"}', f"{url}/generations"], edit):
        done = subprocess.run(["curl", "-sSf", *words], capture_output=True, check=True)
        assert opened(json.loads(done.stdout)["data"][0]["b64_json"]).size == (32, 32)
