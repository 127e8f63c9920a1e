"""A served model made of the library's pipelines."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kandinsky_core.checkpoints.hub import HubOptions
from kandinsky_core.checkpoints.opened_model import OpenedModel
from kandinsky_core.configs import NETWORKS
from kandinsky_core.errors import CheckpointError, InvalidInputError, KandinskyError
from kandinsky_core.pipelines.auto import (
    AutoPipelineForImage2Image,
    AutoPipelineForInpainting,
    AutoPipelineForText2Image,
)
from kandinsky_core.pipelines.kandinsky2_2.controlnet_halves import ControlnetHalves
from kandinsky_core.pipelines.shared.call_options import PREDICTED
from kandinsky_core.pipelines.super_resolution.pipeline import KandinskySuperResPipeline
from kandinsky_core.schedulers import SCHEDULER_NAMES, scheduler_by_name
from kandinsky_server.requests.fields import FIELDS
from kandinsky_server.requests.picture_request import PictureRequest
from kandinsky_server.work.engine import Drawn, Row, Shape, Step, Watch
from kandinsky_server.work.latent_preview import LatentPreview
from kandinsky_server.work.pipeline_tasks import prepared, taken_options

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["PipelineEngine"]

_HUB = ("revision", "variant", "local_files_only")
_PUBLISHED_UPSCALER = "ai-forever/KandiSuperRes"
_AUTO: Mapping[str, Any] = {
    "text2image": AutoPipelineForText2Image,
    "img2img": AutoPipelineForImage2Image,
    "inpaint": AutoPipelineForInpainting,
}


class PipelineEngine:
    """A model by its name, whose pipelines are loaded when they are first needed.

    Pipelines of one UNet share their networks. Each scheduler that is asked for has pipelines of
    its own, so that a request can be checked while another one runs.

    Args:
        name: The name that clients give.
        model: The model as `from_pretrained` takes it.
        loading: Arguments of `from_pretrained`, with a backend object.

    Raises:
        KandinskyError: There is no such model. No weight is read.
    """

    def __init__(self, name: str, model: str, loading: Mapping[str, Any]) -> None:
        self.name = name
        self._model = model
        self._loading = dict(loading)
        self._pipelines: dict[tuple[str, str | None], Any] = {}
        self._lock = threading.RLock()
        self._preview = LatentPreview()
        self._hub = {name: loading[name] for name in _HUB if name in loading}
        self._defaults: dict[str, dict[str, Any]] = {}
        self.tasks = _tasks(model, self._hub)
        self.compiles_aside = self._loading["backend"].name == "jax"

    def facts(self) -> Mapping[str, Any]:
        """See `Engine.facts`."""
        backend = self._loading["backend"]
        return {
            "backend": backend.name,
            "device": self._loading.get("device") or backend.report().devices[0].split()[0],
            "dtype": self._loading.get("dtype", "float32"),
            **{name: self._loading[name] for name in ("quantize",) if name in self._loading},
            "schedulers": list(SCHEDULER_NAMES),
        }

    def defaults(self, task: str) -> Mapping[str, Any]:
        """See `Engine.defaults`; for enlarging, the size is the picture's. No weight is read."""
        if task not in self._defaults:
            made = self._class_of(task)
            self._defaults[task] = {
                name: value
                for name, value in taken_options(made, task).items()
                if name in FIELDS and FIELDS[name].option
            }
            if task != "upscale":
                side = _trained_side(self._model, made, self._hub)
                self._defaults[task] |= {"height": side, "width": side}
        return self._defaults[task]

    def _class_of(self, task: str) -> type[Any]:
        self._require(task)
        if task == "upscale":
            return KandinskySuperResPipeline
        if task == "controlnet":
            return ControlnetHalves
        auto = _AUTO["text2image" if task == "interpolate" else task]
        found: type[Any] = auto.pipeline_class(self._model, **self._hub)
        return found

    def _require(self, task: str) -> None:
        if task not in self.tasks:
            raise InvalidInputError(
                f"the model {self.name} does not do {task}; it does {', '.join(self.tasks)}"
            )

    def check(self, request: PictureRequest) -> None:
        """See `Engine.check`."""
        if request.scheduler is not None:
            if request.task == "upscale":
                raise InvalidInputError("scheduler: enlarging has its own; leave it out")
            scheduler_by_name(request.scheduler, {})
        self._require(request.task)
        if (request.task, None) not in self._pipelines and request.task != "upscale":
            return  # `run` loads it and checks then: a request may not load what has no room
        pipeline = self._pipeline(request.task, request.scheduler)
        rows = [Row(request, seed) for seed in request.seeds]
        prepared(pipeline, rows)

    def shape(self, request: PictureRequest) -> Shape:
        """See `Engine.shape`."""
        options = request.options
        prior = options.get("prior_guidance_scale")
        return Shape(
            request.task,
            request.height,
            request.width,
            options.get("guidance_scale", 0) > 1,
            None if prior is None else prior > 1,
            request.upscale,
        )

    def compile(self, shape: Shape, rows: int) -> None:
        """See `Engine.compile`."""
        pipeline = self._pipeline(shape.task, None)
        if shape.task == "upscale":
            pipeline.compile(heights=shape.height, widths=shape.width)
            return
        size: dict[str, Any] = {"heights": shape.height, "widths": shape.width}
        size |= {"batch_sizes": rows}
        if shape.prior_guided is None:
            pipeline.compile(**size, guidance=shape.guided)
        elif shape.task in ("interpolate", "controlnet"):
            pipeline.prior_pipe.compile(batch_sizes=rows, guidance=shape.prior_guided)
            pipeline.decoder_pipe.compile(**size, guidance=shape.guided)
        else:
            pipeline.compile(**size, guidance=shape.guided, prior_guidance=shape.prior_guided)
        if shape.upscale is not None:
            self._upscaler(shape.upscale).compile(heights=shape.height, widths=shape.width)

    def run(self, rows: Sequence[Row], watch: Watch) -> Sequence[Drawn] | None:
        """See `Engine.run`."""
        request = rows[0].request
        pipeline = self._pipeline(request.task, request.scheduler)
        steps = _Steps(self._preview, watch)
        call = prepared(pipeline, rows, steps.of_prior, steps.of_decoder)
        steps.lengths = call.steps
        output = call.run()
        if steps.stopped:
            return None
        images, metadata = output.images, output.metadata
        if request.upscale is not None and request.task != "upscale":
            upscaler = self._upscaler(request.upscale)
            images = [upscaler(image).images[0] for image in images]
            metadata = [{**found, "upscale": request.upscale} for found in metadata]
        own = {"model": self._model, "task": request.task}
        if request.scheduler is not None:
            own["scheduler_name"] = request.scheduler
        return [
            Drawn(image, {**found, **own}) for image, found in zip(images, metadata, strict=True)
        ]

    def release(self) -> None:
        """See `Engine.release`."""
        with self._lock:
            self._pipelines.clear()
            self._preview = LatentPreview()
        gc.collect()  # networks refer to themselves

    def _upscaler(self, scale: int) -> Any:
        model = self._model if self._model == "shapes" else _PUBLISHED_UPSCALER
        return self._made(
            ("upscale", str(scale)),
            lambda: KandinskySuperResPipeline.from_pretrained(model, scale=scale, **self._loading),
        )

    def _pipeline(self, task: str, scheduler: str | None) -> Any:
        self._require(task)
        if task == "upscale":
            return self._upscaler(4)
        if scheduler is None:
            return self._made((task, None), lambda: self._loaded(task))
        plain = self._pipeline(task, None)
        chosen = scheduler_by_name(scheduler, plain.scheduler.config)
        return self._made((task, scheduler), lambda: type(plain).from_pipe(plain, scheduler=chosen))

    def _made(self, key: tuple[str, str | None], make: Callable[[], Any]) -> Any:
        with self._lock:
            if key not in self._pipelines:
                made = make()
                made.set_progress_bar_config(disable=True)
                self._pipelines[key] = made
            return self._pipelines[key]

    def _loaded(self, task: str) -> Any:
        """Load a task's pipeline, or make it of networks that are there already."""
        if task == "interpolate":
            return self._pipeline("text2image", None)
        if task == "controlnet":
            return ControlnetHalves.from_pretrained(self._model, **self._loading)
        if task == "img2img" and "text2image" in self.tasks:
            return AutoPipelineForImage2Image.from_pipe(self._pipeline("text2image", None))
        return _AUTO[task].from_pretrained(self._model, **self._loading)


