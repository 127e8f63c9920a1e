"""What a pipeline tells of itself by diffusers' names."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from kandinsky_core import DDPMScheduler, DiffusionPipeline, KandinskyV22CombinedPipeline
from kandinsky_core.checkpoints.hub import EMBEDDED
from kandinsky_core.errors import InvalidInputError
from tests.support.fakes import combined_pipeline, decoder_pipeline, image_pipeline


def test_the_config_names_library_and_class_of_each_component() -> None:
    pipe = combined_pipeline()
    pipe.origin = {"model": "shapes"}
    config = pipe.config
    assert config["scheduler"] == config.scheduler == ("diffusers", "DDPMScheduler")
    assert config["prior_scheduler"] == ("diffusers", "UnCLIPScheduler")
    assert config["_class_name"] == "KandinskyV22CombinedPipeline"
    assert pipe.name_or_path == config._name_or_path == "shapes"
    assert json.loads(pipe.to_json_string())["scheduler"] == ["diffusers", "DDPMScheduler"]
    pipe.image_encoder = None
    for change in (
        lambda: config.update(x=1),
        lambda: config.__setitem__("x", 1),
        lambda: setattr(config, "x", 1),
    ):
        with pytest.raises(InvalidInputError, match="is not changed"):
            change()
    assert copy.deepcopy(config) == config
    assert not hasattr(config, "vae")


def test_register_modules_replaces_components() -> None:
    pipe = combined_pipeline()
    scheduler = DDPMScheduler()
    pipe.register_modules(scheduler=scheduler)
    assert pipe.decoder_pipe.scheduler is scheduler
    with pytest.raises(InvalidInputError, match=r"has no vae; it has unet"):
        pipe.register_modules(vae=None)


def test_progress_bar_and_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    pipe = combined_pipeline()  # its bars are off
    assert list(pipe.progress_bar(range(3))) == [0, 1, 2]
    with pipe.progress_bar(total=2) as bar:
        bar.update()
    assert capsys.readouterr().err == ""
    with pytest.raises(InvalidInputError, match="iterable= or total="):
        pipe.progress_bar()
    (image,) = pipe.numpy_to_pil(np.full((4, 6, 3), 0.5))
    assert (image.size, image.mode, image.getpixel((0, 0))) == ((6, 4), "RGB", (128, 128, 128))
    assert pipe.numpy_to_pil(np.zeros((2, 4, 6, 1)))[1].mode == "L"
    with pytest.raises(InvalidInputError, match="of shape"):
        pipe.numpy_to_pil(np.zeros((4, 6)))


def test_a_pickled_pipeline_has_halves_of_its_own() -> None:
    pipe = combined_pipeline()
    pipe.origin = {"model": "shapes", "lora": "a:1"}
    made = pickle.loads(pickle.dumps(pipe))
    assert made.config == pipe.config
    assert made.origin == made.decoder_pipe.origin == pipe.origin
    assert made.unet is made.decoder_pipe.unet is not pipe.unet
    assert made._calls is made.prior_pipe._calls is made.decoder_pipe._calls is not pipe._calls


def test_a_copy_shares_components_and_no_calls() -> None:
    pipe = combined_pipeline()
    second = copy.copy(pipe)
    second.scheduler = None
    assert pipe.scheduler is not None
    assert second.unet is pipe.unet
    assert second._calls is second.prior_pipe._calls is not pipe._calls
    assert pipe._calls is pipe.decoder_pipe._calls


def test_a_function_that_wraps_a_network_is_taken_off() -> None:
    pipe = decoder_pipeline()
    unet = pipe.unet

    def inner() -> None: ...

    def outer() -> None: ...

    inner.__wrapped__ = unet  # type: ignore[attr-defined]
    outer._torchdynamo_orig_callable = inner  # type: ignore[attr-defined]
    pipe.unet = outer
    assert pipe.unet is unet
    inner.__wrapped__ = outer  # type: ignore[attr-defined]
    pipe.unet = outer  # a circle without a network is left alone
    assert pipe.unet is outer


def test_image_to_image_has_an_image_processor() -> None:
    processor = image_pipeline("img2img").image_processor
    assert processor.preprocess(np.zeros((17, 23, 3), np.uint8)).shape == (1, 3, 16, 20)
    assert not hasattr(decoder_pipeline(), "image_processor")


@pytest.mark.parametrize("made", [DiffusionPipeline, KandinskyV22CombinedPipeline])
def test_download_returns_the_folder(made: Any) -> None:
    assert made.download("shapes") == str(EMBEDDED["shapes"] / "decoder")
    with pytest.raises(InvalidInputError, match="local_dir"):
        made.download("shapes", local_dir="x")


def test_rooms_are_attributes_of_the_package_alone() -> None:
    code = (
        "import kandinsky_core as k\n"
        "assert k.utils.logging.get_verbosity() == 30 == k.utils.logging.WARNING\n"
        "assert k.pipelines.ImagePipelineOutput is k.ImagePipelineOutput\n"
        "assert k.image_processor.VaeImageProcessor and k.utils.torch_utils.randn_tensor\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
