"""Encoded prompts of Kandinsky 3, to be kept in a file: a small device then never needs T5."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.errors import CheckpointError, InvalidInputError
from kandinsky_core.files import replace_file
from kandinsky_core.pipelines.shared.outputs import PipelineOutput

__all__ = ["PromptEmbeds"]


@dataclass(frozen=True, eq=False)
class PromptEmbeds(PipelineOutput):
    """Encoded prompts, which `encode_prompt` returns and a call takes: `pipe(**embeds)`.

    Attributes:
        prompt_embeds: States of the prompts, float32 [P, L, H], zero on padding.
        negative_prompt_embeds: States of the negative prompts, the same; None without guidance.
        attention_mask: Mask of the prompts, bool [P, L], True on tokens.
        negative_attention_mask: Mask of the negative prompts, all False where there are none; None
            without guidance.
    """

    prompt_embeds: FloatArray
    negative_prompt_embeds: FloatArray | None
    attention_mask: Array
    negative_attention_mask: Array | None
    _fields = (
        "prompt_embeds",
        "negative_prompt_embeds",
        "attention_mask",
        "negative_attention_mask",
    )

    def save(self, path: str | Path) -> None:
        """Write all to one file, at most 2 MB for each text; a failure leaves no partial file.

        Raises:
            InvalidInputError: The path does not end in `.safetensors`.
            OSError: The file cannot be written.
        """
        from safetensors.numpy import save

        path = Path(path)
        if path.suffix != ".safetensors":
            raise InvalidInputError(f"{path}: embeddings are written as .safetensors")
        given = {name: self[name] for name in self.keys() if self[name] is not None}
        with replace_file(path) as temporary:
            # `save_file` of safetensors would put another file in the place of the temporary one
            content = save({name: np.ascontiguousarray(given[name]) for name in given})
            temporary.write_bytes(content)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read the file that `save` wrote.

        Raises:
            CheckpointError: The file is damaged, or holds something else.
            InvalidInputError: There is no such file.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        if not Path(path).is_file():
            raise InvalidInputError(f"{path}: there is no such file of embeddings")
        try:
            found = load_file(path)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path} is no file of embeddings: {error}") from error
        needed = {"prompt_embeds", "attention_mask"}
        if not needed <= set(found) <= set(cls._fields):
            raise CheckpointError(
                f"{path} holds {', '.join(sorted(found)) or 'nothing'}: give a file that "
                "`encode_prompt(...).save(path)` wrote"
            )
        return cls(
            found["prompt_embeds"],
            found.get("negative_prompt_embeds"),
            found["attention_mask"],
            found.get("negative_attention_mask"),
        )
