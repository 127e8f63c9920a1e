"""Prompts made richer by a language model: what Kandinsky 3.1 calls prompt beautification.

A decoder draws what it is told and invents little. The language model adds what a short prompt
leaves open: materials, light, surroundings, style. It runs in PyTorch, by transformers'
`text-generation`, whatever backend makes the picture; any other model can take its place as a
callable, and then neither package is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass
from functools import cached_property, partial
from importlib.util import find_spec
from pathlib import Path
from textwrap import shorten
from typing import Any

from kandinsky_core.errors import BackendUnavailableError, DeviceMemoryError, InvalidInputError
from kandinsky_core.seam.devices import device_name
from kandinsky_core.seam.dtypes import dtype_name
from kandinsky_core.validation import as_prompts, positive_int

__all__ = ["Beautifier", "PromptBeautifier", "beautifier_for"]

Beautifier = Callable[[str], str]

# As in the README of Kandinsky 3.1. Its technical report and the card of Intel's model have a
# newline after "### System:".
_TEMPLATE = (
    "### System: You are a prompt engineer. Your mission is to expand prompts written by user. "
    "You should provide the best prompt for text to image generation in English.\n"
    "### User:\n"
    "{prompt}\n"
    "### Assistant:\n"
)
_HEADING = "###"  # what a model writes that goes on with the next turn
_QUOTES = {'"': '"', "'": "'", "`": "`", "\u201c": "\u201d", "\u2018": "\u2019", "\xab": "\xbb"}
_TOKENS_A_WORD = 2  # English takes about 1.4, so that words are what limits the answer
_REASON_LENGTH = 200  # some of transformers' messages name all the models that it knows


@dataclass(frozen=True)
class PromptBeautifier:
    """Expands a prompt with a language model; on one machine a prompt always becomes the same text.

    Source: "Prompt beautification" in the README of Kandinsky 3.1, its template and its model.
    Decoding is greedy, whatever the model's own settings say. The tokenizer puts before the text
    what it always does, a BOS token for most models.

    The model is loaded at the first call and kept for the next ones, as long as this object
    lives. Of a GPU's memory PyTorch keeps what the model leaves for its own next use; for JAX it
    is free after `torch.cuda.empty_cache()`.

    Args:
        model: Causal language model, by hub id or folder. The default has 7 billion parameters,
            about 14 GB to download and to hold. Code that a repository brings is never run.
        max_words: Longest text to give: a longer answer is cut. T5 of Kandinsky 3 reads 128
            tokens, about 90 words.
        device: `cpu`, `cuda`, `cuda:1` and others that PyTorch knows; None takes an accelerator
            where PyTorch sees one. JAX takes most of a GPU's memory when it starts: where both
            are to share one, set XLA_PYTHON_CLIENT_PREALLOCATE=false.
        dtype: What the model computes in; None is what its weights are stored in.

    Raises:
        BackendUnavailableError: PyTorch or transformers is not installed.
        InvalidInputError: An argument is no model, number of words or dtype.
    """

    model: str | Path = "Intel/neural-chat-7b-v3-1"
    _: KW_ONLY
    max_words: int = 90
    device: Any = None
    dtype: Any = None

    def __post_init__(self) -> None:
        if not isinstance(self.model, (str, Path)) or not str(self.model):
            raise InvalidInputError(f"model={self.model!r}: give a hub id or a folder")
        positive_int("max_words", self.max_words)
        if self.dtype is not None:
            dtype_name(self.dtype)
        missing = [package for package in ("torch", "transformers") if find_spec(package) is None]
        if missing:
            raise BackendUnavailableError(
                f"a language model needs {' and '.join(missing)}, not installed: pip install "
                "'kandinsky-anywhere[beautify]'"
            )

    def __call__(self, prompt: str) -> str:
        """Expand one prompt.

        Args:
            prompt: A short text, in any language that the model reads.

        Returns:
            The model's prompt on one line, of `max_words` words at most.

        Raises:
            InvalidInputError: The prompt is no text or empty, the model or the device cannot be
                used, or the model answers nothing.
            DeviceMemoryError: The model does not fit the device.
        """
        if not isinstance(prompt, str) or not prompt.strip():
            raise InvalidInputError(f"prompt={prompt!r}: give a text to expand")
        as_prompts("prompt", prompt)  # no letters that UTF-8 cannot hold
        with _memory_explained(self.model):
            (found,) = self._pipeline(
                _TEMPLATE.format(prompt=prompt),
                return_full_text=False,
                max_new_tokens=_TOKENS_A_WORD * self.max_words,
                do_sample=False,
                temperature=None,  # of no use to greedy decoding, and transformers says so
                top_k=None,
                top_p=None,
            )
        words = _answer(found["generated_text"]).split()
        if not words:
            raise InvalidInputError(
                f"model {str(self.model)!r} answered nothing to prompt={prompt!r}: word the prompt "
                "in another way, or choose another model"
            )
        return " ".join(words[: self.max_words])

    @cached_property
    def _pipeline(self) -> Any:
        return _text_generation(str(self.model), self.device, self.dtype)


def beautifier_for(value: Any) -> Beautifier | None:
    """Return the function that a `beautify=` argument stands for. No model is loaded yet.

    Args:
        value: None or False for none; True for the model of Kandinsky 3.1; a hub id or a folder
            of another one; a `PromptBeautifier`; or any callable that takes a prompt and returns
            another.

    Returns:
        A function of one prompt. It keeps the model that it loads: make it once for many
        prompts. A callable is checked at each call to return a text that is not empty.

    Raises:
        BackendUnavailableError: It needs a package that is not installed.
        InvalidInputError: The value is something else.
    """
    if value is None or value is False:
        return None
    if value is True:
        return PromptBeautifier()
    if isinstance(value, (str, Path)):
        return PromptBeautifier(value)
    if isinstance(value, PromptBeautifier):
        return value
    if callable(value):
        return partial(_checked, value)
    raise InvalidInputError(
        f"beautify={value!r}: give True, a language model's hub id or folder, or a callable that "
        "takes a prompt and returns one"
    )


def _checked(beautify: Callable[[str], Any], prompt: str) -> str:
    text = beautify(prompt)
    if not isinstance(text, str) or not text.strip():
        raise InvalidInputError(
            f"the callable of beautify= returned {shorten(repr(text), _REASON_LENGTH)} for "
            f"prompt={prompt!r}: it is to return a text that is not empty"
        )
    return text


def _answer(text: str) -> str:
    """Return the model's own turn on one line, without the quotes around it."""
    line = " ".join(text.partition(_HEADING)[0].split())
    for first, last in _QUOTES.items():
        inside = line[1:].removesuffix(last)
        # One that is closed further inside belongs to a part. One that is never closed is of an
        # answer that was cut.
        if line.startswith(first) and last not in inside:
            return inside
    return line


