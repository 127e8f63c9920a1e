"""Which tensors of a checkpoint's files are no weights of its network."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["TIED", "UNUSED"]

_POSITIONS = "the numbers 0, 1, 2, ..., which the network makes itself"
UNUSED: Mapping[str, Mapping[str, str]] = {
    "CLIPTextModelWithProjection": {"text_model.embeddings.position_ids": _POSITIONS},
    "CLIPVisionModelWithProjection": {"vision_model.embeddings.position_ids": _POSITIONS},
    "MultilingualCLIP": {
        "transformer.embeddings.position_ids": _POSITIONS,
        "transformer.pooler.dense.weight": "the text embedding is a mean of all states",
        "transformer.pooler.dense.bias": "the text embedding is a mean of all states",
    },
    "VQModel": {"quantize.embedding.weight": "no pipeline quantises its latents"},
}
"""For each network: names of tensors that files hold and no pipeline uses, and why."""

TIED: Mapping[str, Mapping[str, str]] = {
    "T5EncoderModel": {"encoder.embed_tokens.weight": "shared.weight"},
}
"""For each network: second names of tensors, under which a file may hold them too, or alone."""
