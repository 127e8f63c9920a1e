"""Depth hints against the model card's own code, with a small random depth estimator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from kandinsky_core import KandinskyV22ControlnetPipeline, depth_hint
from kandinsky_core.errors import InvalidInputError
from tests.support.tolerances import allowed

pytest.importorskip("jax")
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def estimator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DPT of a few thousand random weights, as transformers saves it."""
    torch.manual_seed(0)
    config = transformers.DPTConfig(
        hidden_size=8,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=32,
        patch_size=8,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[4, 4, 8, 8],
        fusion_hidden_size=8,
        is_hybrid=False,
    )
    folder = tmp_path_factory.mktemp("estimator")
    transformers.DPTForDepthEstimation(config).save_pretrained(folder)
    transformers.DPTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


@pytest.fixture
def picture() -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 255, (40, 56, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def make_hint(image: Image.Image, depth_estimator: Any) -> Any:
    """Make a hint as the sample of the Kandinsky 2.2 model card does."""
    depth = np.array(depth_estimator(image)["depth"])
    planes = np.concatenate([depth[:, :, None]] * 3, axis=2)
    return (torch.from_numpy(planes).float() / 255.0).permute(2, 0, 1)


def test_depth_hint_is_that_of_the_model_card(estimator: Path, picture: Image.Image) -> None:
    ready = transformers.pipeline("depth-estimation", model=str(estimator))
    expected = make_hint(picture, ready).unsqueeze(0).numpy()
    assert expected.std() > 0.05
    for given in (estimator, str(estimator), ready):
        hint = depth_hint(picture, given)
        assert hint.shape == (1, 3, 40, 56)
        np.testing.assert_allclose(hint, expected, atol=allowed("hint"))


def test_an_estimator_that_cannot_be_loaded(tmp_path: Path, picture: Image.Image) -> None:
    with pytest.raises(InvalidInputError, match=r"estimator='.*' cannot be loaded: ") as raised:
        depth_hint(picture, str(tmp_path / "absent"))
    assert "\n" not in str(raised.value)


def test_the_card_s_own_hint_and_generator_work_as_they_are(picture: Image.Image) -> None:
    """A half-precision tensor, and PyTorch's generator; NumPy's give the same picture."""
    pipe = KandinskyV22ControlnetPipeline.from_pretrained("shapes", torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    hint = make_hint(picture, lambda image: {"depth": image.convert("L")})
    embeds = np.random.default_rng(1).normal(size=(2, 1, pipe.unet.config.encoder_hid_dim))
    image_emb, zero_image_emb = embeds.astype(np.float32)

    def draw(hint: Any, generator: Any) -> npt.NDArray[np.float32]:
        output = pipe(
            image_embeds=image_emb,
            negative_image_embeds=zero_image_emb,
            hint=hint,
            num_inference_steps=2,
            generator=generator,
            output_type="np",
        )
        return output.images

    card = draw(hint.unsqueeze(0).half(), torch.Generator(device="cpu").manual_seed(43))
    ours = draw(hint.unsqueeze(0).half().float().numpy(), 43)
    np.testing.assert_allclose(card, ours, atol=allowed("picture"))
    assert np.abs(draw(np.zeros((1, 3, 64, 64), np.float32), 43) - ours).max() > 0.05
