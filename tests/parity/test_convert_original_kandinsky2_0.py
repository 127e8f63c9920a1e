"""ai-forever's files of Kandinsky 2.0: loaded as they are, converted, and read in four scripts."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kandinsky_cli.model_parts import open_parts
from kandinsky_converters.convert import convert
from kandinsky_core import (
    AutoPipelineForImage2Image,
    AutoPipelineForInpainting,
    AutoPipelineForText2Image,
    Kandinsky20Img2ImgPipeline,
    Kandinsky20InpaintPipeline,
    Kandinsky20Pipeline,
    Kandinsky20Scheduler,
    MT5Tokenizer,
    T5Tokenizer,
    XLMRobertaTokenizer,
)
from kandinsky_core.arrays import Array
from kandinsky_core.checkpoints.hub import HubOptions
from kandinsky_core.checkpoints.opened_model import OpenedModel
from kandinsky_core.errors import CheckpointError, ConfigError, KandinskyError
from kandinsky_core.pipelines.shared import loading
from tests.support.fake_backend import FakeBackend

pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("sentencepiece")

from tests.support.kandinsky2_0_folder import PROMPTS, write_original  # noqa: E402

NETWORKS = ("text_encoder", "text_encoder_2", "unet", "vae")
Original = tuple[Path, dict[str, dict[str, Array]]]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Original:
    folder = tmp_path_factory.mktemp("Kandinsky_2.0")
    return folder, write_original(folder)


def check(folder: Path, part: str, wanted: dict[str, dict[str, Array]], exact: bool) -> None:
    """Compare all tensors; half precision rounds."""
    opened = OpenedModel.of(folder, part, HubOptions()).components(NETWORKS)
    for name, component in opened.items():
        own = wanted["inpaint" if (part, name) == ("inpaint", "unet") else name]
        tensors = component.tensors()
        names = set(tensors.names())
        assert set(own) <= names
        for tensor, array in own.items():
            found = np.asarray(tensors.read(tensor), np.float32)
            tolerance = {} if exact or name != "unet" else {"rtol": 1e-3, "atol": 1e-4}
            np.testing.assert_allclose(found, array, **(tolerance or {"rtol": 0}))


@pytest.mark.parametrize("part", ["decoder", "inpaint"])
def test_the_files_load_as_they_are(original: Original, part: str) -> None:
    """The class that the autoencoder's file names is not imported, and need not exist."""
    folder, wanted = original
    check(folder, part, wanted, exact=False)
    assert not any(name.startswith("pytorch_lightning") for name in sys.modules)
    pipeline: Any = Kandinsky20InpaintPipeline if part == "inpaint" else Kandinsky20Pipeline
    pipe = pipeline.from_pretrained(folder, backend=FakeBackend())
    assert pipe.unet.config.in_channels == (9 if part == "inpaint" else 4)
    assert pipe.text_encoder.config.numDims == 20
    assert pipe.vae.config.scaling_factor == 0.0512
    assert pipe.scheduler == Kandinsky20Scheduler()
    assert (pipe.dtype, pipe.vae.dtype) == ("float32", "float32")


def test_info_shows_both_unets(original: Original) -> None:
    """And no Flash, for which a folder of Kandinsky 3 is asked too."""
    found = open_parts(str(original[0]), HubOptions())
    names = [checkpoint.pipeline_class for checkpoint in found]
    assert names == ["Kandinsky20Pipeline", "Kandinsky20InpaintPipeline"]


def test_another_task_is_refused(original: Original) -> None:
    pipe = Kandinsky20Pipeline.from_pretrained(original[0], backend=FakeBackend())
    with pytest.raises(ConfigError, match="9 for inpainting"):
        Kandinsky20InpaintPipeline(**pipe.components)
    third = T5Tokenizer.from_pretrained(original[0] / "text_encoder2")
    with pytest.raises(ConfigError, match=r"rows of 128 tokens.* trained with 77"):
        Kandinsky20Pipeline(**{**pipe.components, "tokenizer_2": third})


