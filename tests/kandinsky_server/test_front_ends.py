"""What chat front ends send, reproduced from their public sources, against a live server.

LibreChat (api/app/clients/tools/structured/OpenAIImageTools.js) asks by OpenAI's client and changes
pictures by a form of its own. SillyTavern (public/scripts/extensions/stable-diffusion/index.js)
sends JSON. Both read `data[0].b64_json`, and show `error.message` or the answer's text.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from tests.kandinsky_server.conftest import Client, Serve
from tests.kandinsky_server.test_openai_client import opened, png

BOUNDARY = "--------------------------735323031399963166993862"


def librechat(prompt: str, output_format: str) -> dict[str, Any]:
    """Its fields of a generation; JSON leaves out what is undefined there."""
    compressed = {} if output_format == "png" else {"output_compression": 100}
    return {
        "model": "gpt-image-1",
        "prompt": prompt,
        "n": 1,
        "background": "auto",
        "output_format": output_format,
        **compressed,
        "quality": "auto",
        "size": "auto",
    }


def sillytavern(model: str, size: str) -> dict[str, Any]:
    """Its fields; those of DALL-E 3 are undefined for other models."""
    own = {"quality": "standard", "style": "vivid"} if model == "dall-e-3" else {}
    body = {"prompt": "a cat", "model": model, "size": size, "n": 1, **own}
    return {**body, "response_format": "b64_json"}


@pytest.mark.parametrize("output_format", ["png", "jpeg", "webp"])
def test_librechat_asks_for_a_picture(serve: Serve, http: Client, output_format: str) -> None:
    client = http(serve(models={"gpt-image-1": "a model"}, api_keys=("right",)))
    answer = client.post(
        "/v1/images/generations",
        json=librechat("a cat", output_format),
        headers={"Authorization": "Bearer right", "X-Stainless-Lang": "js"},
    )
    assert answer.status_code == 200, answer.text
    picture = opened(answer.json()["data"][0]["b64_json"])
    assert (picture.format, picture.size) == (output_format.upper(), (32, 32))
    assert answer.json()["warnings"] == []


def form(fields: dict[str, str], files: list[bytes]) -> Iterator[bytes]:
    """A form as Node's `form-data` streams it, without a length."""
    for name, value in fields.items():
        yield f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode()
        yield value.encode() + b"\r\n"
    for number, content in enumerate(files):
        place = f'form-data; name="image[]"; filename="img-{number}.png"'
        head = f"--{BOUNDARY}\r\nContent-Disposition: {place}\r\nContent-Type: image/png\r\n\r\n"
        yield head.encode()
        yield content
        yield b"\r\n"
    yield f"--{BOUNDARY}--\r\n".encode()


def test_librechat_changes_a_picture(serve: Serve, http: Client) -> None:
    client = http(serve(models={"gpt-image-1": "a model"}))
    fields = {"model": "gpt-image-1", "prompt": "a dog", "quality": "auto", "size": "auto"}
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}

    def edit(count: int) -> Any:
        content = form(fields, [png(16, 16).getvalue()] * count)
        return client.post("/v1/images/edits", content=content, headers=headers)

    answer = edit(1)
    assert answer.status_code == 200, answer.text
    assert opened(answer.json()["data"][0]["b64_json"]).size == (32, 32)
    refused = edit(2)  # it shows the message
    assert refused.status_code == 400
    assert "starts from one" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("model", "size"),
    [("dall-e-3", "1024x1024"), ("dall-e-2", "512x512"), ("gpt-image-1", "1024x1024")],
)
def test_sillytavern_asks_for_a_picture(serve: Serve, http: Client, model: str, size: str) -> None:
    client = http(serve(models={model: "a model"}))
    answer = client.post("/v1/images/generations", json=sillytavern(model, size))
    assert answer.status_code == 200, answer.text
    content = base64.b64decode(answer.json()["data"][0]["b64_json"])
    picture = Image.open(BytesIO(content))
    assert (picture.format, picture.size) == ("PNG", tuple(map(int, size.split("x"))))
    effects = [word for word in ("quality", "style") if f"{word} has no effect here" in answer.text]
    assert effects == (["quality", "style"] if model == "dall-e-3" else [])
