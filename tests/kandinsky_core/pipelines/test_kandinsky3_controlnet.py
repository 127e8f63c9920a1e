"""What the ControlNet pipelines of Kandinsky 3 tell UNet and branch, on a backend of NumPy.

Faults of the original that these pipelines do not have are named in the docstrings.
"""

from __future__ import annotations

from inspect import signature
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kandinsky_core import (
    AutoPipelineForImage2Image,
    AutoPipelineForInpainting,
    AutoPipelineForText2Image,
    Kandinsky3ControlNetImg2ImgPipeline,
    Kandinsky3ControlNetInpaintPipeline,
    Kandinsky3ControlNetPipeline,
    Kandinsky3InpaintPipeline,
    Kandinsky3Pipeline,
)
from kandinsky_core.errors import ConfigError, InvalidInputError
from kandinsky_core.pipelines.kandinsky3.control_numbers import ControlNumbers
from tests.kandinsky_core.pipelines.test_kandinsky3 import NULL, SIZE, STATES, UNet, pipeline
from tests.support.fakes import FakeControlNet

GREY = Image.new("RGB", (10, 6), (51, 102, 255))
HINT = {"image": GREY}


def controlled(kind: Any = Kandinsky3ControlNetPipeline, **changes: Any) -> Any:
    branch = FakeControlNet(branch_channels=(8, 16), in_channels=4)
    unet = UNet(9 if kind is Kandinsky3ControlNetInpaintPipeline else 4)
    return pipeline(kind, **({"unet": unet, "controlnet": branch} | changes))


def edges(**changes: Any) -> Any:
    """The form whose UNet reads the hint itself."""
    unet = UNet()
    unet.config.kind = "controlnet"
    return pipeline(Kandinsky3ControlNetPipeline, unet=unet, **changes)


def told(pipe: Any, *prompts: Any, **arguments: Any) -> dict[str, Any]:
    pipe(*prompts, **(SIZE | HINT | {"seed": 0} | arguments))
    found: dict[str, Any] = pipe.unet.told
    return found


def test_the_branch_is_told_of_an_empty_text() -> None:
    """No negative prompt is the text "", encoded; one that is longer ends where its prompt does."""
    pipe = controlled()
    found = told(pipe, "ab")
    assert found["text_encoder_hidden_states"][..., 0].tolist() == [[9, 0, 0, 0], [7, 1, 9, 0]]
    assert found["attention_mask"].tolist() == [[True, *[False] * 3], [*[True] * 3, False]]
    assert pipe.unet.scale == 8.0, "w + 1"
    found = told(pipe, "a", negative_prompt="abcd")
    assert found["text_encoder_hidden_states"][..., 0].tolist() == [[7, 1, 9], [7, 9, 0]]
    found = told(pipe, "a", cut_context=False)
    assert found["text_encoder_hidden_states"].shape[1] == 5


def test_the_unet_that_reads_edges_is_told_nothing_of_an_empty_text() -> None:
    """Behind the projection it is zero; so is the padding of a negative prompt, of no prompt."""
    found = told(edges(), "ab")
    assert not found["attention_mask"][0].any()
    assert found["projected_mask"].tolist() == [[False] * 4, [True] * 4]
    found = told(edges(), "ab", negative_prompt="a")
    assert found["projected_mask"].tolist() == [[True, True, False, False], [True] * 4]
    found = told(edges(), "ab", guidance_scale=1.0)
    assert found["projected_mask"].tolist() == [[True] * 4]
    assert not [name for name in found if name.startswith("control_")]


def test_without_guidance_there_is_one_row() -> None:
    """The original refers to a mask that only guidance makes."""
    found = told(controlled(), "ab", guidance_scale=1.0)
    assert {len(array) for array in found.values()} == {1}


def test_several_prompts_and_pictures_stand_together() -> None:
    """The original repeats masks in another order than texts, and hints not at all."""
    found = told(controlled(), ["abc", "a"], num_images_per_prompt=2, negative_prompt="b")
    assert found["attention_mask"].sum(axis=1).tolist() == [2] * 4 + [4, 4, 2, 2]
    assert len(found["hint"]) == len(found["control_scale_0"]) == 8
    found = told(edges(), "ab", num_images_per_prompt=2)
    assert [len(found[name]) for name in ("attention_mask", "projected_mask", "hint")] == [4] * 3


