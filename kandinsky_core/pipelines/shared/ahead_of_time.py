"""Compiles a pipeline's programs before its first call, by running the call on placeholder inputs.

Which programs a call needs depends on its sizes, its number of pictures and its switches. No table
lists them: the call itself, within `compile_only`, meets each of them on its way.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from inspect import signature
from typing import Any, ClassVar

import numpy as np

from kandinsky_core.errors import InvalidInputError
from kandinsky_core.seam.compilations import Compilation, CompilationLog
from kandinsky_core.seam.compile_only import compile_only
from kandinsky_core.validation import positive_int

__all__ = ["CompilesAhead", "sizes"]

_SIDE = 8  # of the placeholder pictures, in pixels; a call resizes them
_GUIDED, _UNGUIDED = 2.0, 1.0
_PICTURES = "ip_adapter_image"


class CompilesAhead:
    """Base of the pipelines: gives them `compile`, which makes all programs before the first call.

    Attributes:
        negative_prompt_compiles: Whether a negative prompt changes shapes, as it does in the prior.
    """

    networks: Any
    negative_prompt_compiles: ClassVar[bool] = False

    def compile(
        self,
        heights: int | Iterable[int] | None = None,
        widths: int | Iterable[int] | None = None,
        batch_sizes: int | Iterable[int] = (1,),
        *,
        guidance: bool | Iterable[bool] | None = None,
        prior_guidance: bool | Iterable[bool] | None = None,
        negative_prompt: bool | Iterable[bool] | None = None,
        image_prompt: bool | Iterable[bool] | None = None,
    ) -> list[Compilation]:
        """Compile every program that calls of these shapes need; no picture is computed.

        All combinations of the arguments are compiled. Such calls then compile nothing
        more, and a later process takes the programs from the compilation cache. Other threads may
        call the pipeline meanwhile. A backend that does not compile returns at once. MindSpore
        compiles a program when it first runs, so it takes one step with each.

        Args:
            heights: Heights in pixels; None takes the call's default.
            widths: Widths in pixels.
            batch_sizes: Numbers of pictures that a call makes: prompts times pictures of each. A
                task that takes a picture is compiled for one picture that all results start from.
            guidance: Whether `guidance_scale` is above 1: True, False, or both, `(True, False)`;
                None takes the call's default.
            prior_guidance: The same for `prior_guidance_scale`.
            negative_prompt: Whether there is a negative prompt: True, False, or both. None compiles
                both where it makes a difference, which is in the prior of Kandinsky 2.
            image_prompt: Whether there are pictures beside the prompt (`ip_adapter_image`): True,
                False, or both. None is True for a UNet with an IP-Adapter and False else.

        Returns:
            The programs that were compiled or taken from the cache, without those of earlier calls.

        Raises:
            InvalidInputError: An argument is of the wrong kind, or the pipeline's call does not
                take it or refuses it.
        """
        both = (False, True) if self.negative_prompt_compiles else None
        negative = both if negative_prompt is None else negative_prompt
        axes = {  # the argument here, and its name and values in a call
            "heights": ("height", sizes("heights", heights)),
            "widths": ("width", sizes("widths", widths)),
            "batch_sizes": ("num_images_per_prompt", sizes("batch_sizes", batch_sizes)),
            "guidance": ("guidance_scale", _scales("guidance", guidance)),
            "prior_guidance": ("prior_guidance_scale", _scales("prior_guidance", prior_guidance)),
            "negative_prompt": ("negative_prompt", _flags("negative_prompt", negative, "", None)),
            "image_prompt": (_PICTURES, _flags("image_prompt", image_prompt, _picture(), False)),
        }
        taken = signature(type(self).__call__).parameters
        for argument, (name, values) in axes.items():
            if name not in taken and values != [None]:
                raise InvalidInputError(
                    f"{argument}: a {type(self).__name__} takes no {name}, leave it out"
                )
        names = [name for name, _ in axes.values()]
        combinations = itertools.product(*(values for _, values in axes.values()))
        calls = [dict(zip(names, values, strict=True)) for values in combinations]
        return self._compile_calls(calls, set(taken))

    def _compile_calls(self, calls: list[dict[str, Any]], taken: set[str]) -> list[Compilation]:
        logs = _logs(self.networks.values())
        if not logs:
            return []
        before = [len(log) for log in logs]
        inputs = {name: value for name, value in self._stand_ins().items() if name in taken}
        pipeline: Any = self
        with compile_only():
            for call in calls:
                chosen = {name: value for name, value in call.items() if value is not None}
                own = inputs
                if _PICTURES in chosen:
                    own = {name: inputs[name] for name in inputs if _PICTURES not in name}
                if chosen.get(_PICTURES) is False:
                    del chosen[_PICTURES]
                pipeline(**own, **chosen)
        return [entry for log, start in zip(logs, before, strict=True) for entry in log[start:]]

    def _stand_ins(self) -> dict[str, Any]:
        """Return placeholder inputs by the names of a call's arguments; only their shapes count."""
        picture = _picture()
        white = np.full((_SIDE, _SIDE), 255, np.uint8)
        return {
            "prompt": "",
            "image": picture,
            "mask_image": white,
            "hint": picture,
            "control_image": picture,
            "output_type": "np",
            "seed": 0,
        }


def _picture() -> Any:
    return np.zeros((_SIDE, _SIDE, 3), np.uint8)


def _logs(networks: Iterable[Any]) -> list[CompilationLog]:
    """Return the logs of networks that compile; most share one."""
    found = (network.compilations for network in networks)
    return list({id(log): log for log in found if log is not None}.values())


def _items(name: str, value: Any) -> list[Any]:
    single = isinstance(value, str) or not isinstance(value, Iterable)
    items = [value] if single else list(value)
    if not items:
        raise InvalidInputError(f"{name} is empty: give at least one value, or leave it out")
    return items


def sizes(name: str, value: Any) -> list[Any]:
    """Return positive numbers, each once; None stands for the call's default.

    Raises:
        InvalidInputError: One of them is no positive whole number, or there is none.
    """
    if value is None:
        return [None]
    return list(dict.fromkeys(positive_int(name, item) for item in _items(name, value)))


def _flags(name: str, value: Any, on: Any, off: Any) -> list[Any]:
    """Return what a call takes for True, False or both; None stands for its default."""
    if value is None:
        return [None]
    items = _items(name, value)
    if not all(isinstance(item, (bool, np.bool_)) for item in items):
        raise InvalidInputError(f"{name}={value!r}: give True, False or both, (True, False)")
    return [on if item else off for item in dict.fromkeys(map(bool, items))]


def _scales(name: str, value: Any) -> list[Any]:
    return _flags(name, value, _GUIDED, _UNGUIDED)
