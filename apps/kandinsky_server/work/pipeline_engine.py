"""A served model made of the library's pipelines."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pipelines.kandinsky2_2.controlnet_halves import ControlnetHalves
from kandinsky_core.pipelines.kandinsky3.branches import load_branch
from kandinsky_core.pipelines.shared.call_options import PREDICTED
from kandinsky_core.pipelines.super_resolution.pipeline import KandinskySuperResPipeline
from kandinsky_core.schedulers import SCHEDULER_NAMES, scheduler_by_name
from kandinsky_server.requests.fields import FIELDS
from kandinsky_server.requests.picture_request import PictureRequest
from kandinsky_server.work.adapters import Adapters
from kandinsky_server.work.engine import Drawn, Row, Shape, Step, Watch
from kandinsky_server.work.latent_preview import LatentPreview
from kandinsky_server.work.pipeline_tasks import prepared, taken_options
from kandinsky_server.work.served_tasks import (
    AUTO,
    CONTROLLED,
    decoder_configs,
    find_tasks,
    picture_scale,
    takes_pictures,
    trained_side,
)

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["PipelineEngine"]

_HUB = ("revision", "variant", "local_files_only")
_PUBLISHED_UPSCALER = "ai-forever/KandiSuperRes"


class PipelineEngine:
    """A model by its name, whose pipelines are loaded when they are first needed.

    Pipelines of one UNet share their networks. Each scheduler that is asked for has pipelines of
    its own, so that a request can be checked while another one runs.

    Args:
        name: The name that clients give.
        model: The model as `from_pretrained` takes it.
        loading: Arguments of `from_pretrained`, with a backend object.
        loras: Adapters by name.
        branch: A ControlNet of Kandinsky 3 that stands beside the UNet, or None.

    Raises:
        KandinskyError: There is no such model or adapter. No weight is read.
    """

    def __init__(
        self,
        name: str,
        model: str,
        loading: Mapping[str, Any],
        loras: Mapping[str, str] | None = None,
        branch: str | None = None,
    ) -> None:
        self.name = name
        self._model = model
        self._loading = dict(loading)
        self._branch = branch
        self._adapters = Adapters(loras or {})
        self.loras = self._adapters.names
        self._pipelines: dict[tuple[str, str | None], Any] = {}
        self._lock = threading.RLock()
        self._preview = LatentPreview()
        self._hub = {name: loading[name] for name in _HUB if name in loading}
        self._defaults: dict[str, dict[str, Any]] = {}
        self._read_configs: dict[type[Any], list[Any]] = {}
        self._classes = find_tasks(model, self._hub, branch=branch is not None)
        self.tasks = tuple(self._classes)
        self.compiles_aside = self._loading["backend"].name == "jax"

    @cached_property
    def ip_tasks(self) -> Sequence[str]:
        """See `Engine.ip_tasks`; no weight is read."""
        return tuple(
            task
            for task, made in self._classes.items()
            if task not in ("interpolate", "upscale")
            and takes_pictures(made, self._configs(made)[0])
        )

    def _configs(self, made: type[Any]) -> list[Any]:
        if made not in self._read_configs:
            self._read_configs[made] = decoder_configs(self._model, made, self._hub)
        return self._read_configs[made]

    def facts(self) -> Mapping[str, Any]:
        """See `Engine.facts`."""
        backend = self._loading["backend"]
        return {
            "backend": backend.name,
            "device": self._loading.get("device") or backend.report().devices[0].split()[0],
            "dtype": self._loading.get("dtype", "float32"),
            **{name: self._loading[name] for name in ("quantize",) if name in self._loading},
            "schedulers": list(SCHEDULER_NAMES),
            "upscales": ["4"] if self._model == "shapes" else ["2", "4"],
            "ip_scale": picture_scale(next(iter(self._classes.values()))),
        }

    def defaults(self, task: str) -> Mapping[str, Any]:
        """See `Engine.defaults`; for enlarging, the size is the picture's. No weight is read."""
        if task not in self._defaults:
            self._require(task)
            made = self._classes[task]
            self._defaults[task] = {
                name: value
                for name, value in taken_options(made, task).items()
                if name in FIELDS and FIELDS[name].option
            }
            if task != "upscale":
                side = trained_side(made, self._configs(made))
                self._defaults[task] |= {"height": side, "width": side}
        return self._defaults[task]

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
            "ip_images" in request.pictures if request.task in self.ip_tasks else None,
        )

    def compile(self, shape: Shape, rows: int) -> None:
        """See `Engine.compile`."""
        pipeline = self._pipeline(shape.task, None)
        if shape.task == "upscale":
            pipeline.compile(heights=shape.height, widths=shape.width)
            return
        size: dict[str, Any] = {"heights": shape.height, "widths": shape.width}
        size |= {"batch_sizes": rows}
        if shape.pictured is not None:
            size["image_prompt"] = shape.pictured
        if shape.prior_guided is None:
            pipeline.compile(**size, guidance=shape.guided)
        elif shape.task == "interpolate" or isinstance(pipeline, ControlnetHalves):
            pipeline.prior_pipe.compile(batch_sizes=rows, guidance=shape.prior_guided)
            pipeline.decoder_pipe.compile(**size, guidance=shape.guided)
        else:
            pipeline.compile(**size, guidance=shape.guided, prior_guidance=shape.prior_guided)
        if shape.upscale is not None:
            self._upscaler(shape.upscale).compile(heights=shape.height, widths=shape.width)

    def on(self, device: int) -> PipelineEngine:
        """See `Engine.on`; it has one."""
        return self

    def run(self, rows: Sequence[Row], watch: Watch) -> Sequence[Drawn] | None:
        """See `Engine.run`."""
        request = rows[0].request
        pipeline = self._pipeline(request.task, request.scheduler)
        if request.task != "upscale":
            self._adapters.choose(pipeline, request.lora)
        if "ip_images" in request.pictures:
            pipeline.set_ip_adapter_scale(request.ip_scale)
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
        own = self._own_metadata(request)
        return [
            Drawn(image, {**found, **own}) for image, found in zip(images, metadata, strict=True)
        ]

    def _own_metadata(self, request: PictureRequest) -> dict[str, Any]:
        """Return what the metadata of its pictures say beside what the pipeline says.

        A folder and an adapter are called as clients know them: where they lie is not their matter.
        """
        model = self.name if Path(self._model).is_dir() else self._model
        own: dict[str, Any] = {"model": model, "task": request.task}
        if request.scheduler is not None:
            own["scheduler_name"] = request.scheduler
        if request.mix:
            own["mix"] = [{kind: value, "weight": weight} for kind, value, weight in request.mix]
        if request.lora:
            own["lora"] = ",".join(f"{name}:{scale:.15g}" for name, scale in request.lora)
        return own

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
        plain = next((one for one, hinted in CONTROLLED.items() if hinted == task), task)
        options: dict[str, Any] = {}
        first = task
        if self._branch is not None and plain != task:
            first, options = plain, {"controlnet": self._made_branch()}
        elif plain == "img2img":
            first = next(iter(self._classes))
        if first != task:
            return AUTO[plain].from_pipe(self._pipeline(first, None), **options)
        pipeline = self._classes[task].from_pretrained(self._model, **self._loading)
        self._adapters.load(pipeline, required=task == self.tasks[0])
        return pipeline

    def _made_branch(self) -> Any:
        key = ("branch", None)
        if key not in self._pipelines:
            named = ("backend", "device", "dtype", "local_files_only")
            options = {name: self._loading[name] for name in named if name in self._loading}
            self._pipelines[key] = load_branch(str(self._branch), **options)
        return self._pipelines[key]


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
