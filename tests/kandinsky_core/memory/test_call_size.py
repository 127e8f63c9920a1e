"""A call that surely needs more memory than there is is refused before anything is computed."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kandinsky_cli.main import main
from kandinsky_core import KandinskyV22PriorPipeline
from kandinsky_core.denoising.noise import as_generators
from kandinsky_core.errors import DeviceMemoryError, InvalidInputError
from kandinsky_core.memory import call_size
from kandinsky_core.seam.device_memory import DeviceMemory
from tests.kandinsky_core.memory.test_check import Accelerator
from tests.kandinsky_core.pipelines.test_kandinsky3 import pipeline as kandinsky_3
from tests.support.fakes import (
    WIDTH,
    FakeNetwork,
    combined_pipeline,
    decoder_pipeline,
    emb2emb_pipeline,
    image_pipeline,
)
from tests.support.fakes_2_1 import combined as combined_2_1

EMBEDS: tuple[Any, Any] = (np.ones((1, WIDTH)), np.zeros((1, WIDTH)))
GREY = Image.new("RGB", (16, 16))
WHITE = Image.new("L", (16, 16), 255)
HUGE = {"height": 100_000, "width": 100_000}
MANY = {"num_images_per_prompt": 10**9}
GIB = 2**30


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host of 24 GiB, whatever machine runs the tests."""
    monkeypatch.setattr(call_size, "host_size", lambda: 24 * GIB)


def device(total: int, name: str = "gpu:0") -> DeviceMemory:
    return DeviceMemory(device=name, total=total, free=0, host=False, filled_by_load=True)