def test_encoded_prompts_are_taken() -> None:
    """In the original they fail. An empty negative prompt must be encoded too."""
    pipe = controlled()
    embeds = pipe.encode_prompt("ab")
    assert embeds.negative_prompt_embeds[0, :, 0].tolist() == [9, 0, 0, 0]
    without: Any = controlled(text_encoder=None, tokenizer=None)
    found = told(without, **embeds)
    np.testing.assert_array_equal(
        found["text_encoder_hidden_states"],
        np.concatenate([embeds.negative_prompt_embeds, embeds.prompt_embeds]),
    )
    states = {"prompt_embeds": np.zeros((1, 2, STATES)), "attention_mask": np.ones((1, 2))}
    with pytest.raises(InvalidInputError, match="which encodes an empty negative prompt"):
        told(without, **states)
    assert len(told(without, **states, guidance_scale=1.0)["hint"]) == 1


@pytest.mark.parametrize(
    ("options", "values"),
    [
        ({}, [51, 102, 255]),
        ({"control_image_order": "BGR"}, [255, 102, 51]),
        ({"control_image_range": (-1, 1)}, [-153, -51, 255]),
    ],
)
def test_range_and_order_of_a_hint(options: dict[str, Any], values: list[int]) -> None:
    """Any size is resized; the original needs 8 times the sides of the latents."""
    hint = told(controlled(), "a", **options)["hint"]
    assert hint.shape == (2, 3, 8 * 4, 8 * 4)
    np.testing.assert_allclose(hint[0, :, 3, 3] * 255, values, atol=1e-4)


@pytest.mark.parametrize("name", ["image", "control_image", "hint"])
def test_names_of_a_hint(name: str) -> None:
    given = {"image": None, name: GREY}
    first = told(controlled(), "a", **given, k=0.5)
    assert set(np.unique(first["control_scale_1"])) == {0.5}
    with pytest.raises(InvalidInputError, match="give the hint once, as image="):
        told(controlled(), "a", image=GREY, hint=GREY)
    with pytest.raises(InvalidInputError, match="give the hint once, as image="):
        told(controlled(), "a", image=None)


def test_a_map_says_the_strength_of_each_place() -> None:
    """As PyTorch's `nearest-exact`; in the original only image to image takes a map."""
    plane = np.arange(12, dtype=np.float32).reshape(3, 4)
    found = told(controlled(), "a", controlnet_conditioning_scale=plane)
    assert found["control_scale_0"].shape == (2, 1, 2, 2)
    assert found["control_scale_0"][0, 0].tolist() == [[1, 3], [9, 11]]
    assert found["control_scale_1"][0, 0].tolist() == [[6]]


@pytest.mark.parametrize(
    ("start", "end", "steps"),
    [(0, 1, range(4)), (0.5, 1, [2, 3]), (0.34, 0.34, [1]), (0, 0.25, [0, 1]), (1, 1, [])],
)
def test_the_window_of_a_branch(start: float, end: float, steps: Any) -> None:
    """Both ends are included."""
    pipe = controlled()
    arguments = {"num_inference_steps": 4, "control_guidance_start": start}
    found = told(pipe, "a", **arguments, control_guidance_end=end)
    times = pipe.scheduler.schedule(4).timesteps
    first, last = found["control_window"][1]
    assert [step for step, time in enumerate(times) if last <= time <= first] == list(steps)


