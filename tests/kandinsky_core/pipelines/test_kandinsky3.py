"""What Kandinsky 3's pipelines tell a UNet of texts, pictures and noise, on a backend of NumPy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kandinsky_core import (
    DDPMScheduler,
    Generator,
    Kandinsky3FlashPipeline,
    Kandinsky3FlashScheduler,
    Kandinsky3Img2ImgPipeline,
    Kandinsky3InpaintPipeline,
    Kandinsky3Pipeline,
    get_T2I_pipeline,
)
from kandinsky_core.checkpoints.hub import HubOptions
from kandinsky_core.errors import CheckpointError, InvalidInputError
from kandinsky_core.pipelines.kandinsky3.decoder import picture_size
from kandinsky_core.pipelines.kandinsky3.texts import tokens_of
from kandinsky_core.pipelines.shared.loading import load_components
from tests.support.dict_tensors import DictTensors
from tests.support.fakes import LENGTH, FakeAutoencoder, FakeNetwork, FakeTokenizer
from tests.support.kandinsky3 import MOVQ_JSON

STATES, CONTEXT = 3, 6
NULL = np.arange(1, CONTEXT + 1, dtype=np.float32)
SIZE = {"height": 16, "width": 16, "num_inference_steps": 2, "output_type": "latent"}


class Tokenizer(FakeTokenizer):
    """One token a letter, and 9 at the end."""

    pad_token_id = 0

    def __call__(self, prompts: list[str]) -> tuple[Any, Any]:
        ids = np.zeros((len(prompts), LENGTH), np.int32)
        for row, prompt in enumerate(prompts):
            codes = [*(1 + ord(letter) % 7 for letter in prompt[: LENGTH - 1]), 9]
            ids[row, : len(codes)] = codes
        return ids, ids > 0


class TextEncoder(FakeNetwork):
    """The states are the ids, also on padding; counts its calls."""

    calls = 0

    def encode(self, input_ids: Any, attention_mask: Any) -> Any:
        self.calls += 1
        ids = np.where(attention_mask, input_ids, -5)
        return np.repeat(ids[..., None], STATES, axis=2).astype(np.float32)


class UNet(FakeNetwork):
    """Keeps what it is told; every step leaves the sample as it is."""

    def __init__(self, in_channels: int = 4) -> None:
        super().__init__(
            in_channels=in_channels,
            encoder_hid_dim=STATES,
            cross_attention_dim=CONTEXT,
            kind="inpaint" if in_channels > 4 else "decoder",
            family="3",
            block_out_channels=(8,),
        )

    def begin(
        self, sample: Any, conditioning: Mapping[str, Any], guidance_scale: float, **_: Any
    ) -> Any:
        self.sample, self.told, self.scale = sample, dict(conditioning), guidance_scale
        self.noises: list[Any] = []
        return self

    def step(self, timestep: float, row: Any, noise: Any) -> None:
        self.noises.append(noise)

    def read(self) -> Any:
        return self.sample


def pipeline(kind: Any = Kandinsky3Pipeline, **changes: Any) -> Any:
    parts = {
        "tokenizer": Tokenizer(),
        "text_encoder": TextEncoder(vocab_size=10),
        "unet": UNet(9 if kind is Kandinsky3InpaintPipeline else 4),
        "scheduler": DDPMScheduler(),
        "movq": FakeAutoencoder(block_out_channels=(1, 1, 1), latent_channels=4),
    }
    pipe = kind(**(parts | changes))
    pipe.set_progress_bar_config(disable=True)
    return pipe


def test_diffusers_convention() -> None:
    """No text is zeros that nothing sees; a negative prompt is cut to its prompt's states."""
    pipe = pipeline()
    pipe("ab", **SIZE, seed=0)
    states, mask = pipe.unet.told["text_encoder_hidden_states"], pipe.unet.told["attention_mask"]
    assert set(pipe.unet.told) == {"text_encoder_hidden_states", "attention_mask"}
    assert mask.tolist() == [[False] * 4, [True] * 3 + [False]]
    assert states[..., 0].tolist() == [[0] * 4, [7, 1, 9, 0]]
    assert pipe.unet.scale == 4.0, "w + 1"
    pipe("a", negative_prompt="abcd", **SIZE, seed=0)
    assert pipe.unet.told["text_encoder_hidden_states"][..., 0].tolist() == [[7, 1, 2], [7, 9, 0]]
    assert pipe.unet.told["attention_mask"].tolist() == [[True] * 3, [True, True, False]]
    assert pipe.text_encoder.calls == 2, "prompt and negative prompt in one call"


