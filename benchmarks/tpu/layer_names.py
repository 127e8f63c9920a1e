"""Gives traced operations the names of the layers that they belong to, for compiled programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import jax
from flax import nnx

from benchmarks.tpu.reading import LAYER
from kandinsky_jax.weights.network_form import NetworkForm

__all__ = ["layer_names"]


@contextmanager
def layer_names() -> Iterator[None]:
    """Name what is traced within: `down_blocks.0.resnets.1.norm1`, as the checkpoint does.

    The programs stay the same, since names are metadata.
    """
    build, names, named = NetworkForm.build, dict[int, str](), set[type]()

    def built(form: NetworkForm, weights: Any) -> Any:
        network = build(form, weights)
        for path, node in nnx.iter_graph(network):
            if path and isinstance(node, nnx.Module) and callable(node):
                names[id(node)] = ".".join(map(str, path))
                kept.append(node)  # an id belongs to one object for as long as that lives
                owner = next(each for each in type(node).__mro__ if "__call__" in vars(each))
                if owner not in named:
                    named.add(owner)
                    patches.enter_context(
                        mock.patch.object(owner, "__call__", _named(vars(owner)["__call__"], names))
                    )
        return network

    kept: list[Any] = []
    with ExitStack() as patches:
        patches.enter_context(mock.patch.object(NetworkForm, "build", built))
        yield


def _named(call: Callable[..., Any], names: dict[int, str]) -> Callable[..., Any]:
    def run(self: Any, *arguments: Any, **options: Any) -> Any:
        if id(self) not in names:
            return call(self, *arguments, **options)
        with jax.named_scope(f"{LAYER}{names[id(self)]}"):
            return call(self, *arguments, **options)

    return run
