"""The reference backend: loads diffusers' own classes, and runs diffusers' own pipelines."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers.pipelines import kandinsky

from kandinsky_backend_kit.host_memory import host_memory
from kandinsky_core.arrays import FloatArray
from kandinsky_core.checkpoints.checkpoint import Component
from kandinsky_core.configs import NETWORKS
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.seam.backend import BackendReport, DeviceMemory
from kandinsky_core.seam.registry import require_packages
from kandinsky_reference.components import CLASSES, TorchNetwork

__all__ = ["ReferenceBackend"]

_PRIOR = "prior_"


class ReferenceBackend:
    """PyTorch diffusers on the CPU."""

    name = "diffusers"
    cache_folder = None

    def __init__(self) -> None:
        diffusers.utils.logging.set_verbosity_error()
        diffusers.utils.logging.disable_progress_bar()
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()

    def load(self, source: Component, dtype: str, device: str | None = None) -> TorchNetwork:
        """See `kandinsky_core.seam.backend.Backend.load`."""
        if device not in (None, "cpu"):
            raise InvalidInputError(f"device={device!r}: the reference runs on the CPU only")
        config = NETWORKS[source.class_name].config.from_dict(source.config)
        network = getattr(_library(source.library), source.class_name).from_pretrained(
            source.folder, torch_dtype=getattr(torch, dtype), variant=source.variant
        )
        return CLASSES[type(config)](network, config)

    def pictures(
        self,
        pipeline_class: str,
        folders: Mapping[str, Path],
        networks: Mapping[str, TorchNetwork],
        seed: int,
        **request: Any,
    ) -> FloatArray:
        """Make pictures with diffusers' own pipelines, schedulers, tokenizer and random numbers.

        Args:
            pipeline_class: The class of our pipeline, which diffusers has too.
            folders: The folder of `decoder`, and of `prior` where it lies apart.
            networks: The networks of our pipeline, which this backend has loaded; they are not
                loaded again.
            seed: The seed of a PyTorch CPU generator.
            **request: Arguments of the pipeline's call.

        Returns:
            float32 [B, height, width, 3] in [0, 1].
        """
        ready = {name: network.network for name, network in networks.items()}
        made = getattr(diffusers, pipeline_class)
        if "prior" in folders:
            family = pipeline_class.removesuffix("CombinedPipeline")
            pipeline = made(**_components_of_halves(family, folders, ready))
        else:
            pipeline = made.from_pretrained(folders["decoder"], **ready)
        pipeline.set_progress_bar_config(disable=True)
        generator = torch.Generator().manual_seed(seed)
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", FutureWarning
            )  # diffusers' own halves warn about each other
            images: FloatArray = pipeline(**request, generator=generator, output_type="np").images
        return images[:, : request["height"], : request["width"]]

    def memory(self, device: str | None = None) -> DeviceMemory | None:
        """See `kandinsky_core.seam.backend.Backend.memory`."""
        return host_memory()

    def report(self) -> BackendReport:
        """See `kandinsky_core.seam.backend.Backend.report`."""
        versions = require_packages("test", "torch", "diffusers", "transformers")
        return BackendReport(name="diffusers", available=True, versions=versions, devices=("cpu",))


def _components_of_halves(
    family: str, folders: Mapping[str, Path], ready: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the components of a combined pipeline, whose two halves lie apart."""
    inner = {name: network for name, network in ready.items() if name.startswith(_PRIOR)}
    of_prior = {name.removeprefix(_PRIOR): network for name, network in inner.items()}
    others = {name: network for name, network in ready.items() if name not in inner}
    prior_class, decoder_class = (
        getattr(diffusers, f"{family}{half}Pipeline") for half in ("Prior", "")
    )
    prior = prior_class.from_pretrained(folders["prior"], **of_prior)
    decoder = decoder_class.from_pretrained(folders["decoder"], **others)
    found = {_PRIOR + name: component for name, component in prior.components.items()}
    return {**decoder.components, **found}


def _library(name: str) -> Any:
    """Return the module that has the classes of a library in `model_index.json`."""
    # `kandinsky` is diffusers' word for the text encoder that it keeps beside the pipelines.
    return {"transformers": transformers, "kandinsky": kandinsky}.get(name, diffusers)
