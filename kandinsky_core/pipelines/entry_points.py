"""`get_kandinsky2` of ai-forever/Kandinsky-2's README, around our pipelines.

A script runs after its import is changed from `kandinsky2` to `kandinsky_core`. Beyond the
arguments there it takes `model`, `release`, `backend`, and what `from_pretrained` takes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kandinsky_core.checkpoints.opened_model import OpenedModel
from kandinsky_core.pipelines.kandinsky2_0.entry_point import Kandinsky2, pipeline_for
from kandinsky_core.validation import one_of

__all__ = ["get_kandinsky2"]

_MODELS = {"2.0": "ai-forever/Kandinsky_2.0"}


def get_kandinsky2(
    device: Any = None,
    task_type: str = "text2img",
    cache_dir: str | Path | None = None,
    use_auth_token: str | bool | None = None,
    model_version: str = "2.0",
    use_flash_attention: bool = False,
    *,
    model: str | Path | OpenedModel | None = None,
    release: str = "current",
    **options: Any,
) -> Kandinsky2:
    """Load Kandinsky 2.0 as an object with the calls of the original code.

    Args:
        device: As for `from_pretrained`. `2.0` in its place says the version.
        task_type: `text2img`, `img2img` or `inpainting`. The first two load the same weights, so
            that their objects make pictures from pictures too. (In the original `img2img` fails.)
        cache_dir: Folder of the hub's cache; None takes the usual one.
        use_auth_token: Access token for the hub.
        model_version: `2.0`; the README's default there is 2.1, which `AutoPipelineForText2Image`
            loads.
        use_flash_attention: Has no effect.
        model: A folder or hub id, in place of ai-forever/Kandinsky_2.0.
        release: See `Kandinsky2`.
        **options: Further arguments of `from_pretrained`.

    Raises:
        InvalidInputError: An argument is of the wrong kind or range.
        KandinskyError: See `DiffusionPipeline.from_pretrained`.
    """
    if device in _MODELS:
        device, model_version = None, str(device)
    name = _MODELS[one_of("model_version", model_version, tuple(_MODELS))]
    pipe = pipeline_for(task_type).from_pretrained(
        name if model is None else model,
        device=device,
        cache_dir=cache_dir,
        token=use_auth_token,
        **options,
    )
    return Kandinsky2(pipe, release)