CALLS: dict[str, Any] = {
    "2.2 decoder": lambda **call: decoder_pipeline()(*EMBEDS, **call),
    "2.2 image": lambda **call: image_pipeline("img2img")(EMBEDS[0], GREY, EMBEDS[1], **call),
    "2.2 inpaint": lambda **call: image_pipeline("inpaint")(
        EMBEDS[0], GREY, WHITE, EMBEDS[1], **call
    ),
    "2.2 hint": lambda **call: image_pipeline("controlnet")(*EMBEDS, GREY, **call),
    "2.2 both": lambda **call: combined_pipeline()("a", **call),
    "2.1 both": lambda **call: combined_2_1("decoder")("a", **call),
    "3": lambda **call: kandinsky_3()("a", **call),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_huge_picture_is_refused(name: str) -> None:
    with pytest.raises(DeviceMemoryError) as caught:
        CALLS[name](**HUGE)
    text = str(caught.value)
    assert text.startswith("1 picture of 100000 x 100000 pixels: the pixels alone take 111.8 GiB")
    assert text.endswith(
        "on the host, which has 24.0 GiB: make a smaller picture or fewer at a time, or set "
        "KANDINSKY_MEMORY_CHECK=off to try all the same"
    )


@pytest.mark.parametrize("name", CALLS)
def test_a_huge_number_of_pictures_is_refused(name: str) -> None:
    with pytest.raises(DeviceMemoryError, match=r"1000000000 (pictures of|rows of the prior)"):
        CALLS[name](**MANY, height=16, width=16)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("steps", [10**12, 10**400, 10**5000], ids=["12", "400", "5000"])
def test_a_huge_number_of_steps_is_refused(name: str, steps: int) -> None:
    with pytest.raises(InvalidInputError, match="num_inference_steps"):
        CALLS[name](num_inference_steps=steps)


@pytest.mark.parametrize("size", [10**30, 10**5000], ids=["30", "5000"])
def test_sizes_beyond_all_integers_of_machines_are_refused(size: int) -> None:
    for arguments in ({"height": size}, {"width": size}, {"num_images_per_prompt": size}):
        (name,) = arguments
        with pytest.raises(InvalidInputError, match=rf"{name} is beyond 2\*\*63 - 1"):
            CALLS["2.2 decoder"](**arguments)
    with pytest.raises(DeviceMemoryError, match="EiB on the host"):
        CALLS["2.2 decoder"](height=2**63 - 1, width=2**63 - 1)


def test_nothing_is_computed_resized_or_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise AssertionError("something was made for a call that is refused")

    for place in ("resize", "convert"):
        monkeypatch.setattr(Image.Image, place, fail)
    monkeypatch.setattr("kandinsky_core.denoising.noise._as_generator", fail)
    pipe = image_pipeline("img2img")
    for wrong in (HUGE, MANY):
        with pytest.raises(DeviceMemoryError):
            pipe(EMBEDS[0], GREY, EMBEDS[1], **wrong)
    assert not pipe.unet.runs


@pytest.mark.parametrize("call", ["prior", "interpolate", "emb2emb"])
def test_a_prior_of_a_huge_number_of_rows_is_refused(call: str) -> None:
    prior = emb2emb_pipeline() if call == "emb2emb" else combined_pipeline().prior_pipe
    made = {
        "prior": lambda: prior("a", **MANY),
        "interpolate": lambda: prior.interpolate(["a"], [1.0], **MANY),
        "emb2emb": lambda: prior("a", np.ones((1, WIDTH)), **MANY),
    }
    with pytest.raises(DeviceMemoryError, match="rows of the prior: the tokens of their texts"):
        made[call]()


def test_states_of_texts_of_a_huge_number_are_refused() -> None:
    with pytest.raises(DeviceMemoryError, match="10000000000 texts: their states"):
        kandinsky_3().encode_prompt("a", num_images_per_prompt=10**10)


def test_a_huge_number_of_generators_is_refused() -> None:
    with pytest.raises(DeviceMemoryError, match="1000000000 pictures: the states of their gen"):
        as_generators(None, range(10**9), 10**9)
    with pytest.raises(InvalidInputError, match=f"seed has {10**30} entries for 1 images"):
        as_generators(None, range(10**30), 1)


def test_the_command_line_refuses_a_huge_number_of_pictures(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["generate", "a", "--num-images", str(10**9)]) == 2
    assert "1000000000 pictures: the states of their generators" in capsys.readouterr().err


def test_each_array_counts_on_its_own_device(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = decoder_pipeline()
    arguments: dict[str, Any] = {"height": 64, "width": 64, "num_inference_steps": 1}
    features = 2 * 4 * 16 * 16 * 4  # rows under guidance, channels, cells, bytes
    pipe.unet.device_memory = device(features)
    pipe(*EMBEDS, **arguments)
    pipe(*EMBEDS, **arguments, num_images_per_prompt=2, guidance_scale=1.0)
    for more in ({"num_images_per_prompt": 2}, {"height": 128}):
        with pytest.raises(DeviceMemoryError, match=r"UNet's features alone .* gpu:0, which has 8"):
            pipe(*EMBEDS, **(arguments | more))
    pipe.unet.to(dtype="bfloat16")
    pipe(*EMBEDS, **arguments, num_images_per_prompt=2)
    pipe.unet.device_memory = None
    monkeypatch.setattr(call_size, "host_size", lambda: 3 * 64 * 64 * 4)
    pipe(*EMBEDS, **arguments)
    with pytest.raises(DeviceMemoryError, match=r"the pixels alone take 96.0 KiB on the host"):
        pipe(*EMBEDS, **arguments, num_images_per_prompt=2)
    pipe(*EMBEDS, **arguments, num_images_per_prompt=2, output_type="latent")


def test_tiles_are_a_way_out() -> None:
    pipe = decoder_pipeline()
    pipe.movq.device_memory = device(64 * 64 * 4)
    arguments: dict[str, Any] = {"height": 128, "width": 128, "num_inference_steps": 1}
    with pytest.raises(DeviceMemoryError, match=r"MoVQ's features .*movq.enable_tiling\(\), --mov"):
        pipe(*EMBEDS, **arguments)
    pipe.movq.enable_tiling(64)
    pipe(*EMBEDS, **arguments)
    with pytest.raises(DeviceMemoryError, match=r"fewer at a time, or set KAND"):
        pipe(*EMBEDS, **arguments, num_images_per_prompt=2)


def test_the_published_sizes_pass_with_what_they_are_known_to_take() -> None:
    """docs/memory.md has what XLA plans for MoVQ: 0.7, 2.6 and 10.5 GiB."""
    pipe = decoder_pipeline()
    pipe.unet.config.block_out_channels = (384, 768, 1280, 1536)
    movq: Any = FakeNetwork(block_out_channels=(128, 256, 256, 512), latent_channels=4)
    movq.scale_factor, movq.tiling = 8, None
    pipe.movq = movq
    for side, planned in ((512, 0.7), (1024, 2.6), (2048, 10.5)):
        movq.device_memory = pipe.unet.device_memory = device(int(planned * GIB / 2))
        pipe.prepare(*EMBEDS, height=side, width=side)


@pytest.mark.parametrize("setting", ["off", "OFF", "no"])
def test_the_setting(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, setting: str
) -> None:
    monkeypatch.setenv("KANDINSKY_MEMORY_CHECK", setting)
    monkeypatch.setattr(call_size, "host_size", lambda: 1)
    pipe = decoder_pipeline()
    if setting != "off":
        with pytest.raises(InvalidInputError, match=r"MEMORY_CHECK='.*': choose one of on, off"):
            pipe(*EMBEDS)
        return
    with caplog.at_level(logging.WARNING):
        pipe(*EMBEDS, num_inference_steps=1)
        KandinskyV22PriorPipeline.from_pretrained("shapes", backend=Accelerator(1))
    assert "the pixels alone take" in caplog.text
    assert "the weights take 12.8 MiB" in caplog.text


def test_where_no_memory_is_known_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_size, "host_size", lambda: None)
    decoder_pipeline().prepare(*EMBEDS, **HUGE)


def test_the_host_tells_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    size = call_size.host_size()
    assert size is None or size > GIB // 8
    monkeypatch.delattr("os.sysconf", raising=False)
    assert call_size.host_size() is None
