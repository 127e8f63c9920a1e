"""`get_kandinsky2` of ai-forever/Kandinsky-2's README, around our pipelines.

A script runs after its import is changed from `kandinsky2` to `kandinsky_core`. Beyond the
arguments there it takes `model`, `release`, `backend`, and what `from_pretrained` takes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kandinsky_core.checkpoints.hub import HubOptions
from kandinsky_core.checkpoints.opened_model import OpenedModel
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pipelines.auto import AutoPipelineForInpainting, AutoPipelineForText2Image
from kandinsky_core.pipelines.kandinsky2_0.entry_point import Kandinsky2, pipeline_for
from kandinsky_core.pipelines.kandinsky2_1.entry_point import Kandinsky2_1
from kandinsky_core.pipelines.kandinsky2_2.entry_point import Kandinsky2_2
from kandinsky_core.validation import one_of

__all__ = ["get_kandinsky2"]

_MODELS = {
    "2.0": "ai-forever/Kandinsky_2.0",
    "2.1": "kandinsky-community/kandinsky-2-1",
    "2.2": "kandinsky-community/kandinsky-2-2-decoder",
}


def get_kandinsky2(
    device: Any = None,
    task_type: str = "text2img",
    cache_dir: str | Path | None = None,
    use_auth_token: str | bool | None = None,
    model_version: str = "2.1",
    use_flash_attention: bool = False,
    *,
    model: str | Path | OpenedModel | None = None,
    release: str = "current",
    **options: Any,
) -> Kandinsky2 | Kandinsky2_1 | Kandinsky2_2:
    """Load a model of Kandinsky 2 as an object with the calls of the original code.

    Args:
        device: As for `from_pretrained`. A version in its place, `2.0` for example, is taken for
            `model_version`.
        task_type: `text2img`, `img2img` or `inpainting`. The first two load the same weights, so
            that their objects make pictures from pictures too. (In the original `img2img` fails.)
        cache_dir: Folder of the hub's cache; None takes the usual one.
        use_auth_token: Access token for the hub.
        model_version: `2.0`, `2.1` or `2.2`.
        use_flash_attention: Has no effect.
        model: A folder or hub id, in place of the published one. 2.1 and 2.2 are loaded from
            diffusers' layout.
        release: For 2.0: see `Kandinsky2`.
        **options: Further arguments of `from_pretrained`.

    Raises:
        InvalidInputError: An argument is of the wrong kind or range.
        KandinskyError: See `DiffusionPipeline.from_pretrained`.
    """
    if isinstance(device, str) and device in _MODELS:
        device, model_version = None, device
    published = _MODELS[one_of("model_version", model_version, tuple(_MODELS))]
    own = pipeline_for(task_type)
    options |= {"device": device, "cache_dir": cache_dir, "token": use_auth_token}
    if model_version == "2.0":
        return Kandinsky2(own.from_pretrained(model or published, **options), release)
    inpaints = task_type == "inpainting"
    auto = AutoPipelineForInpainting if inpaints else AutoPipelineForText2Image
    made = Kandinsky2_1 if model_version == "2.1" else Kandinsky2_2
    if model is not None:  # before its weights are read
        opened = OpenedModel.of(model, auto.part, HubOptions.among(options))
        found = getattr(auto.pipeline_class(opened), "decoder_class", None)
        if found not in made.decoders.values():
            raise InvalidInputError(
                f"model={model!r} is no Kandinsky {model_version}: give its own, or its version as "
                "model_version="
            )
        model = opened
    return made(auto.from_pretrained(model or f"{published}{'-inpaint' * inpaints}", **options))
