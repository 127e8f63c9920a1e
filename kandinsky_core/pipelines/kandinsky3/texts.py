"""Makes the tokens, states and masks that Kandinsky 3's UNet reads of texts, in three ways.

In diffusers, the states of padding are zero and are projected as all others are; an empty text is
zero states and a mask of False. In ai-forever's code, padding is zero after the projection; an
empty text is one token with an embedding that was trained for it. In ai-forever's code of adapters,
an empty text is zero after the projection. See `conventions` beside this.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.texts.prompts import Prompts
from kandinsky_core.texts.t5_tokenizer import T5Tokenizer
from kandinsky_core.validation import as_batch

__all__ = [
    "States",
    "Texts",
    "check_texts",
    "conditioning_of",
    "fitted",
    "of_length",
    "text_length",
    "tokens_of",
    "zeroed_conditioning",
]

# States [P, L, H] and the mask [P, L], True on tokens.
States = tuple[FloatArray, Array]


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """Checked texts: prompts, or their states.

    Attributes:
        prompts: P prompts, or nothing where their states are given.
        negatives: As many negative prompts, or None.
        states: Given states of the prompts, or None.
        negative_states: Given states of the negative prompts, or None.
        beautifier: A function that expands a prompt, or None.
        cut: Whether the UNet is shown no more tokens than `text_length` says; else it is shown all
            that the tokenizer gives.
    """

    prompts: list[str]
    negatives: list[str] | None
    states: States | None
    negative_states: States | None
    beautifier: Callable[[str], str] | None = None
    cut: bool = True

    def expanded(self) -> Texts:
        """Return these texts with their prompts expanded, once all else has been checked."""
        if self.beautifier is None:
            return self
        prompts = [self.beautifier(prompt) for prompt in self.prompts]
        return replace(self, prompts=prompts, beautifier=None)

    @property
    def count(self) -> int:
        """Number P of prompts."""
        return len(self.prompts) if self.states is None else len(self.states[0])

    def facts(self, copies: int) -> list[dict[str, Any]]:
        """Return for each of the P * `copies` pictures the metadata about its texts."""
        nothing = [None] * self.count
        rows = zip(self.prompts or nothing, self.negatives or nothing, strict=True)
        given = {} if self.states is None else {"prompt_embeds": "given"}
        if self.negative_states is not None:
            given["negative_prompt_embeds"] = "given"
        return [
            {"prompt": prompt, "negative_prompt": negative, **given}
            for prompt, negative in rows
            for _ in range(copies)
        ]


def check_texts(
    width: int,
    prompt: Any,
    negative_prompt: Any,
    prompt_embeds: Any,
    negative_prompt_embeds: Any,
    attention_mask: Any,
    negative_attention_mask: Any,
) -> Texts:
    """Check the texts of a call; `width` is the width H of the states.

    Raises:
        InvalidInputError: A prompt and its states are both given, or neither; a mask is missing; or
            numbers and shapes do not agree.
    """
    if (prompt is None) == (prompt_embeds is None):
        raise InvalidInputError("give either prompt or prompt_embeds with attention_mask")
    states = _given(width, "prompt_embeds", prompt_embeds, "attention_mask", attention_mask)
    given = Prompts.check(prompt if states is None else [""] * len(states[0]), negative_prompt)
    if given.negatives is not None and negative_prompt_embeds is not None:
        raise InvalidInputError("give negative_prompt or negative_prompt_embeds, not both")
    negative = _given(
        width,
        "negative_prompt_embeds",
        negative_prompt_embeds,
        "negative_attention_mask",
        negative_attention_mask,
    )
    if negative is not None and len(negative[0]) != len(given):
        raise InvalidInputError(
            f"negative_prompt_embeds has {len(negative[0])} rows for {len(given)} prompts: give "
            "one for each"
        )
    prompts = given.texts if states is None else []
    return Texts(
        prompts=prompts, negatives=given.negatives, states=states, negative_states=negative
    )


def _given(width: int, name: str, states: Any, mask_name: str, mask: Any) -> States | None:
    if states is None:
        return None
    found = as_batch(name, states, (None, None, width))
    return found, as_batch(mask_name, mask, found.shape[:2]) > 0


def tokens_of(
    tokenizer: T5Tokenizer, texts: Sequence[str], lengths: Array | None = None
) -> tuple[Array, Array]:
    """Return ids and mask [P, 128] of texts.

    Args:
        tokenizer: The tokenizer of T5.
        texts: P texts.
        lengths: Most tokens to keep of each text, [P]; the last one stays the end of the text.
    """
    ids, mask = tokenizer(list(texts))
    for row, length in enumerate([] if lengths is None else lengths):
        end = int(mask[row].sum())
        if end > length:
            ids[row, length - 1] = ids[row, end - 1]
            ids[row, length:] = tokenizer.pad_token_id
            mask[row, length:] = False
    return ids, mask


def text_length(mask: Array) -> int:
    """Return how many tokens the UNet sees: one more than the longest text has, if there is room.

    The UNet takes a mean over all of them, so the additional one counts.
    """
    return min(int(mask.sum(axis=1).max()) + 1, mask.shape[1])


def fitted(found: States, length: int) -> States:
    """Cut or pad states and mask to a length."""
    states, mask = found
    return of_length(states, length), of_length(mask, length)


def of_length(rows: Array, length: int) -> Array:
    """Cut rows [P, L, ...] to a length, or pad them with zeros."""
    missing = max(0, length - rows.shape[1])
    return np.pad(rows[:, :length], [(0, 0), (0, missing), *[(0, 0)] * (rows.ndim - 2)])


def conditioning_of(found: States, null_embedding: Array | None) -> dict[str, Array]:
    """Return the conditioning that `Denoiser.begin` takes; a row without tokens is an empty text.

    Args:
        found: States and mask, the unconditional rows first.
        null_embedding: The null embedding [D]; None for diffusers' way.
    """
    states, mask = found
    if null_embedding is None:
        return {"text_encoder_hidden_states": states, "attention_mask": mask}
    empty = ~mask.any(axis=1, keepdims=True)  # [B, 1]
    seen = mask.copy()
    seen[:, :1] |= empty
    return {
        "text_encoder_hidden_states": states,
        "attention_mask": seen,
        "projected_mask": mask,
        "null_embedding": np.where(empty, null_embedding, 0).astype(np.float32),
    }


def zeroed_conditioning(found: States, empty: Array) -> dict[str, Array]:
    """Return the conditioning that `Denoiser.begin` takes, as the code of adapters makes it.

    Args:
        found: States and mask [B, L], the unconditional rows first.
        empty: True [C] for each of the last C rows, the conditional ones, whose prompt is empty.
            Padding of the other conditional rows is projected as in diffusers; that of
            unconditional rows is zero behind the projection.
    """
    states, mask = found
    seen, projected = mask.copy(), mask.copy()
    first = len(mask) - len(empty)
    seen[first:] &= ~empty[:, None]
    projected[first:] = ~empty[:, None]
    return {
        "text_encoder_hidden_states": states,
        "attention_mask": seen,
        "projected_mask": projected,
    }
