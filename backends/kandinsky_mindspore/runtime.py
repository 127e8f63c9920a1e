"""Imports MindSpore and mindone quietly, and holds the lock that admits one thread at a time."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np

from kandinsky_backend_kit.own_process import in_own_process
from kandinsky_core.configs import NETWORKS

__all__ = ["LOCK", "load_mindspore", "mindone_class", "mindone_module"]

# Two threads that issue MindSpore operations at once crash the process, whatever they compute.
_ONE_THREAD = threading.RLock()


class _Lock:
    """Admits one thread at a time to MindSpore, and only in the process that loaded networks.

    Networks run eagerly, whatever mode the caller has set for code of its own. That mode is back
    when the thread leaves.
    """

    def __init__(self) -> None:
        self._depth = 0
        self._mode: int | None = None  # the caller's, where it is another than ours

    def __enter__(self) -> None:
        in_own_process()  # first: in a fork another thread's lock would never open
        with contextlib.ExitStack() as stack:
            stack.enter_context(_ONE_THREAD)
            if self._depth == 0:
                ms = sys.modules["mindspore"]
                mode = ms.get_context("mode")
                if mode != ms.PYNATIVE_MODE:
                    ms.set_context(mode=ms.PYNATIVE_MODE)
                    self._mode = mode
            self._depth += 1
            stack.pop_all()  # the lock stays closed until `__exit__`

    def __exit__(self, *error: object) -> None:
        try:
            if self._depth == 1 and self._mode is not None:
                mode, self._mode = self._mode, None
                sys.modules["mindspore"].set_context(mode=mode)
        finally:
            self._depth -= 1
            _ONE_THREAD.release()


LOCK = _Lock()

# Where mindone has the classes of a library.
_MODULES = {
    "diffusers": "mindone.diffusers",
    "kandinsky": "mindone.diffusers.pipelines.kandinsky.text_encoder",
    "transformers": "mindone.transformers",
}


def load_mindspore() -> Any:
    """Import MindSpore; its logs then show only errors, unless GLOG_v says otherwise."""
    with _ONE_THREAD:
        if "mindspore" not in sys.modules:
            os.environ.setdefault("GLOG_v", "3")  # read once, by the C++ library and by Python
        with _quiet():
            mindspore = importlib.import_module("mindspore")
        # MindSpore gives this name to a type of its own, which JAX would then refuse.
        np.sctypeDict["bfloat16"] = ml_dtypes.bfloat16
        return mindspore


def mindone_class(name: str) -> Any:
    """Return a model class of mindone; the first call imports for seconds.

    Raises:
        KeyError: There is no such network in `kandinsky_core.configs.NETWORKS`.
    """
    module = mindone_module(_MODULES[NETWORKS[name].library])
    with _ONE_THREAD, _quiet():  # the module imports what it is asked for
        return getattr(module, name)


def mindone_module(name: str) -> Any:
    """Import a module of mindone."""
    load_mindspore()
    with _ONE_THREAD, _quiet():
        return importlib.import_module(name)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence imports: these libraries print and warn about models that are not used here."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