def test_rescaled_guidance_reaches_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A number always: so no other program is compiled for another number."""
    pipe, seen = controlled(), []
    begin = pipe.unet.begin

    def watch(*given: Any, guidance_rescale: Any, **options: Any) -> Any:
        seen.append(guidance_rescale)
        return begin(*given, **options)

    monkeypatch.setattr(pipe.unet, "begin", watch)
    for share in (0.0, 0.7):
        told(pipe, "a", guidance_rescale=share)
    assert seen == [0.0, 0.7]


def test_callbacks_get_the_number_of_the_step() -> None:
    """In the original a loop within the loop changes it."""
    numbers: list[int] = []
    told(controlled(), "a", callback_on_step_end=lambda _, step, *rest: numbers.append(step))
    assert numbers == [0, 1]


def test_a_callback_may_switch_guidance_off() -> None:
    pipe = controlled()
    rows: list[int] = []

    def stop(pipe: Any, step: int, time: Any, values: dict[str, Any]) -> None:
        pipe._guidance_scale = 1.0
        rows.append(len(values["hint"]))

    pipe.unet.condition = lambda arrays, **_: rows.append(len(arrays["control_window"]))
    told(
        pipe,
        "a",
        num_inference_steps=1,
        callback_on_step_end=stop,
        callback_on_step_end_tensor_inputs=["hint"],
    )
    assert rows == [2, 1]


def test_image_to_image_and_inpainting() -> None:
    pipe = controlled(Kandinsky3ControlNetImg2ImgPipeline)
    request = {"control_image": GREY, "num_inference_steps": 4, "strength": 0.5}
    found = told(pipe, "a", **request)
    assert found["text_encoder_hidden_states"].shape[1] == 5, "not cut, as in the original"
    assert found["control_window"][0].tolist() == [250, 0], "of the two steps that are taken"
    pipe = controlled(Kandinsky3ControlNetInpaintPipeline)
    mask = Image.new("L", (10, 6), 255)
    found = told(pipe, "a", mask_image=mask, control_image=GREY)
    assert found["image_latents"].shape == (2, 5, 4, 4)
    assert found["hint"].shape == (2, 3, 32, 32)


@pytest.mark.parametrize(
    "kind",
    [
        Kandinsky3ControlNetPipeline,
        Kandinsky3ControlNetImg2ImgPipeline,
        Kandinsky3ControlNetInpaintPipeline,
    ],
)
def test_what_stands_in_to_compile_is_a_call(kind: Any) -> None:
    for changes in ({}, {"text_encoder": None, "tokenizer": None}):
        pipe = controlled(kind, **changes)
        taken = signature(kind.__call__).parameters
        inputs = {name: value for name, value in pipe._stand_ins().items() if name in taken}
        pipe(**inputs, height=16, width=16)
        assert len(pipe.unet.told["hint"]) == 2


def test_networks_are_shared_between_tasks() -> None:
    plain = pipeline(Kandinsky3Pipeline, null_embedding=NULL)
    branch = FakeControlNet(branch_channels=(8,))
    pipe = Kandinsky3ControlNetPipeline.from_pipe(plain, controlnet=branch)
    assert (pipe.unet, pipe.controlnet) == (plain.unet, branch)
    assert pipe.networks["controlnet"] is branch, "it moves and is saved with the others"
    with pytest.raises(InvalidInputError, match="reads no hint: give controlnet="):
        Kandinsky3ControlNetPipeline.from_pipe(plain)


@pytest.mark.parametrize(
    ("auto", "kind"),
    [
        (AutoPipelineForText2Image, Kandinsky3ControlNetPipeline),
        (AutoPipelineForImage2Image, Kandinsky3ControlNetImg2ImgPipeline),
        (AutoPipelineForInpainting, Kandinsky3ControlNetInpaintPipeline),
    ],
)
def test_the_auto_classes_find_the_pipelines(auto: Any, kind: Any) -> None:
    index: Any = SimpleNamespace(pipeline_class=kind.__name__, name="a")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kandinsky_core.pipelines.auto.OpenedModel.of", lambda *_: index)
        assert auto.pipeline_class("a") is kind
    unet = UNet(9 if kind is Kandinsky3ControlNetInpaintPipeline else 4)
    plain = Kandinsky3InpaintPipeline if unet.config.kind == "inpaint" else Kandinsky3Pipeline
    branch = FakeControlNet(branch_channels=(8,))
    made = auto.from_pipe(pipeline(plain, unet=unet), controlnet=branch)
    assert type(made) is kind
    assert type(auto.from_pipe(made)) is kind
    assert not isinstance(auto.from_pipe(made, controlnet=None), kind)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"controlnet_conditioning_scale": "x"}, "controlnet_conditioning_scale"),
        ({"controlnet_conditioning_scale": [1.0, 2.0]}, r"shape \(2,\): give a number, or a"),
        ({"controlnet_conditioning_scale": float("nan")}, "scale=nan: give a finite number"),
        ({"control_guidance_start": 0.6, "control_guidance_end": 0.5}, "no later than the end"),
        ({"control_guidance_end": 1.5}, "shares of the steps from 0 to 1"),
        ({"guidance_rescale": 2}, "guidance_rescale=2: give a number from 0 to 1"),
        ({"control_image_order": "RBG"}, "choose one of RGB, BGR"),
        ({"control_image_range": (1, 0)}, "control_image_range=.1, 0.: give the values"),
        ({"control_image_range": 1}, "control_image_range=1: give the values"),
        ({"image": "x.png"}, "image='x.png': open it with load_image"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        told(controlled(), "a", **arguments)


def test_a_unet_that_reads_the_hint_has_no_branch() -> None:
    with pytest.raises(InvalidInputError, match="there is no branch to weigh"):
        told(edges(), "a", controlnet_conditioning_scale=0.5)
    with pytest.raises(InvalidInputError, match="leave controlnet= out"):
        edges(controlnet=FakeControlNet())
    unet = UNet(9)
    unet.config.kind = "controlnet"
    with pytest.raises(ConfigError, match="needs a UNet for inpainting and a controlnet beside"):
        controlled(Kandinsky3ControlNetInpaintPipeline, unet=unet)


def test_numbers_that_change_nothing() -> None:
    assert ControlNumbers.check(1, 0, 1).usual
    assert not ControlNumbers.check(np.ones((2, 2)), 0, 1).usual