def test_original_convention() -> None:
    """No text is the null embedding, the only token seen; projections of padding are zero."""
    pipe = pipeline(null_embedding=NULL[None])
    pipe("ab", **SIZE, seed=0)
    told = pipe.unet.told
    assert told["attention_mask"].tolist() == [[True] + [False] * 3, [True] * 3 + [False]]
    assert told["projected_mask"].tolist() == [[False] * 4, [True] * 3 + [False]]
    np.testing.assert_array_equal(told["null_embedding"], [NULL, NULL * 0])
    pipe("a", negative_prompt="abcd", num_images_per_prompt=2, **SIZE, seed=0)
    told = pipe.unet.told
    assert told["text_encoder_hidden_states"][..., 0].tolist() == [[7, 9, 0]] * 4
    assert told["attention_mask"].tolist() == [[True, True, False]] * 4
    assert not told["null_embedding"].any()
    with pytest.raises(InvalidInputError, match="needs the null embedding, which these weights"):
        pipeline().convention = "mended"
    with pytest.raises(InvalidInputError, match=r"null_embedding has shape \(2,\)"):
        pipeline(null_embedding=np.zeros(2))


def test_a_negative_prompt_is_seen_through_its_prompt_s_mask_in_the_authors_convention() -> None:
    """The states are the ids: 0 is padding that is seen, where -5 would be some that is not."""
    pipe = pipeline(null_embedding=NULL)
    pipe.convention = "authors"
    for negative, ids in (("d", [3, 9, 0]), ("", [9, 0, 0]), ("abcd", [7, 1, 9])):
        for given in ("ab", None):
            embeds = {} if given else dict(pipe.encode_prompt("ab", False))
            pipe(given, negative_prompt=negative, **embeds, **SIZE, seed=0)
            told = pipe.unet.told
            assert told["text_encoder_hidden_states"][0, :3, 0].tolist() == ids
            assert told["attention_mask"].tolist() == [[True] * 3 + [False]] * 2
            assert told["projected_mask"].tolist() == [[True] * 3 + [False]] * 2
    pipe.convention = "mended"
    pipe("ab", negative_prompt="d", **SIZE, seed=0)
    assert pipe.unet.told["attention_mask"][0].tolist() == [True, True, False, False]


def test_tokens_that_the_text_encoder_does_not_know_are_refused() -> None:
    with pytest.raises(CheckpointError, match="the token 9, and the text encoder knows 9: load"):
        pipeline(text_encoder=TextEncoder(vocab_size=9))("ab", **SIZE)


def test_a_saved_embedding_of_no_text_is_no_text() -> None:
    pipe = pipeline(null_embedding=NULL)
    embeds = pipe.encode_prompt("ab")
    assert not embeds.negative_attention_mask.any()
    pipe(**embeds, **SIZE, seed=0)
    np.testing.assert_array_equal(pipe.unet.told["null_embedding"], [NULL, NULL * 0])
    assert pipe.encode_prompt("ab", do_classifier_free_guidance=False)[1] is None
    assert pipe.encode_prompt(["a", "b"], True, 3)[0].shape == (6, 3, STATES)


