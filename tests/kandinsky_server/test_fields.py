"""Fields of requests: what is read, what is refused, and in which words."""

from __future__ import annotations

import base64
import contextlib
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from kandinsky_server.build_request import build_request
from kandinsky_server.requests.api_errors import ApiError
from kandinsky_server.requests.fields import FIELDS, read_fields
from kandinsky_server.requests.picture_request import PictureRequest
from kandinsky_server.requests.uploads import decoded_data_url, read_mask, read_picture
from kandinsky_server.settings import ServerSettings
from tests.support.fake_engine import FakeEngine

LIMITS = {"most_bytes": 100_000, "most_pixels": 10_000}
ENGINES = {"fake": FakeEngine()}
SETTINGS = ServerSettings(models={"fake": "fake"})


def built(body: dict[str, Any], form: bool = False, **pictures: list[bytes]) -> PictureRequest:
    return build_request(read_fields(body, form=form), pictures, ENGINES, SETTINGS)


def file(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    held = BytesIO()
    image.save(held, form, **options)
    return held.getvalue()


PNG = file(Image.new("RGB", (8, 8), (1, 2, 3)))


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({"prompt": 3}, "prompt", "give a text"),
        ({"prompt": "a" * 4001}, "prompt", "at most 4000"),
        ({"prompt": "\ud800"}, "prompt", "Unicode"),
        ({"prompt": "a", "n": 0}, "n", "from 1 to 10"),
        ({"prompt": "a", "n": True}, "n", "whole number"),
        ({"prompt": "a", "n": 2, "seed": [1, 2, 3]}, "seed", "3 entries for n=2"),
        ({"prompt": "a", "seed": 2**53}, "seed", "from 0 to"),
        ({"prompt": "a", "seed": []}, "seed", "one for each picture"),
        ({"prompt": "a", "size": "32"}, "size", "WIDTHxHEIGHT"),
        ({"prompt": "a", "size": "99999x99999"}, "size", "at most 8192"),
        ({"prompt": "a", "size": "9000x8"}, "size", "at most 8192"),
        ({"prompt": "a", "size": "8192x8192"}, "size", "ask for at most"),
        ({"prompt": "a", "upscale": 2}, "upscale", "give 4"),
        ({"prompt": "a", "size": "32x32", "width": 32, "height": 32}, "size", "beside"),
        ({"prompt": "a", "width": 32}, "size", "belong together"),
        (
            {"prompt": "a", "steps": 2, "num_inference_steps": 3},
            "num_inference_steps",
            "as steps and",
        ),
        ({"prompt": "a", "guidance_scale": float("inf")}, "guidance_scale", "from 0 to 20"),
        ({"prompt": "a", "strength": 0.5}, "strength", "text2image with fake takes none"),
        ({"prompt": "a", "svg": True}, "svg", "not supported"),
        ({"prompt": "a", "output_format": "gif"}, "output_format", "png, jpeg, webp"),
        ({"task": "upscale", "prompt": "a"}, "image", "is missing"),
        ({"mix": [{"text": "a", "image": 0}]}, "mix", "either a text or an image"),
        ({"mix": [{"image": 1}]}, "mix", "picture 1"),
        ({"mix": [{"text": "a", "weight": 0}]}, "mix", "all weights are 0"),
        ({}, "prompt", "is missing"),
        ({"prompt": "a", "model": "x"}, "model", "served are fake"),
    ],
)
def test_refused(body: dict[str, Any], param: str, words: str) -> None:
    with pytest.raises(ApiError) as error:
        built(body)
    assert error.value.param == param
    assert words in error.value.message
    assert error.value.status in (400, 404)


def test_forms_and_their_numbers() -> None:
    request = built(
        {"prompt": ["a"], "strength": ["0.25"], "seed[]": ["1", "2"], "cfg_scale": ["3"]},
        form=True,
        image=[PNG],
    )
    assert (request.task, request.seeds) == ("img2img", (1, 2))
    assert request.options["strength"] == 0.25
    assert request.options["guidance_scale"] == 3
    with pytest.raises(ApiError, match="2 times"):
        built({"prompt": ["a", "b"]}, form=True)


def test_what_has_no_effect_is_named() -> None:
    request = built({"prompt": "a", "quality": "hd", "style": "auto", "user": "me"})
    assert request.warnings == ("quality has no effect here", "user has no effect here")
    ignoring = read_fields({"prompt": "a", "zoom": 1}, form=False, ignore_unknown=True)
    assert ignoring.warnings == ("zoom is unknown and was ignored",)


def test_a_request_survives_json() -> None:
    request = built({"mix": [{"text": "a", "weight": 0.25}, {"image": 0}]}, image=[PNG])
    assert PictureRequest.from_json(request.to_json(), request.pictures) == request


@given(
    st.dictionaries(
        st.sampled_from([*FIELDS, "x"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.text(max_size=5), inner, max_size=3)
            ),
            max_leaves=5,
        ),
        max_size=4,
    ),
    st.booleans(),
)
@settings(max_examples=200, deadline=None, database=None)
def test_any_body_is_read_or_refused(body: dict[str, Any], form: bool) -> None:
    with contextlib.suppress(ApiError):
        assert built(body, form).task


def test_uploads() -> None:
    turned = Image.new("RGB", (8, 4))
    exif = turned.getexif()
    exif[0x0112] = 6
    upright = read_picture("image", file(turned, "JPEG", exif=exif), **LIMITS)
    assert Image.open(BytesIO(upright)).size == (4, 8)
    for content, words in (
        (file(Image.new("RGB", (8, 8)), "GIF"), "send a PNG, a JPEG or a WebP"),
        (file(Image.new("RGB", (200, 200))), "200 x 200 pixels"),
        (PNG[:50], "cannot be read"),
        (b"", "empty"),
    ):
        with pytest.raises(ApiError, match=words) as error:
            read_picture("image", content, **LIMITS)
        assert error.value.code == "image_undecodable"
    with pytest.raises(ApiError) as error:
        read_picture("image", b"\0" * 100_001, **LIMITS)
    assert error.value.status == 413


def test_masks_of_openai_and_of_diffusers() -> None:
    clear = Image.new("RGBA", (2, 1), (9, 9, 9, 255))
    clear.putpixel((1, 0), (9, 9, 9, 0))
    white = Image.new("L", (2, 1))
    white.putpixel((1, 0), 255)
    for mask in (clear, white, white.convert("RGB"), white.convert("RGBA")):
        found = Image.open(BytesIO(read_mask("mask", file(mask), **LIMITS)))
        assert list(found.getdata()) == [0, 255]
    for nothing in (Image.new("L", (2, 1)), Image.new("RGBA", (2, 1), (0, 0, 0, 255))):
        with pytest.raises(ApiError, match="repaints nothing"):
            read_mask("mask", file(nothing), **LIMITS)


def test_addresses_are_never_fetched() -> None:
    text = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    assert decoded_data_url("image", text, 10_000) == PNG
    for wrong in ("http://127.0.0.1/", "file:///etc/passwd", "data:image/png,abc", "%%"):
        with pytest.raises(ApiError):
            decoded_data_url("image", wrong, 10_000)
    with pytest.raises(ApiError) as error:
        decoded_data_url("image", text, 10)
    assert error.value.status == 413
