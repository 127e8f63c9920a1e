"""Calls in diffusers' forms: signatures, callbacks' names, and pipelines made of pipelines.

What is compared is read from diffusers' classes, so nothing here repeats a list of them.
"""

from __future__ import annotations

import inspect
from functools import cache
from itertools import product
from typing import Any

import pytest

pytest.importorskip("torch")

import diffusers

import kandinsky_core as kandinsky
from kandinsky_core.errors import ConfigError, InvalidInputError
from tests.kandinsky_core.pipelines import test_kandinsky3 as fakes_3
from tests.support import fakes, fakes_2_1

NAMES = sorted(
    name
    for name in dir(diffusers)
    if name.startswith("Kandinsky") and name.endswith("Pipeline") and "Kandinsky5" not in name
)
# Arguments whose default differs here, and why.
DEFAULTS = {
    "height": "the size that the UNet was trained at",
    "width": "the size that the UNet was trained at",
    "negative_image_embeds": "not needed without guidance",
    "hint": "stands behind an argument with a default",
    "callback_on_step_end_tensor_inputs": "a tuple, which no call can change",
    "callback_steps": "None is 1 where diffusers fails",
}


def test_there_is_a_pipeline_of_each_name() -> None:
    assert len(NAMES) == 19
    assert set(NAMES) <= set(dir(kandinsky))


@pytest.mark.parametrize("name", NAMES)
def test_arguments_have_diffusers_order_and_defaults(name: str) -> None:
    theirs = dict(inspect.signature(getattr(diffusers, name).__call__).parameters)
    ours = dict(inspect.signature(getattr(kandinsky, name).__call__).parameters)
    takes_more = theirs.pop("kwargs", None)
    positional = [
        key for key, one in ours.items() if one.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    ]
    assert positional[: len(theirs)] == list(theirs)
    for key, parameter in theirs.items():
        if key == "output_type" and parameter.default == "pt":  # a prior's: arrays, here
            assert ours[key].default == "np"
        elif key.removeprefix("prior_") not in DEFAULTS:
            assert ours[key].default == parameter.default, key
    if takes_more is not None:  # what diffusers' code takes out of them
        assert {"callback", "callback_steps"} <= set(ours) - set(positional)


@pytest.mark.parametrize("name", NAMES)
def test_callbacks_may_ask_for_all_that_diffusers_offers(name: str) -> None:
    theirs = getattr(getattr(diffusers, name), "_callback_tensor_inputs", ["latents"])
    ours = getattr(kandinsky, name)._callback_tensor_inputs
    assert isinstance(ours, list)
    assert ours[: len(theirs)] == theirs


@cache
def pipe_of(name: str) -> Any:
    """A pipeline of NumPy's networks."""
    made: Any = getattr(kandinsky, name)
    if name.startswith("Kandinsky3"):
        return fakes_3.pipeline(made)
    if "Prior" in name:
        return made(**fakes.prior_components())
    tasks = (fakes_2_1.COMBINED, fakes_2_1.DECODERS)
    found = [task for table in tasks for task, one in table.items() if one is made]
    if found:
        return (fakes_2_1.combined if "Combined" in name else fakes_2_1.decoder)(found[0])
    if "Combined" in name:
        return fakes.combined_pipeline(made)
    return fakes.image_pipeline(next(t for t, (one, _) in fakes.DECODERS.items() if one is made))


def parts_of(name: str) -> tuple[set[str], set[str]]:
    """Names of the components of diffusers' class, and of those that may be left out."""
    made = getattr(diffusers, name)
    parts = made._get_signature_keys(made)[0]
    parameters = inspect.signature(made.__init__).parameters
    return set(parts), {key for key in parts if parameters[key].default is not inspect._empty}


def fits(source: str, target: str) -> bool:
    """Whether the UNet of one pipeline is one that the other's class was made for."""
    pipe, made = pipe_of(source), getattr(kandinsky, target)
    unet = pipe.components.get("unet")
    if unet is None:
        return True
    wanted = getattr(made, "decoder_class", made)
    family = "3" if target.startswith("Kandinsky3") else "2.1" if wanted.reads_text else "2.2"
    return bool((unet.config.kind, unet.config.family) == (wanted.kind, family))


@pytest.mark.parametrize("source", NAMES)
def test_a_pipeline_is_made_of_any_other_that_has_its_parts(source: str) -> None:
    pipe = pipe_of(source)
    had, _ = parts_of(source)
    for target in NAMES:
        made: Any = getattr(kandinsky, target)
        needed, optional = parts_of(target)
        missing = needed - optional - had
        if missing:
            with pytest.raises(InvalidInputError, match=f"a {source} has no .*needs: give ") as err:
                made.from_pipe(pipe)
            named = missing - made._optional_components()  # a preprocessor, here
            assert named, "so that it is refused"
            assert all(part in str(err.value) for part in named)
        elif not fits(source, target):
            with pytest.raises(ConfigError):
                made.from_pipe(pipe)
        else:
            shared = made.from_pipe(pipe)
            assert type(shared) is made
            assert all(getattr(shared, part) is getattr(pipe, part) for part in needed & had)


@pytest.mark.parametrize(("task", "source"), product(("Text2Image", "Image2Image"), NAMES))
def test_automatic_pipelines_are_made_of_the_same_ones(task: str, source: str) -> None:
    """diffusers' class of the same task and family, or no pipeline at all."""
    from diffusers.pipelines import auto_pipeline

    table = getattr(auto_pipeline, f"AUTO_{task.upper()}_PIPELINES_MAPPING")
    theirs = None
    if auto_pipeline._get_model(source) is not None:
        theirs = auto_pipeline._get_task_class(table, source).__name__
    ours = getattr(kandinsky, f"AutoPipelineFor{task}")
    if theirs is None:
        # ControlNets and priors; ours takes a ControlNet's parts for the same family's class
        with pytest.raises((InvalidInputError, ConfigError)):
            ours.from_pipe(pipe_of(source))
    else:
        assert ours._class_for(pipe_of(source)).__name__ == theirs
