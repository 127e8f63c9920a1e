"""Prompts made richer by a language model: Kandinsky 3.1 calls this prompt beautification.

A decoder draws what it is told and invents little. The language model adds what a short prompt
leaves open: materials, light, surroundings, style. It runs in PyTorch, by transformers'
`text-generation`, whatever backend makes the picture. A callable can take its place; then neither
package is needed.
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

from kandinsky_core.checkpoints.hub import hub_answers
from kandinsky_core.errors import (
    BackendUnavailableError,
    DeviceMemoryError,
    InvalidInputError,
    ModelNotFoundError,
)
from kandinsky_core.seam.devices import device_name
from kandinsky_core.seam.dtypes import dtype_name
from kandinsky_core.validation import as_prompts, positive_int

__all__ = ["Beautifier", "PromptBeautifier", "beautifier_for"]

Beautifier = Callable[[str], str]

# The text is that of Kandinsky 3.1's README. The technical report and the card of Intel's model
# have a newline after "### System:".
_TEMPLATE = (
    "### System: You are a prompt engineer. Your mission is to expand prompts written by user. "
    "You should provide the best prompt for text to image generation in English.\n"
    "### User:\n"
    "{prompt}\n"
    "### Assistant:\n"
)
_HEADING = "###"  # a model that goes on with the next turn starts it with this
_QUOTES = {'"': '"', "'": "'", "`": "`", "\u201c": "\u201d", "\u2018": "\u2019", "\xab": "\xbb"}
_TOKENS_A_WORD = 2  # English takes about 1.4, so the words and not the tokens limit the answer
_REASON_LENGTH = 200  # some of transformers' messages name all the models that it knows


@dataclass(frozen=True)
class PromptBeautifier:
    """Expands a prompt with a language model; on one machine a prompt always becomes the same text.

    Source: "Prompt beautification" in the README of Kandinsky 3.1, with its template and its model.
    Decoding is greedy, whatever the model's own settings say. The tokenizer puts its usual tokens
    before the text, a BOS token for most models.

    The model is loaded at the first call and kept for the next ones, as long as this object
    lives. Afterwards PyTorch keeps the model's GPU memory for its own next use; for JAX that memory
    is free after `torch.cuda.empty_cache()`.

    Args:
        model: Causal language model, by hub id or folder. The default has 7 billion parameters,
            about 14 GB to download and to hold. Code that a repository brings is never run.
        max_words: Longest text to return, in words; a longer answer is cut. T5 of Kandinsky 3 reads
            128 tokens, about 90 words.
        device: `cpu`, `cuda`, `cuda:1` or another device that PyTorch knows; None takes an
            accelerator where PyTorch sees one. JAX takes most of a GPU's memory when it starts: set
            XLA_PYTHON_CLIENT_PREALLOCATE=false where both share a GPU.
        dtype: Dtype that the model computes in; None takes the dtype of its stored weights.

    Raises:
        BackendUnavailableError: PyTorch or transformers is not installed.
        InvalidInputError: `model` is no text or path, `max_words` is no number of words, or `dtype`
            is no dtype.
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
            prompt: A short text in any language that the model reads.

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
                temperature=None,  # greedy decoding ignores it, and transformers would warn
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
        value: None or False for no function; True for the model of Kandinsky 3.1; a hub id or a
            folder of another model; a `PromptBeautifier`; or any callable that takes a prompt and
            returns another.

    Returns:
        A function of one prompt. It keeps the model that it loads: make it once for many
        prompts. Each call of a callable checks that it returns a text that is not empty.

    Raises:
        BackendUnavailableError: The language model needs a package that is not installed.
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
        # A quote that is closed further inside belongs to a part of the answer and stays. A quote
        # that is never closed goes: the answer was cut.
        if line.startswith(first) and last not in inside:
            return inside
    return line


def _text_generation(model: str, device: Any, dtype: Any) -> Any:
    """Load a model as transformers' `text-generation` pipeline.

    Raises:
        BackendUnavailableError: The packages that are installed do not work together.
        InvalidInputError: PyTorch cannot use the device, or the model cannot be loaded.
    """
    # Asked here once, as transformers asks for each file again and again, for most of a minute.
    try:
        cached_only = not Path(model).is_dir() and not hub_answers(model)
    except ModelNotFoundError as error:
        raise InvalidInputError(f"language model {model!r} cannot be loaded: {error}") from error
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
    except (AssertionError, RuntimeError) as error:  # AssertionError: PyTorch was built without it
        raise InvalidInputError(
            f"device={device!r} cannot be used by PyTorch: {_reason(error)}"
        ) from error
    # Tokenizer and network are loaded here, since `pipeline` would hide why they cannot be.
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            model, trust_remote_code=False, local_files_only=cached_only
        )
        network, report = AutoModelForCausalLM.from_pretrained(
            model,
            dtype="auto" if dtype is None else dtype_name(dtype),
            trust_remote_code=False,
            local_files_only=cached_only,
            output_loading_info=True,
        )
    except Exception as error:  # tokenizers raises bare Exception, safetensors its own class
        raise InvalidInputError(
            f"language model {model!r} cannot be loaded: {_reason(error)}"
        ) from error
    missing = sorted(report["missing_keys"])
    if missing:  # transformers would fill them with random numbers
        raise InvalidInputError(
            f"language model {model!r} cannot be loaded: of its tensors {len(missing)} missing "
            f"({shorten(', '.join(missing), _REASON_LENGTH)})"
        )
    return pipeline("text-generation", model=network, tokenizer=tokenizer, device=place)


def _torch_name(device: Any) -> str:
    """Return PyTorch's name of a device."""
    name = device_name(device) or str(device)
    return f"cuda{name[3:]}" if name.startswith("gpu") else name


def _reason(error: Exception) -> str:
    return shorten(str(error), _REASON_LENGTH) or repr(error)


@contextmanager
def _memory_explained(model: str | Path) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # PyTorch's, told without an import
            raise
        raise DeviceMemoryError(
            f"the language model {str(model)!r} does not fit the device ({_reason(error)}): choose "
            "device='cpu', a smaller model or dtype='bfloat16'"
        ) from error