def test_negative_prompts_end_where_their_prompts_do() -> None:
    ids, mask = tokens_of(Tokenizer(), ["abcd", "a", "ab"], np.array([3, 4, 3]))  # type: ignore[arg-type]
    assert ids.tolist() == [[7, 1, 9, 0, 0], [7, 9, 0, 0, 0], [7, 1, 9, 0, 0]]
    assert mask.sum(axis=1).tolist() == [3, 2, 3]


def test_beautified_prompts_are_encoded_and_recorded() -> None:
    pipe, seen = pipeline(), []

    def expand(text: str) -> str:
        seen.append(text)
        return text + "b"

    output = pipe(["a", "c"], beautify=expand, negative_prompt="d", **SIZE, seed=0)
    assert seen == ["a", "c"]
    assert [row["prompt"] for row in output.metadata] == ["ab", "cb"]
    assert [row["negative_prompt"] for row in output.metadata] == ["d", "d"]
    with pytest.raises(InvalidInputError, match="beautify=3"):
        pipe("a", beautify=3, **SIZE)
    with pytest.raises(InvalidInputError):
        pipe("a", beautify=expand, num_images_per_prompt=0, **SIZE)
    assert seen == ["a", "c"], "nothing is expanded for a call that is refused"


def test_flash_noises_its_first_noise() -> None:
    pipe = pipeline(Kandinsky3FlashPipeline, scheduler=Kandinsky3FlashScheduler())
    pipe("a", height=16, width=16, output_type="latent", seed=7)
    generator = Generator().manual_seed(7)
    first, second, *others = (generator.randn((1, 4, 4, 4)) for _ in range(5))
    expected = np.float32(0.0311639701) * first + np.float32(0.999514286) * second
    np.testing.assert_allclose(pipe.unet.sample, expected, atol=1e-6)
    for drawn, other in zip(pipe.unet.noises, [*others, None], strict=True):
        np.testing.assert_array_equal(drawn, other)
    assert pipe.unet.told["attention_mask"].shape[0] == 1, "no unconditional rows"


def test_inpainting_tells_mask_and_grey_picture() -> None:
    pipe = pipeline(Kandinsky3InpaintPipeline)
    pixels = np.full((16, 16, 3), 255, np.uint8)
    mask = np.zeros((16, 16), np.uint8)
    mask[:, :7] = 255
    pipe("a", image=pixels, mask_image=mask, **SIZE, seed=0)
    told = pipe.unet.told["image_latents"]
    assert told.shape == (2, 5, 4, 4)
    np.testing.assert_array_equal(told[0], told[1])
    np.testing.assert_array_equal(told[0, 0], [[0, 0, 1, 1]] * 4)  # 1 is kept
    np.testing.assert_array_equal(told[0, 1], [[0, 0, 1, 1]] * 4)  # mid-grey, white
    with pytest.raises(InvalidInputError, match="one for all, or one for each"):
        pipe("a", image=[pixels] * 2, mask_image=[mask] * 3, **SIZE)
    with pytest.raises(InvalidInputError, match="paste_back works on pixels"):
        pipe("a", image=pixels, mask_image=mask, paste_back=True, **SIZE)


@pytest.mark.parametrize(
    ("own", "given", "largest", "expected"),
    [
        ((300, 200), (None, None), None, (200, 300)),
        ((4000, 3000), (None, None), 1024**2, (887, 1182)),
        ((4000, 3000), (512, None), 1024**2, (512, None)),
    ],
)
def test_sizes(own: Any, given: Any, largest: Any, expected: Any) -> None:
    assert picture_size(Image.new("RGB", own), *given, largest) == expected
    assert picture_size([Image.new("RGB", own)], *given, largest) == expected
    assert picture_size(np.zeros((8, 8, 3)), None, None) == (None, None)


