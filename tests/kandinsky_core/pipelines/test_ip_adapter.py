"""What Kandinsky 3's UNet is told of pictures beside the prompt, on a backend of NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from kandinsky_core import (
    AutoPipelineForImage2Image,
    Kandinsky3ControlNetImg2ImgPipeline,
    Kandinsky3ControlNetPipeline,
    Kandinsky3FlashPipeline,
    Kandinsky3Img2ImgPipeline,
    Kandinsky3Pipeline,
    KandinskyV3PipelineIpAdapter,
    KandinskyV22CombinedPipeline,
    KandinskyV22Img2ImgCombinedPipeline,
)
from kandinsky_core.errors import ConfigError, InvalidInputError
from tests.kandinsky_core.pipelines.test_kandinsky3 import SIZE, UNet, pipeline
from tests.support.fakes import SIDE as CLIP_SIDE
from tests.support.fakes import WIDTH as EMBEDDING
from tests.support.fakes import FakeControlNet, FakeImageEncoder, combined_pipeline

DARK, LIGHT = (Image.new("RGB", (9, 7), (shade,) * 3) for shade in (0, 255))
SETTINGS = {"size": CLIP_SIDE, "crop_size": CLIP_SIDE, "image_mean": [0] * 3, "image_std": [1] * 3}
KINDS = (Kandinsky3Pipeline, Kandinsky3Img2ImgPipeline)


def adapted(kind: Any = Kandinsky3Pipeline, **changes: Any) -> Any:
    """Black pictures have the embedding -1, white ones 0, the all-zero image -1."""
    unet = UNet()
    unet.config.num_image_tokens, unet.config.image_embed_dim = 4, EMBEDDING
    parts = {
        "unet": unet,
        "image_encoder": FakeImageEncoder(image_size=CLIP_SIDE, projection_dim=EMBEDDING),
        "feature_extractor": SETTINGS,
    }
    return pipeline(kind, **(parts | changes))


def told(pipe: Any, prompt: Any = "ab", **call: Any) -> tuple[list[float], list[float]]:
    """The first numbers of the image embeddings, and the weights."""
    if isinstance(pipe, Kandinsky3Img2ImgPipeline):
        call |= {"image": LIGHT, "strength": 1.0}
    pipe(prompt, **SIZE, seed=0, **call)
    return pipe.unet.told["image_embeds"][:, 0].tolist(), pipe.unet.told["image_weight"].tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_one_picture_or_several(kind: Any) -> None:
    """The fork knows no single picture, and none without weights."""
    pipe = adapted(kind)
    assert told(pipe, ip_adapter_image=LIGHT) == ([-1, 0], [1, 1])
    assert told(pipe, ip_adapter_image=[[DARK]]) == ([-1, -1], [1, 1]), "diffusers' nested list"
    assert told(pipe, ip_adapter_image=[DARK, LIGHT])[0] == [-1, -0.5]
    mixed = {"ip_adapter_image": [DARK, LIGHT], "ip_adapter_weights": np.array([3, 0.5])}
    assert told(pipe, **mixed)[0] == [-1, -3], "not normalised, as in the fork"
    pipe.set_ip_adapter_scale([0.25])
    assert told(pipe, ip_adapter_image=np.zeros((5, 4, 3), np.uint8)) == ([-1, -1], [0.25] * 2)
    assert told(pipe, ip_adapter_image=np.ones((2, 3, CLIP_SIDE, CLIP_SIDE)))[0] == [-1, 0]


@pytest.mark.parametrize(
    ("kind", "pictures"),
    [
        (Kandinsky3ControlNetPipeline, {"image": LIGHT}),
        (Kandinsky3ControlNetImg2ImgPipeline, {"image": LIGHT, "control_image": LIGHT}),
    ],
)
def test_pictures_beside_a_hint(kind: Any, pictures: dict[str, Any]) -> None:
    """Texts are read as the adapter was trained, where the branch encodes the empty one."""
    pipe = adapted(kind, controlnet=FakeControlNet(branch_channels=(8, 16), in_channels=4))
    call = SIZE | pictures | ({"strength": 1.0} if len(pictures) > 1 else {}) | {"seed": 0}
    pipe.set_ip_adapter_scale(0.5)
    pipe("ab", ip_adapter_image=[DARK, LIGHT], cut_context=True, **call)
    found = pipe.unet.told
    assert found["image_embeds"][:, 0].tolist() == [-1, -0.5]
    assert found["image_weight"].tolist() == [0.5, 0.5]
    assert len(found["hint"]) == len(found["control_scale_0"]) == 2
    assert found["projected_mask"].tolist() == [[True, *[False] * 3], [True] * 4]
    pipe("ab", **call)
    assert "image_embeds" not in pipe.unet.told
    without = pipeline(kind, controlnet=pipe.controlnet)
    with pytest.raises(InvalidInputError, match="ip_adapter_image: this UNet has no IP-Adapter"):
        without("ab", ip_adapter_image=DARK, **call)


def test_several_prompts_and_no_guidance() -> None:
    """The fork mixes up rows of several prompts, and fails without guidance."""
    pipe = adapted()
    call = {"ip_adapter_image": LIGHT, "num_images_per_prompt": 2}
    assert told(pipe, ["a", "b"], **call) == ([-1] * 4 + [0] * 4, [1] * 8)
    assert told(pipe, ["a", "b"], guidance_scale=0.5, **call) == ([0] * 4, [1] * 4)


def test_embeddings_are_made_once() -> None:
    pipe = adapted()
    made = pipe.prepare_ip_adapter_image_embeds([DARK, LIGHT], ip_adapter_weights=[2, 1])
    assert made[0].shape == (2, 1, EMBEDDING)
    assert told(pipe, ip_adapter_image_embeds=made)[0] == [-1, -2]
    assert told(pipe, ip_adapter_image_embeds=made, guidance_scale=0)[0] == [-2]
    assert pipe.prepare_ip_adapter_image_embeds(None, made)[0] is made[0]
    assert pipe.get_zero_embed(3).tolist() == [[-1] * EMBEDDING] * 3
    pipe.image_encoder = None
    assert told(pipe, ip_adapter_image_embeds=made)[0] == [-1, -2]
    for refused in (LIGHT, DARK):
        with pytest.raises(InvalidInputError, match="no image encoder; give ip_adapter_image_emb"):
            told(pipe, ip_adapter_image=refused)


def test_texts_are_read_as_the_adapter_was_trained() -> None:
    """No text is zero behind the projection; padding of prompts is projected, as in diffusers."""
    pipe = adapted()
    assert pipe.convention == "adapters"
    told(pipe, ip_adapter_image=LIGHT)
    given = pipe.unet.told
    assert given["attention_mask"].tolist() == [[False] * 4, [True] * 3 + [False]]
    assert given["projected_mask"].tolist() == [[False] * 4, [True] * 4]
    assert "null_embedding" not in given
    told(pipe, negative_prompt="abcd", ip_adapter_image=LIGHT)
    assert pipe.unet.told["text_encoder_hidden_states"][0, :, 0].tolist() == [7, 1, 2, 3]
    assert pipe.unet.told["projected_mask"].tolist() == [[True] * 4] * 2
    told(pipe, ["ab", ""], ip_adapter_image=LIGHT)
    assert pipe.unet.told["projected_mask"][2:].tolist() == [[True] * 4, [False] * 4]
    assert pipe.unet.told["attention_mask"][2:].tolist() == [[True] * 3 + [False], [False] * 4]
    pipe("ab", **SIZE, seed=0)
    assert "image_embeds" not in pipe.unet.told, "a picture is not required"


def test_call_of_the_fork(capsys: pytest.CaptureFixture[str]) -> None:
    """By the fork's names; `cut_context` is off there, so that the UNet sees all tokens."""
    pipe = adapted(KandinskyV3PipelineIpAdapter)
    size = {name: value for name, value in SIZE.items() if name != "num_inference_steps"}
    out = pipe("ab", [0.5, 0.5], [DARK, LIGHT], 2, img_weight=0.3, seed=0, **size)
    given = pipe.unet.told
    assert given["attention_mask"].tolist() == [[False] * 5, [True] * 3 + [False] * 2]
    assert given["image_embeds"][:, 0].tolist() == [-1, -0.5]
    np.testing.assert_array_equal(given["image_weight"], np.float32([0.3, 0.3]))
    assert pipe.unet.scale == 8.0, "w + 1"
    assert out.metadata[0]["ip_adapter_weights"] == [0.5, 0.5]
    assert out.metadata[0]["ip_adapter_scale"] == 0.3
    pipe("ab", img=LIGHT, cut_context=True, num_inference_steps=2, seed=0, **size)
    assert pipe.unet.told["attention_mask"].shape == (2, 4)
    with pytest.raises(InvalidInputError, match="timesteps: the scheduler chooses them"):
        pipe("ab", timesteps=[3], num_inference_steps=2, **size)
    assert capsys.readouterr().out == "", "the fork prints"


