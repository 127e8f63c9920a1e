"""Encodes the prompts of a call for its pictures, where a negative prompt is a text like others."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.pipelines.shared.requests import DecoderRequest
from kandinsky_core.texts.prompts import Prompts

__all__ = ["encoded_texts"]


def encoded_texts(
    request: DecoderRequest,
    encode: Callable[[str], Sequence[FloatArray]],
    names: Sequence[str],
) -> dict[str, Array]:
    """Encode the texts for all pictures of a call; the unconditional rows come first.

    Where no negative prompt is given, the unconditional text is the empty one.

    Args:
        request: The call; its `texts` are `Prompts`.
        encode: Encodes one text into arrays of one row. Each text is encoded once.
        names: The names of these arrays in the conditioning.
    """
    prompts: Prompts = request.texts
    negatives = prompts.negatives or [""] * len(prompts)
    rows = [*(negatives if request.plan.guided else []), *prompts.texts]
    encoded = {text: encode(text) for text in dict.fromkeys(rows)}
    order = [text for text in rows for _ in range(request.count // len(prompts))]
    return {
        name: np.concatenate([encoded[text][part] for text in order])
        for part, name in enumerate(names)
    }
