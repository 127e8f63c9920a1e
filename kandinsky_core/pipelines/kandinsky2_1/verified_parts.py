"""What `kandinsky verify` compares of Kandinsky 2.1: its decoder reads the prompt too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kandinsky_core.denoising.generator import Generator
from kandinsky_core.pipelines.kandinsky2_2.verified_parts import HalvesParts
from kandinsky_core.pipelines.shared.verified_parts import Inputs

__all__ = ["MultilingualParts"]

_FIRST, _SECOND = "text_encoder", "multilingual"


class MultilingualParts(HalvesParts):
    """The components of Kandinsky 2.1; `multilingual` is the text encoder of the decoder."""

    def encoders(self, call: Mapping[str, Any], generator: Generator) -> Inputs:
        """See `VerifiedParts.encoders`."""
        found = super().encoders(call, generator)
        own = {_SECOND: self.decoder.tokenizer([call["prompt"]])}
        return {_FIRST: found.pop(_FIRST), **own, **found}

    def texts(self, call: Mapping[str, Any]) -> dict[str, Any]:
        """See `HalvesParts.texts`."""
        return {"prompt": call["prompt"]}

    def runs(self) -> dict[str, Callable[..., Any]]:
        """See `VerifiedParts.runs`."""
        found = super().runs()
        return {_FIRST: found.pop(_FIRST), _SECOND: self.decoder.text_encoder.encode, **found}