def test_calls_that_fail_in_the_fork() -> None:
    """Encoded prompts, no size, and weights without a list of pictures."""
    pipe = adapted(KandinskyV3PipelineIpAdapter)
    request = pipe.prepare("ab", 0.5, LIGHT)
    assert (request.plan.height, request.plan.width) == (1024, 1024)
    assert request.image_prompt.weights == (0.5,)
    encoded = pipe.encode_prompt("ab", negative_prompt="a")
    pipe(**encoded, img=DARK, num_inference_steps=2, height=16, width=16, output_type="latent")
    assert pipe.unet.told["attention_mask"].tolist() == [
        [True] * 2 + [False] * 2,
        [True] * 3 + [False],
    ]
    assert pipe.unet.told["projected_mask"].tolist() == [[True] * 2 + [False] * 2, [True] * 4]


def test_shared_networks_keep_the_scale() -> None:
    pipe = adapted()
    pipe.set_ip_adapter_scale(0.5)
    other = AutoPipelineForImage2Image.from_pipe(pipe)
    assert told(other, ip_adapter_image=LIGHT) == ([-1, 0], [0.5, 0.5])
    assert other.convention == "adapters"
    assert Kandinsky3FlashPipeline.from_pipe(pipe).unet is pipe.unet


PICTURE = {"ip_adapter_image": LIGHT}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"ip_adapter_image": []}, "ip_adapter_image: give a picture or a list"),
        ({"ip_adapter_image": [[LIGHT], [DARK]]}, "there is one IP-Adapter"),
        ({"ip_adapter_image": "cat.png"}, "ip_adapter_image"),
        ({**PICTURE, "ip_adapter_weights": [1, 2]}, "1 pictures but 2 weights"),
        ({**PICTURE, "ip_adapter_weights": [float("nan")]}, "ip_adapter_weights"),
        ({"ip_adapter_weights": [1]}, "give ip_adapter_image too"),
        ({**PICTURE, "ip_adapter_image_embeds": np.zeros((2, EMBEDDING))}, "leave ip_adapter_im"),
        ({"ip_adapter_image_embeds": np.zeros((1, EMBEDDING))}, "has 1 rows"),
        ({"ip_adapter_image_embeds": np.zeros((2, EMBEDDING + 1))}, "ip_adapter_image_embeds"),
    ],
)
def test_wrong_pictures(call: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        adapted()("ab", **SIZE, **call)


def test_without_an_adapter() -> None:
    """The error comes before anything runs, and says what to load."""
    pipe = pipeline()
    for call in (PICTURE, {"ip_adapter_image_embeds": np.zeros((2, EMBEDDING))}):
        with pytest.raises(InvalidInputError, match="no IP-Adapter; load ai-forever/kandinsky3_ip"):
            pipe("ab", **SIZE, **call)
    with pytest.raises(InvalidInputError, match="no IP-Adapter"):
        pipe.set_ip_adapter_scale(1)
    with pytest.raises(InvalidInputError, match="scale"):
        adapted().set_ip_adapter_scale({"down": 1})
    pipe.unload_ip_adapter()
    assert pipe.text_encoder.calls == 0


def test_image_encoder_of_another_model() -> None:
    from types import SimpleNamespace

    unet = SimpleNamespace(
        family="3", kind="decoder", in_channels=4, num_image_tokens=4, image_embed_dim=768
    )
    configs = {"unet": unet, "image_encoder": SimpleNamespace(projection_dim=1280)}
    with pytest.raises(ConfigError, match="embeddings of 1280 numbers, and the UNet's IP-Adapter"):
        Kandinsky3Pipeline.check_configs(configs)


@pytest.mark.parametrize(
    "kind", [KandinskyV22CombinedPipeline, KandinskyV22Img2ImgCombinedPipeline]
)
def test_pictures_of_2_2_are_mixed_as_interpolate_does(kind: Any) -> None:
    """As `interpolate` with the weights 1 - s for the text and s w for each picture."""
    pipe = combined_pipeline(kind)
    call: dict[str, Any] = {}
    if kind is KandinskyV22Img2ImgCombinedPipeline:
        call = {"image": LIGHT, "strength": 1.0}
    call |= {"height": 16, "width": 16, "num_inference_steps": 2, "output_type": "latent"}
    call |= {"ip_adapter_image": [DARK, LIGHT], "ip_adapter_weights": [0.75, 0.5], "seed": 3}
    pipe.set_ip_adapter_scale(0.25)
    out = pipe("abc", prior_num_inference_steps=2, **call)
    wanted = pipe.prior_pipe.interpolate(
        ["abc", DARK, LIGHT], [0.75, 0.1875, 0.125], num_inference_steps=2, seed=3
    )
    told_to_decoder = pipe.decoder_pipe.unet.runs[-1].conditioning["image_embeds"]
    np.testing.assert_allclose(told_to_decoder[-1:], wanted.image_embeds, atol=1e-6)
    np.testing.assert_array_equal(told_to_decoder[:1], wanted.negative_image_embeds)
    assert out.metadata[0]["ip_adapter_scale"] == 0.25
    with pytest.raises(InvalidInputError, match="needs no IP-Adapter; leave it out"):
        pipe.load_ip_adapter("ai-forever/kandinsky3_ip_adapter")
    with pytest.raises(InvalidInputError, match="give ip_adapter_image too"):
        pipe("abc", **{**call, "ip_adapter_image": None})
