"""How each task is done with the library's pipelines: which class, which arguments, which steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from io import BytesIO
from typing import TYPE_CHECKING, Any

from kandinsky_core.denoising.noise import as_generators
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pipelines.kandinsky2_2.decoder import EmbedsToCome
from kandinsky_core.pipelines.kandinsky2_2.prior import KandinskyV22PriorPipeline
from kandinsky_core.pipelines.shared.call_options import PREDICTED
from kandinsky_server.work.engine import Row

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Prepared", "prepared", "taken_options"]

_ARGUMENTS = {"image": "image", "mask": "mask_image", "hint": "hint"}
"""Field of a request -> argument of a pipeline's call."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A checked call.

    Attributes:
        run: Makes the pictures.
        steps: Steps of the prior, and of the decoder.
    """

    run: Callable[[], Any]
    steps: tuple[int, int]


def prepared(
    pipeline: Any, rows: Sequence[Row], on_prior: Any = None, on_decoder: Any = None
) -> Prepared:
    """Check a call that makes a picture of each row.

    Args:
        pipeline: The pipeline of the rows' task.
        rows: The rows, of equal batch keys.
        on_prior: Called after each step of the prior, as diffusers calls it.
        on_decoder: Called after each step of the decoder.

    Raises:
        KandinskyError: The pipeline cannot do it; nothing heavy has begun.
    """
    request = rows[0].request
    if request.task == "upscale":
        return _enlarging(pipeline, rows, on_decoder)
    if request.task == "interpolate" or (
        request.task == "controlnet" and hasattr(pipeline, "prior_pipe")
    ):
        return _in_halves(pipeline, rows, on_decoder)
    given = _arguments(pipeline, rows)
    taken = signature(type(pipeline).__call__).parameters
    given |= _watched(rows, on_decoder)
    if on_prior is not None and "prior_callback_on_step_end" in taken:
        given["prior_callback_on_step_end"] = on_prior
    found = pipeline.prepare(**given)
    steps = (0, len(found.plan.schedule)) if hasattr(found, "plan") else _steps(found)
    return Prepared(lambda: pipeline.run(found), steps)


def taken_options(made: type[Any], task: str) -> Mapping[str, Any]:
    """Return the arguments that a task takes with their defaults, by its pipeline's class."""
    if task not in ("interpolate", "controlnet") or not hasattr(made, "decoder_class"):
        return _defaults(made)
    of_prior = _defaults(KandinskyV22PriorPipeline)
    shared = ("num_inference_steps", "guidance_scale")
    return {
        **_defaults(made.decoder_class),
        **{f"prior_{name}": of_prior[name] for name in shared},
    }


def _defaults(made: type[Any]) -> dict[str, Any]:
    return {
        name: parameter.default
        for name, parameter in signature(made.prepare).parameters.items()
        if parameter.default is not parameter.empty
    }


def _steps(request: Any) -> tuple[int, int]:
    return len(request.prior.schedule), len(request.decoder.plan.schedule)


def _arguments(pipeline: Any, rows: Sequence[Row]) -> dict[str, Any]:
    request = rows[0].request
    found: dict[str, Any] = {
        "prompt": [row.request.prompt for row in rows],
        "seed": [row.seed for row in rows],
        "height": request.height,
        "width": request.width,
        **request.options,
    }
    if request.negative_prompt is not None:
        found["negative_prompt"] = [row.request.negative_prompt for row in rows]
    if request.pictures:  # rows of one request, which start from one picture
        found |= {"prompt": request.prompt, "num_images_per_prompt": len(rows)}
        if request.negative_prompt is not None:
            found["negative_prompt"] = request.negative_prompt
        found |= {
            _ARGUMENTS[name]: picture(contents[0])
            for name, contents in request.pictures.items()
            if name in _ARGUMENTS
        }
    if "ip_images" in request.pictures:
        found["ip_adapter_image"] = [picture(one) for one in request.pictures["ip_images"]]
        found["ip_adapter_weights"] = list(request.ip_weights) or None
    return found


def _watched(rows: Sequence[Row], on_step: Any) -> dict[str, Any]:
    """Return the arguments by which a call shows its steps, with latents where they are shown."""
    if on_step is None:
        return {}
    shown = any(row.request.partial_images for row in rows)
    names = [PREDICTED] if shown else []
    return {"callback_on_step_end": on_step, "callback_on_step_end_tensor_inputs": names}


def _in_halves(pipeline: Any, rows: Sequence[Row], on_decoder: Any) -> Prepared:
    """Run prior and decoder for a task that no combined pipeline does."""
    request = rows[0].request
    options = dict(request.options)
    of_prior = {
        name.removeprefix("prior_"): options.pop(name)
        for name in list(options)
        if name.startswith("prior_")
    }
    source = as_generators(None, [row.seed for row in rows], len(rows))
    of_prior |= {"num_images_per_prompt": len(rows), "generator": source}
    decoder, prior = pipeline.decoder_pipe, pipeline.prior_pipe
    inputs: dict[str, Any] = {"prompt": ""} if decoder.reads_text else {}
    if request.task == "controlnet":
        inputs["hint"] = picture(request.pictures["hint"][0])
    found = decoder.prepare(
        **inputs,
        **options,
        **_watched(rows, on_decoder),
        image_embeds=EmbedsToCome(len(rows)),
        height=request.height,
        width=request.width,
        generator=source,
    )

    def embed() -> Any:
        if request.task == "controlnet":
            return prior(request.prompt, negative_prompt=request.negative_prompt, **of_prior)
        items = [
            value if kind == "text" else picture(request.pictures["image"][value])
            for kind, value, _ in request.mix
        ]
        weights = [weight for *_, weight in request.mix]
        negative = {"negative_prior_prompt": request.negative_prompt}
        return prior.interpolate(items, weights, **negative, **of_prior)

    def run() -> Any:
        embeds = embed()
        return decoder.run(
            decoder.with_embeds(found, embeds.image_embeds, embeds.negative_image_embeds)
        )

    return Prepared(run, (0, len(found.plan.schedule)))


def _enlarging(pipeline: Any, rows: Sequence[Row], on_step: Any) -> Prepared:
    request = rows[0].request
    found = pipeline.prepare(
        picture(request.pictures["image"][0]),
        request.upscale,
        seed=rows[0].seed,
        **_watched(rows, on_step),
        **request.options,
    )
    if len(rows) > 1:
        raise InvalidInputError("n: a picture is enlarged once; leave n and a list of seeds out")
    return Prepared(lambda: pipeline.run(found), (0, request.options["num_inference_steps"]))


def picture(content: bytes) -> Image.Image:
    """Return an uploaded picture, which was checked when it came."""
    from PIL import Image

    return Image.open(BytesIO(content), formats=("PNG",))
