"""Builds a pipeline's `__call__` from its `prepare`, which checks, and `run`, which computes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, update_wrapper
from inspect import Signature, cleandoc, signature
from textwrap import fill
from typing import Any, Concatenate, ParamSpec, TypeVar

from kandinsky_core.pipelines.shared.call_arguments import ARGUMENTS, ERRORS
from kandinsky_core.pipelines.shared.requests import CallRequest
from kandinsky_core.pipelines.shared.stopping import Call

__all__ = ["prepared_call"]

Arguments = ParamSpec("Arguments")
Pipeline = TypeVar("Pipeline")
Result = TypeVar("Result")

_WIDTH = 100


def prepared_call(
    prepare: Callable[Concatenate[Pipeline, Arguments], CallRequest[Result]],
) -> Callable[Concatenate[Pipeline, Arguments], Result]:
    """Return the `__call__` of a pipeline: `run(prepare(...))`, with the arguments of `prepare`.

    Its docstring is the one of `prepare`; `call_arguments` adds the arguments that it leaves out.
    """

    def call(self: Any, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Any:
        with self._calls.under_way(Call()):  # it can be stopped while its arguments are checked
            return self.run(prepare(self, *args, **kwargs))

    arguments = signature(prepare)
    update_wrapper(call, prepare)
    call.__signature__ = arguments.replace(return_annotation=Signature.empty)  # type: ignore[attr-defined]
    call.__name__ = "__call__"
    call.__qualname__ = prepare.__qualname__.replace("prepare", "__call__")
    call.__doc__ = _documentation(prepare.__doc__ or "", arguments.parameters)
    return call


def _documentation(written: str, arguments: Iterable[str]) -> str:
    own = cleandoc(written)
    names = [name for name in arguments if f"\n    {name}: " not in own]
    shared = [_entry(name, ARGUMENTS[name]) for name in names if name in ARGUMENTS]
    errors = [_entry(*error) for error in ERRORS.items()]
    head = "Check the arguments as `prepare` does, and run what it returns."
    return "\n".join(
        [head, "", own, "", "Arguments that calls share:", *shared, "", "Raises:", *errors]
    )


@cache  # wrapping takes most of the time that a class statement spends here
def _entry(name: str, text: str) -> str:
    return fill(f"{name}: {text}", _WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 8)
