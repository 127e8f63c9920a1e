"""What `kandinsky verify` compares of Kandinsky 2.0: two text encoders and no prior."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kandinsky_core.checkpoints.opened_model import OpenedModel
from kandinsky_core.denoising.generator import Generator
from kandinsky_core.pipelines.shared.verified_parts import Inputs, VerifiedParts

__all__ = ["Kandinsky20Parts"]


class Kandinsky20Parts(VerifiedParts):
    """The components of Kandinsky 2.0."""

    @classmethod
    def lacking(cls, model: OpenedModel) -> str | None:
        """See `VerifiedParts.lacking`."""
        return "Kandinsky 2.0"

    def encoders(self, call: Mapping[str, Any], generator: Generator) -> Inputs:
        """See `VerifiedParts.encoders`."""
        texts = [call["prompt"]]
        return {
            "text_encoder": self.pipeline.tokenizer(texts),
            "text_encoder_2": self.pipeline.tokenizer_2(texts),
        }

    def runs(self) -> dict[str, Callable[..., Any]]:
        """See `VerifiedParts.runs`."""
        return {
            "text_encoder": self.pipeline.text_encoder.encode,
            "text_encoder_2": self.pipeline.text_encoder_2.encode,
            **super().runs(),
        }