def _text_generation(model: str, device: Any, dtype: Any) -> Any:
    """Load a model as transformers' `text-generation` pipeline.

    Raises:
        BackendUnavailableError: The packages that are installed do not work together.
        InvalidInputError: PyTorch cannot use the device, or the model cannot be loaded.
    """
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline
    except ImportError as error:
        raise BackendUnavailableError(
            f"transformers cannot be imported ({_reason(error)}): pip install --upgrade "
            "'kandinsky-anywhere[beautify]'"
        ) from error
    place = None if device is None else _torch_name(device)
    try:
        if place is not None:
            torch.empty(0, device=place)
    except (AssertionError, RuntimeError) as error:  # the first where PyTorch was built without
        raise InvalidInputError(
            f"device={device!r} cannot be used by PyTorch: {_reason(error)}"
        ) from error
    # Apart, as `pipeline` would hide what is wrong with them.
    try:
        tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=False)
        network, report = AutoModelForCausalLM.from_pretrained(
            model,
            dtype="auto" if dtype is None else dtype_name(dtype),
            trust_remote_code=False,
            output_loading_info=True,
        )
    except Exception as error:  # tokenizers raises bare Exception, safetensors its own
        raise InvalidInputError(
            f"language model {model!r} cannot be loaded: {_reason(error)}"
        ) from error
    missing = sorted(report["missing_keys"])
    if missing:  # transformers would make them up
        raise InvalidInputError(
            f"language model {model!r} cannot be loaded: of its tensors {len(missing)} missing "
            f"({shorten(', '.join(missing), _REASON_LENGTH)})"
        )
    return pipeline("text-generation", model=network, tokenizer=tokenizer, device=place)


def _torch_name(device: Any) -> str:
    """Return what PyTorch calls a device."""
    name = device_name(device) or str(device)
    return f"cuda{name[3:]}" if name.startswith("gpu") else name


def _reason(error: Exception) -> str:
    return shorten(str(error), _REASON_LENGTH) or repr(error)


@contextmanager
def _memory_explained(model: str | Path) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # PyTorch's, told without its import
            raise
        raise DeviceMemoryError(
            f"the language model {str(model)!r} does not fit the device ({_reason(error)}): choose "
            "device='cpu', a smaller model or dtype='bfloat16'"
        ) from error
