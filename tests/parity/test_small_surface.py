"""Helpers around the pipelines give what diffusers' and transformers' give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kandinsky_core import Generator
from kandinsky_core.checkpoints.hub import EMBEDDED
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.image_processor import VaeImageProcessor
from kandinsky_core.texts.clip_tokenizer import ClipTokenizer
from kandinsky_core.texts.file_tokenizer import XLMRobertaTokenizer
from kandinsky_core.utils.torch_utils import randn_tensor
from tests.support.xlm_roberta_vocabulary import multilingual_tokenizer

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
image_processor = pytest.importorskip("diffusers.image_processor")
torch_utils = pytest.importorskip("diffusers.utils.torch_utils")

LONG = "a large red circle on a blue background, " * 20
CALLS: list[dict[str, Any]] = [
    {"padding": "max_length", "truncation": True, "return_tensors": "pt"},
    {"padding": "max_length", "max_length": 20, "truncation": True, "return_tensors": "np"},
    {"padding": "longest", "return_tensors": "pt"},
    {"padding": True, "truncation": False},
    {"truncation": True, "max_length": 7},
    {"max_length": 7},
    {"add_special_tokens": False, "truncation": True, "max_length": 5},
]


@pytest.fixture(scope="module", params=["CLIP", "XLM-RoBERTa"])
def tokenizers(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    if request.param == "CLIP":
        folder = Path(EMBEDDED["shapes"] / "prior" / "tokenizer")
        theirs = transformers.CLIPTokenizerFast.from_pretrained(folder)
        return ClipTokenizer.from_pretrained(folder), theirs
    special = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
    theirs = transformers.PreTrainedTokenizerFast(
        tokenizer_object=multilingual_tokenizer(), model_max_length=77, **special
    )
    return XLMRobertaTokenizer(multilingual_tokenizer(), 77, "<pad>"), theirs


@pytest.mark.filterwarnings("ignore:`max_length` is ignored")
@pytest.mark.parametrize("options", CALLS)
@pytest.mark.parametrize("text", ["a red circle", "", LONG, ["a red circle", "blue"], ["a", LONG]])
def test_tokenizers_are_called_as_transformers(
    tokenizers: tuple[Any, Any], text: Any, options: dict[str, Any]
) -> None:
    ours, theirs = (tokenizer(text, **options) for tokenizer in tokenizers)
    for name in ("input_ids", "attention_mask"):
        mine, other = getattr(ours, name), theirs[name]
        assert type(mine) is type(other)
        if isinstance(mine, list):
            assert mine == other
        else:
            assert mine.dtype == other.dtype
            np.testing.assert_array_equal(np.asarray(mine), np.asarray(other))
            for skip in (True, False):
                texts = [t.batch_decode(mine, skip_special_tokens=skip) for t in tokenizers]
                assert texts[0] == texts[1]


def test_a_batch_of_tokens_is_read_in_every_way(tokenizers: tuple[Any, Any]) -> None:
    batch = tokenizers[0](["a red circle"])
    ids, mask = batch
    assert batch[0] is batch.input_ids is batch["input_ids"] is ids
    assert dict(**batch)["attention_mask"] is mask
    length = tokenizers[0].model_max_length
    assert (ids.shape, ids.dtype, mask.dtype) == ((1, length), np.int32, np.bool_)
    assert tokenizers[0]("a", return_tensors="pt").to("cpu").input_ids.device.type == "cpu"
    with pytest.raises(InvalidInputError, match="padding=True"):
        tokenizers[0](["a", "a red circle"], return_tensors="np")
    for name, value in (("padding", "left"), ("return_tensors", "tf"), ("stride", 1)):
        with pytest.raises(InvalidInputError, match=name):
            tokenizers[0]("a", **{name: value})


PIXELS = np.random.default_rng(0).integers(0, 256, (70, 93, 3), np.uint8)


@pytest.mark.parametrize(
    ("image", "sizes"),
    [
        (Image.fromarray(PIXELS), {}),
        (Image.fromarray(PIXELS), {"height": 40, "width": 48}),
        ([Image.fromarray(PIXELS)] * 2, {"height": 64, "width": 64}),
        (PIXELS[None, :64, :64] / np.float32(255), {}),
        (torch.from_numpy(PIXELS[:64, :64].transpose(2, 0, 1)[None] / np.float32(255)), {}),
    ],
)
def test_pictures_become_the_autoencoders_arrays(image: Any, sizes: dict[str, int]) -> None:
    options = {"vae_scale_factor": 8, "resample": "bicubic", "reducing_gap": 1}
    ours = VaeImageProcessor(**options).preprocess(image, **sizes)
    theirs = image_processor.VaeImageProcessor(**options).preprocess(image, **sizes)
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("output_type", ["pil", "np", "pt", "latent"])
def test_arrays_become_pictures(output_type: str) -> None:
    made = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    for which in (None, [True, False]):
        mine, other = (
            kind().postprocess(made, output_type, do_denormalize=which)
            for kind in (VaeImageProcessor, image_processor.VaeImageProcessor)
        )
        assert type(mine) is type(other)
        for one, two in zip(mine, other, strict=True):
            np.testing.assert_array_equal(np.asarray(one), np.asarray(two))


@pytest.mark.parametrize("seeds", [[5], [5, 6]])
def test_randn_tensor_draws_as_diffusers(seeds: list[int]) -> None:
    shape = (2, 4, 8, 8)
    theirs = torch_utils.randn_tensor(shape, [torch.Generator().manual_seed(s) for s in seeds])
    ours = randn_tensor(shape, [Generator().manual_seed(s) for s in seeds])
    assert isinstance(ours, np.ndarray)
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=1e-6)
    tensor = randn_tensor(
        shape, [torch.Generator().manual_seed(s) for s in seeds], dtype=torch.float16
    )
    torch.testing.assert_close(tensor, theirs.to(torch.float16), rtol=0, atol=0)