@pytest.mark.parametrize("kind", [Kandinsky3Pipeline, Kandinsky3Img2ImgPipeline])
def test_without_a_text_encoder(kind: Any) -> None:
    pipe = pipeline(kind, text_encoder=None, tokenizer=None)
    assert (pipe.dtype, pipe.device, pipe.backend) == ("float32", "cpu", "numpy")
    starts = {"image": np.zeros((16, 16, 3)), "strength": 0.5}
    request = SIZE | ({} if kind is Kandinsky3Pipeline else starts)
    for texts in ({"prompt": "a"}, {"prompt_embeds": np.ones((1, 2, 3)), "negative_prompt": "b"}):
        mask = {"attention_mask": np.ones((1, 2))} if "prompt_embeds" in texts else {}
        with pytest.raises(InvalidInputError, match="this pipeline has no text encoder"):
            pipe(**texts, **mask, **request)


class Backend:
    """Loads networks that know where they are; `streamed` says how T5 was asked for."""

    name = "numpy"

    def __init__(self) -> None:
        self.loaded: list[str] = []

    def load(self, source: Any, dtype: str, device: str | None) -> Any:
        self.loaded.append(source.class_name)
        network = FakeNetwork()
        network.to(device=device, dtype=dtype)
        return network

    def load_streamed(self, source: Any, dtype: str, device: str | None) -> Any:
        network = TextEncoder()
        network.to(device=device, dtype=dtype)
        return network

    def memory(self, device: str | None = None) -> None:
        return None


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model of which only the configs are there."""
    classes = {
        "unet": "Kandinsky3UNet",
        "movq": "VQModel",
        "text_encoder": "T5EncoderModel",
        "scheduler": "DDPMScheduler",
    }
    index: dict[str, Any] = {"_class_name": "Kandinsky3Pipeline"}
    for name, class_name in classes.items():
        (tmp_path / name).mkdir()
        config: dict[str, Any] = {"_class_name": class_name}
        if name == "text_encoder":
            config = {"feed_forward_proj": "gated-silu"}
        elif name == "movq":
            config = MOVQ_JSON
        (tmp_path / name / "config.json").write_text(json.dumps(config))
        index[name] = ["library", class_name]
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    none = DictTensors({})
    monkeypatch.setattr(
        "kandinsky_core.checkpoints.checkpoint.Component.tensors", lambda self: none
    )
    return tmp_path


def test_entry_points_refuse_weights_of_diffusers_before_they_load_any(folder: Path) -> None:
    backend: Any = Backend()
    with pytest.raises(InvalidInputError, match="published, or take convention='diffusers'"):
        get_T2I_pipeline(model=folder, backend=backend)
    assert not backend.loaded


@pytest.mark.parametrize(
    ("way", "device", "loaded", "offloaded"),
    [
        ("resident", "gpu:0", {"T5EncoderModel", "Kandinsky3UNet", "VQModel"}, False),
        ("on_demand", "gpu:0", {"Kandinsky3UNet", "VQModel"}, True),
        ("streamed", "gpu:0", {"Kandinsky3UNet", "VQModel"}, True),
        ("on_demand", "cpu", {"Kandinsky3UNet", "VQModel"}, False),
    ],
)
def test_the_text_encoder_has_an_accelerator_for_itself(
    folder: Path, way: str, device: str, loaded: set[str], offloaded: bool
) -> None:
    backend: Any = Backend()
    found = load_components(
        folder,
        part="decoder",
        names=Kandinsky3Pipeline.component_names[1:],
        ready={},
        text_encoder_loading=way,
        backend=backend,
        device=device,
        dtype={"unet": "bfloat16", "default": "float16"},
        options=HubOptions(),
        check=lambda configs: None,
        optional=Kandinsky3Pipeline.optional_components,
    )
    assert set(backend.loaded) == loaded
    assert [found[name].offloaded for name in ("unet", "movq")] == [offloaded] * 2
    dtypes = [found[name].dtype for name in ("text_encoder", "unet", "movq")]
    assert dtypes == ["float16", "bfloat16", "float32"]
    assert found["text_encoder"].device == device
    assert found["null_embedding"] is None
