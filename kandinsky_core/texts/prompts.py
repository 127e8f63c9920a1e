"""Prompts that have been checked: a call takes them in place of texts, and does not check again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from kandinsky_core.validation import as_prompts, negatives_for

__all__ = ["Prompts"]


@dataclass(frozen=True, slots=True)
class Prompts:
    """Prompts and negative prompts that have passed `check`.

    Attributes:
        texts: P prompts.
        negatives: As many negative prompts, or None where none is given.
    """

    texts: list[str]
    negatives: list[str] | None = None

    @classmethod
    def check(cls, prompt: Any, negative_prompt: Any = None, *, name: str = "prompt") -> Self:
        """Check texts; a text that has been checked before passes as it is.

        Args:
            prompt: One text, a list of P texts, or checked prompts.
            negative_prompt: One text for all prompts, a list of P texts, or None. None leaves the
                negative prompts that checked prompts hold.
            name: The argument's name, for the error.

        Raises:
            InvalidInputError: A prompt is no text, or the numbers of prompts differ.
        """
        if not isinstance(prompt, cls):
            texts = as_prompts(name, prompt)
            return cls(texts, negatives_for(texts, negative_prompt))
        if negative_prompt is None:
            return prompt
        return cls(prompt.texts, negatives_for(prompt.texts, negative_prompt))

    def __len__(self) -> int:
        return len(self.texts)