@pytest.mark.parametrize(
    ("file", "other", "message"),
    [
        ("Kandinsky-2-0.pt", "vae.ckpt", r"holds a vae \(AutoencoderKL\), and a unet"),
        ("Kandinsky-2-0.pt", "Kandinsky-2-0-inpainting.pt", "has 9 input channels"),
        ("text_encoder2/spiece.model", None, "text_encoder2 holds no tokenizer"),
    ],
)
def test_wrong_and_missing_files(
    original: Original, tmp_path: Path, file: str, other: str | None, message: str
) -> None:
    """Nothing is written, not even in part."""
    folder = shutil.copytree(original[0], tmp_path / "K", copy_function=os.link)
    (folder / file).unlink()
    if other is not None:
        (folder / file).hardlink_to(folder / other)
    with pytest.raises(KandinskyError, match=message):
        convert(folder, "jax", tmp_path / "made", part="decoder")
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.slow(seconds=3)
def test_converted(original: Original, tmp_path: Path) -> None:
    folder, wanted = original
    source = tmp_path / "made"
    (conversion,) = convert(folder, "diffusers", source, part="decoder").values()
    record = conversion.components["vae"]
    assert (record.tensors, len(record.ignored)) == (248, 11)
    assert conversion.components["unet"].dtypes == ["F16", "F32"]
    check(source, "decoder", wanted, exact=False)
    for tokenizer in ("tokenizer", "tokenizer_2"):
        assert list((source / tokenizer).iterdir())
    pipe = AutoPipelineForText2Image.from_pretrained(source, backend=FakeBackend())
    assert type(pipe) is Kandinsky20Pipeline


@pytest.mark.parametrize(
    ("auto", "pipeline"),
    [
        (AutoPipelineForText2Image, Kandinsky20Pipeline),
        (AutoPipelineForImage2Image, Kandinsky20Img2ImgPipeline),
        (AutoPipelineForInpainting, Kandinsky20InpaintPipeline),
    ],
)
def test_each_task_has_its_pipeline(original: Original, auto: Any, pipeline: Any) -> None:
    pipe = auto.from_pretrained(original[0], backend=FakeBackend())
    assert type(pipe) is pipeline
    if auto is not AutoPipelineForInpainting:
        other = AutoPipelineForImage2Image.from_pipe(pipe)
        assert type(other) is Kandinsky20Img2ImgPipeline
        assert other.vae is pipe.vae


def test_four_scripts(original: Original) -> None:
    """Ids and masks are those of transformers' tokenizers, and no letter is unknown."""
    folder, _ = original
    first, second = folder / "text_encoder1", folder / "text_encoder2"
    fast = transformers.XLMRobertaTokenizerFast(tokenizer_file=str(first / "tokenizer.json"))
    slow = transformers.MT5Tokenizer.from_pretrained(second)
    texts = [*PROMPTS, "", " ".join(PROMPTS * 3)]
    for ours, theirs, unknown in (
        (XLMRobertaTokenizer.from_pretrained(first), fast, 3),
        (MT5Tokenizer.from_pretrained(second), slow, 2),
    ):
        wanted = theirs(
            texts, padding="max_length", max_length=77, truncation=True, return_tensors="np"
        )
        assert loading._TOKENIZERS[ours.class_name] is type(ours), "as what it is saved"
        ids, mask = ours(texts)
        np.testing.assert_array_equal(ids, wanted.input_ids)
        np.testing.assert_array_equal(mask, wanted.attention_mask)
        assert not (ids == unknown).any()
        assert len({tuple(row) for row in ids}) == len(texts)


def test_only_the_name_of_lightning_is_data(original: Original, tmp_path: Path) -> None:
    """The same name is refused where it would be called, and other names as before."""
    from tests.support.torch_archive import write_archive

    name = b"cpytorch_lightning.callbacks.model_checkpoint\nModelCheckpoint\n"
    for number, pickled in enumerate(
        (
            b"\x80\x02" + name + b")R.",
            b"\x80\x02}cpytorch_lightning.callbacks.model_checkpoint\nOther\nK\x01s.",
        )
    ):
        file = write_archive(tmp_path / f"{number}.ckpt", pickled, {})
        with pytest.raises(CheckpointError):
            convert(file, "jax", tmp_path / "made")