class _Steps:
    """Turns the callbacks of prior and decoder into the steps of one watch."""

    def __init__(self, preview: LatentPreview, watch: Watch) -> None:
        self._preview = preview
        self._watch = watch
        self.lengths = (0, 0)
        self.stopped = False

    def of_prior(self, pipeline: Any, index: int, _: Any, values: Any) -> dict[str, Any]:
        self._stepped(pipeline, Step("prior", index + 1, sum(self.lengths)))
        return {}

    def of_decoder(self, pipeline: Any, index: int, _: Any, values: Any) -> dict[str, Any]:
        def previews() -> Sequence[Image.Image]:
            return self._preview.pictures(pipeline, values[PREDICTED])

        number = self.lengths[0] + index + 1
        shown = previews if PREDICTED in values else None
        self._stepped(pipeline, Step("decoder", number, sum(self.lengths), shown))
        return {}

    def _stepped(self, pipeline: Any, step: Step) -> None:
        if self._watch(step):
            self.stopped = True
            pipeline.interrupt()


def _trained_side(model: str, made: type[Any], hub: Mapping[str, Any]) -> int:
    """Return the side in pixels that a model was trained at, by its configs."""
    decoder = getattr(made, "decoder_class", made)
    opened = OpenedModel.of(model, decoder.part, HubOptions.among(hub))
    autoencoder = "vae" if "vae" in opened.checkpoint.components else "movq"
    configs = [
        NETWORKS[source.class_name].config.from_dict(source.config)
        for source in opened.components(["unet", autoencoder]).values()
    ]
    side: int = decoder.trained_side(*configs)
    return side


def _tasks(model: str, hub: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what a model does, by its index alone."""
    found = []
    problem: KandinskyError | None = None
    for task, auto in _AUTO.items():
        try:
            made = auto.pipeline_class(model, **hub)
        except CheckpointError as error:
            problem = problem or error
            continue
        found.append(task)
        if task == "text2image" and hasattr(made, "decoder_class"):
            found.append("interpolate")
    if model == "shapes":
        found += ["controlnet", "upscale"]
    if not found and problem is not None:
        raise problem
    return tuple(found)
