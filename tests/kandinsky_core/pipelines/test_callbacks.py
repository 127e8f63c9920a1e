"""What a callback returns is checked before it reaches a backend."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from kandinsky_core.errors import InvalidInputError
from tests.support.fakes import WIDTH, combined_pipeline, decoder_pipeline

EMBEDS: tuple[Any, Any] = (np.ones((1, WIDTH)), np.zeros((1, WIDTH)))
SHAPE = (1, 4, 4, 4)
HOLDS_ITSELF: list[Any] = []
HOLDS_ITSELF.append(HOLDS_ITSELF)


@pytest.fixture
def decoder() -> Any:
    pipe = decoder_pipeline()
    pipe.set_progress_bar_config(disable=True)
    return pipe


def call(decoder: Any, callback: Any, *names: str) -> Any:
    return decoder(
        *EMBEDS,
        num_inference_steps=2,
        output_type="latent",
        seed=0,
        callback_on_step_end=callback,
        callback_on_step_end_tensor_inputs=names or ("latents",),
    )


WRONG: dict[str, tuple[Any, str]] = {
    "a number": (5, "returned 5: return None, or a dict"),
    "zero": (0, "returned 0: return None"),
    "False": (False, "returned False"),
    "a list": ([], "returned a list: return None"),
    "an array": (np.zeros(SHAPE), "returned a ndarray"),
    "an unknown name": ({"latent": np.zeros(SHAPE)}, "'latent': choose from latents, image_embeds"),
    "a name that is no text": ({5: np.zeros(SHAPE)}, "returned 5: choose from"),
    "another shape": ({"latents": np.zeros((1, 4, 4, 5))}, r"latents of shape \(1, 4, 4, 5\): re"),
    "fewer axes": ({"latents": np.float32(3)}, r"latents of shape \(\)"),
    "NaN": ({"latents": np.full(SHAPE, np.nan)}, "latents that hold NaN or infinity"),
    "beyond float32": ({"latents": np.full(SHAPE, 1e300)}, "latents that hold NaN or infinity"),
    "complex": ({"latents": np.zeros(SHAPE, complex)}, "latents of a ndarray, which is no array"),
    "texts": ({"latents": np.full(SHAPE, "a")}, "latents of a ndarray, which is no array of num"),
    "None": ({"latents": None}, "latents of a NoneType"),
    "ragged lists": ({"latents": [[1], [1, 2]]}, "latents of a list"),
    "a list that holds itself": ({"latents": HOLDS_ITSELF}, "latents of a list"),
    "unconditional rows that are none": (
        {"negative_image_embeds": "red"},
        "negative_image_embeds of a str, which is no array",
    ),
    "conditioning of another shape": (
        {"image_embeds": np.zeros((1, WIDTH))},
        r"image_embeds of shape \(1, 6\): return an array of shape \(2, 6\)",
    ),
    "conditioning with infinity": (
        {"image_embeds": np.full((2, WIDTH), np.inf)},
        "image_embeds that holds NaN",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_put_back_is_refused(decoder: Any, name: str) -> None:
    returned, said = WRONG[name]

    def my_callback(*_: Any) -> Any:
        return returned

    with pytest.raises(InvalidInputError, match=said) as caught:
        call(decoder, my_callback)
    assert "my_callback" in str(caught.value)
    assert len(decoder.unet.runs[0].timesteps) == 1
    assert call(decoder, None).interrupted is None, "the pipeline serves the next call"


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int32, ">f4"])
def test_other_dtypes_of_numbers_are_cast(decoder: Any, dtype: Any) -> None:
    images = call(decoder, lambda *_: {"latents": np.full(SHAPE, 2, dtype)}).images
    assert images.dtype == np.float32
    np.testing.assert_array_equal(images, 2)


def test_latents_as_a_tensor_of_pytorch(decoder: Any) -> None:
    torch = pytest.importorskip("torch")
    for dtype in (torch.float32, torch.bfloat16):
        tensor = torch.full(SHAPE, 2.0, dtype=dtype, requires_grad=True)
        np.testing.assert_array_equal(call(decoder, lambda *_, t=tensor: {"latents": t}).images, 2)


def test_a_mask_stays_a_mask() -> None:
    pipe = combined_pipeline()
    masks = [np.full((2, 5), 1.0), np.full((2, 5), 0.5)]
    returned: list[Any] = []

    def callback(*_: Any) -> Any:
        return {"text_mask": returned[-1]}

    arguments = {"num_inference_steps": 1, "prior_callback_on_step_end": callback}
    returned.append(masks[0])
    pipe("a", **arguments)
    assert pipe.prior_pipe.prior.runs[0].conditioning["text_mask"].dtype == bool
    returned.append(masks[1])
    with pytest.raises(InvalidInputError, match="text_mask of dtype float64: return values of b"):
        pipe("a", **arguments)


def test_nan_that_the_network_made_is_not_the_callbacks(
    decoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kandinsky_core.errors import NonFiniteError
    from tests.support.fakes import FakeRun

    monkeypatch.setattr(FakeRun, "read", lambda self: np.full(SHAPE, np.nan, np.float32))
    with pytest.raises(NonFiniteError, match="the UNet"):
        call(decoder, lambda pipe, index, timestep, values: values)


def test_conditioning_that_is_changed_in_place_takes_effect_and_lasts(decoder: Any) -> None:
    seen = []

    def callback(pipe: Any, index: int, timestep: int, values: Any) -> Any:
        seen.append(values["image_embeds"].copy())
        values["image_embeds"][:] = 7
        return values

    embeds = np.ones((1, WIDTH), np.float32)
    decoder(
        embeds,
        embeds,
        num_inference_steps=2,
        callback_on_step_end=callback,
        callback_on_step_end_tensor_inputs=["image_embeds"],
    )
    assert [values.max() for values in seen] == [1, 7]
    assert (decoder.unet.runs[0].conditioning["image_embeds"] == 7).all()
    assert (embeds == 1).all(), "the caller's array stays as it was"


def test_what_a_callback_raises_passes_through(decoder: Any) -> None:
    class OwnError(Exception):
        pass

    def callback(*_: Any) -> Any:
        raise OwnError

    before = call(decoder, None).images
    with pytest.raises(OwnError):
        call(decoder, callback)
    assert decoder._interrupt is False
    np.testing.assert_array_equal(call(decoder, None).images, before)


@pytest.mark.parametrize(
    "names",
    ["latents", b"latents", 5, [5], [["latents"]], HOLDS_ITSELF, ["sample"], itertools.repeat("a")],
    ids=["text", "bytes", "number", "a number", "a list", "itself", "unknown", "endless"],
)
def test_names_of_tensors_that_are_none(decoder: Any, names: Any) -> None:
    with pytest.raises(InvalidInputError, match="callback_on_step_end_tensor_inputs"):
        decoder(*EMBEDS, callback_on_step_end_tensor_inputs=names)
    assert not decoder.unet.runs


@pytest.mark.parametrize("names", [None, [], (), {"latents"}, np.array(["latents"])], ids=repr)
def test_names_of_tensors_in_other_forms(decoder: Any, names: Any) -> None:
    decoder(*EMBEDS, num_inference_steps=1, callback_on_step_end_tensor_inputs=names)


def test_a_callback_that_is_none(decoder: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"callback_on_step_end='f' is not callable"):
        decoder(*EMBEDS, callback_on_step_end="f")


def test_what_a_step_predicts_is_shown_and_not_put_back(decoder: Any) -> None:
    """The last step of the schedule ends at what it predicts, but for its noise."""
    shown: list[Any] = []

    def look(*given: Any) -> None:
        shown.append(given[-1])

    images = call(decoder, look, "latents", "pred_original_sample").images
    first, last = (values["pred_original_sample"] for values in shown)
    np.testing.assert_allclose(last, images, atol=1e-6)
    assert not np.allclose(first, shown[0]["latents"])
    with pytest.raises(InvalidInputError, match="'pred_original_sample': choose from latents"):
        call(decoder, lambda *_: {"pred_original_sample": np.zeros(SHAPE)})
