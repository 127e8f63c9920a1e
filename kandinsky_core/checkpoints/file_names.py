"""The one table of the names that files of weights have."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "INDEX",
    "NATIVE",
    "NULL_EMBEDDING",
    "NULL_EMBEDDING_FILE",
    "PICKLE_STEMS",
    "SAFE_STEMS",
]

INDEX = "model_index.json"
"""The file that names a model's pipeline and its components."""

SAFE_STEMS: Mapping[str, str] = {
    "diffusers": "diffusion_pytorch_model",
    "transformers": "model",
    "kandinsky": "model",  # a class of transformers' kind that diffusers keeps
}
"""What each library calls a safetensors file, without the ending; the preferred name first."""

PICKLE_STEMS: Mapping[str, str] = {
    "diffusers": "diffusion_pytorch_model",
    "transformers": "pytorch_model",
    "kandinsky": "pytorch_model",
}
"""What each library calls a pickled file, without the ending `.bin`; the preferred name first."""

NATIVE: Mapping[str, str] = {
    "jax": "kandinsky_jax.safetensors",
    "mindspore": "kandinsky_mindspore.ckpt",
}
"""What `kandinsky convert` calls the weights of a component in the layout of a framework."""

NULL_EMBEDDING = "null_embedding"
"""The tensor that Kandinsky 3 takes for no text; a component of its pipelines, too."""

NULL_EMBEDDING_FILE = f"{NULL_EMBEDDING}.safetensors"
"""The file that holds that tensor alone, beside the weights of the UNet."""
