"""Small calls of diffusers' pipelines: what a pipeline is made of, and helpers of its scripts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from kandinsky_core.arrays import Array
from kandinsky_core.checkpoints.hub import HubOptions
from kandinsky_core.checkpoints.opened_model import OpenedModel
from kandinsky_core.denoising.progress_bars import progress_bar
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pictures.outputs import numpy_to_pil
from kandinsky_core.pipelines.shared.foreign_options import known_options
from kandinsky_core.pipelines.shared.pipeline_config import FrozenConfig, pipeline_config
from kandinsky_core.seam.networks import Network
from kandinsky_core.seam.quantization import quantization_facts

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["PipelineFacts"]


class PipelineFacts:
    """Base of the pipelines: shows their config, and has small helpers of scripts.

    Attributes:
        config_name: The file that says what a pipeline is made of.
        has_compatibles: Always False, as in diffusers.
    """

    config_name: ClassVar[str] = "model_index.json"
    has_compatibles: ClassVar[bool] = False
    component_names: ClassVar[tuple[str, ...]]
    part: ClassVar[str]
    _progress_bar_config: dict[str, Any]

    if TYPE_CHECKING:
        origin: dict[str, str]

        @property
        def dtype(self) -> str:
            """Name of the main network's dtype."""

        @property
        def networks(self) -> dict[str, Network]:
            """The components that hold weights."""

        @property
        def components(self) -> dict[str, Any]:
            """Every component by name."""

    @property
    def config(self) -> FrozenConfig:
        """The class, and the library and class of each component, as in `model_index.json`."""
        return pipeline_config(type(self).__name__, self.components, self.name_or_path)

    @property
    def precision_facts(self) -> dict[str, Any]:
        """What a picture's metadata tell of `dtype`, and of `quantize` where it was given."""
        return {"dtype": self.dtype, **quantization_facts(self.networks)}

    @property
    def name_or_path(self) -> str | None:
        """The model that was loaded, as it was named; None for a pipeline made of components."""
        return self.origin.get("model")

    @property
    def parameters(self) -> dict[str, Any]:
        """The constructor's arguments that are no components: there are none."""
        return {}

    def to_json_string(self) -> str:
        """Return the config as the text of a `model_index.json`."""
        return self.config.to_json_string()

    def register_modules(self, **components: Any) -> None:
        """Replace components: `pipe.register_modules(scheduler=scheduler)`.

        Raises:
            InvalidInputError: The pipeline has no component of a name.
        """
        unknown = sorted(set(components) - set(self.component_names))
        if unknown:
            raise InvalidInputError(
                f"register_modules: {type(self).__name__} has no {', '.join(unknown)}; it has "
                f"{', '.join(self.component_names)}"
            )
        for name, component in components.items():
            setattr(self, name, component)

    def progress_bar(self, iterable: Iterable[Any] | None = None, total: int | None = None) -> Any:
        """Return a tqdm bar with the options of `set_progress_bar_config`.

        Args:
            iterable: The items to go through.
            total: Number of steps, where there are no items.

        Raises:
            InvalidInputError: Neither is given.
        """
        return progress_bar(iterable, total, self._progress_bar_config)

    @staticmethod
    def numpy_to_pil(images: Array) -> list[Image.Image]:
        """Turn images [B, H, W, 3] or [H, W, 3] in [0, 1] into PIL pictures.

        Raises:
            InvalidInputError: The array has another shape.
        """
        return numpy_to_pil(images)

    @classmethod
    def download(cls, pretrained_model_name: str | Path, **options: Any) -> str:
        """Fetch a model into the hub's cache without loading it.

        Args:
            pretrained_model_name: A hub id. A folder or an embedded model is there already.
            **options: `revision`, `variant`, `cache_dir`, `token`, `local_files_only`,
                `force_download`, as for `from_pretrained`.

        Returns:
            The folder, which `from_pretrained` takes.

        Raises:
            ModelNotFoundError: There is no such model, or the hub cannot deliver it.
            CheckpointError: The model lacks a component of the pipeline.
        """
        hub = HubOptions.among(known_options(options))
        model = OpenedModel.of(pretrained_model_name, cls.part, hub)
        names = cls.component_names or tuple(model.checkpoint.components)
        model.fetch(name for name in names if name in model.checkpoint.components)
        return str(model.folder)
