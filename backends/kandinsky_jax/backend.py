"""The backend object through which the core loads networks with JAX."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kandinsky_backend_kit.bounded_programs import program_limit
from kandinsky_backend_kit.network_config import read_config
from kandinsky_backend_kit.t5_parts import T5Parts
from kandinsky_core.configs import (
    AutoencoderKLConfig,
    CLIPTextConfig,
    CLIPVisionConfig,
    Kandinsky3ControlNetConfig,
    Kandinsky3UNetConfig,
    Kandinsky20UNetConfig,
    MT5Config,
    MultilingualCLIPConfig,
    NetworkConfig,
    PriorTransformerConfig,
    SuperResUNetConfig,
    T5Config,
    UNet2DConditionConfig,
    VQModelConfig,
)
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.seam.backend import BackendReport, DeviceMemory
from kandinsky_core.seam.compilations import CompilationLog
from kandinsky_core.seam.compile_only import compiling_only
from kandinsky_core.seam.dtypes import safe_dtype
from kandinsky_core.seam.quantization import QUANTIZATIONS
from kandinsky_core.seam.registry import require_packages
from kandinsky_core.seam.tensors import ComponentSource
from kandinsky_jax.components.denoise import JaxDenoiser, JaxPrior
from kandinsky_jax.components.encoders import (
    JaxAutoencoder,
    JaxImageEncoder,
    JaxMultilingualTextEncoder,
    JaxT5TextEncoder,
    JaxTextEncoder,
)
from kandinsky_jax.components.kandinsky3_control import JaxControlNet
from kandinsky_jax.components.kandinsky3_denoise import JaxKandinsky3Denoiser
from kandinsky_jax.components.network import JaxNetwork
from kandinsky_jax.components.t5_streaming import StreamedT5TextEncoder
from kandinsky_jax.components.tiled_form import tileable, worth_tiling
from kandinsky_jax.components.turns import Turns
from kandinsky_jax.layers.attention_kernels import CHOICES, kernels_of
from kandinsky_jax.placement.devices import (
    default_device,
    device_name,
    find_device,
    local_devices,
)
from kandinsky_jax.placement.memory import device_memory
from kandinsky_jax.placement.mesh import find_mesh
from kandinsky_jax.placement.mesh_place import OverMesh
from kandinsky_jax.placement.places import OneDevice, Place
from kandinsky_jax.programs.cache import enable_compilation_cache
from kandinsky_jax.programs.program import Program
from kandinsky_jax.runtime import at_work
from kandinsky_jax.weights.later_weights import LaterWeights
from kandinsky_jax.weights.network_form import NetworkForm

__all__ = ["CLASSES", "JaxBackend"]

_NETWORKS = "kandinsky_jax.networks"

CLASSES: Mapping[type[NetworkConfig], tuple[str, type[JaxNetwork]]] = {
    AutoencoderKLConfig: (f"{_NETWORKS}.movq:AutoencoderKL", JaxAutoencoder),
    CLIPTextConfig: (f"{_NETWORKS}.clip_text:CLIPTextModelWithProjection", JaxTextEncoder),
    CLIPVisionConfig: (f"{_NETWORKS}.clip_vision:CLIPVisionModelWithProjection", JaxImageEncoder),
    Kandinsky20UNetConfig: (f"{_NETWORKS}.unet:Kandinsky20UNet", JaxDenoiser),
    Kandinsky3ControlNetConfig: (
        f"{_NETWORKS}.kandinsky3_control:Kandinsky3ControlNetModel",
        JaxControlNet,
    ),
    Kandinsky3UNetConfig: (f"{_NETWORKS}.kandinsky3_unet:Kandinsky3UNet", JaxKandinsky3Denoiser),
    MT5Config: (f"{_NETWORKS}.t5_encoder:T5EncoderModel", JaxT5TextEncoder),
    MultilingualCLIPConfig: (
        f"{_NETWORKS}.multilingual_clip:MultilingualCLIP",
        JaxMultilingualTextEncoder,
    ),
    PriorTransformerConfig: (f"{_NETWORKS}.prior:PriorTransformer", JaxPrior),
    SuperResUNetConfig: (f"{_NETWORKS}.super_resolution:KandinskySuperResUNet", JaxDenoiser),
    T5Config: (f"{_NETWORKS}.t5_encoder:T5EncoderModel", JaxT5TextEncoder),
    UNet2DConditionConfig: (f"{_NETWORKS}.unet:UNet2DConditionModel", JaxDenoiser),
    VQModelConfig: (f"{_NETWORKS}.movq:VQModel", JaxAutoencoder),
}
"""Where the Flax module of each network of `kandinsky_core.configs.NETWORKS` is, and its component.

The modules are named and not imported; see `kandinsky_jax.weights.network_form`.
"""


class JaxBackend:
    """Runs the networks with JAX.

    Args:
        mesh: See `kandinsky_jax.create`.
        winograd: See `kandinsky_jax.create`.
        attention: See `kandinsky_jax.create`.

    Attributes:
        compilations: Every compilation since the backend was made.
        cache_folder: Where compiled programs outlive the process; None where they do not.
    """

    name = "jax"
    quantizations = QUANTIZATIONS

    def __init__(
        self, *, mesh: Any = None, winograd: bool | None = None, attention: str | None = None
    ) -> None:
        program_limit()  # a wrong one is told before anything is loaded
        if attention not in CHOICES:
            allowed = ", ".join(map(repr, CHOICES))
            raise InvalidInputError(f"attention={attention!r}: give one of {allowed}")
        self._winograd = winograd
        self._attention = attention
        self._everywhere = None if mesh is None else OverMesh(find_mesh(mesh))
        self.compilations = CompilationLog()
        # A network that is loaded again, perhaps for each text, finds its programs here.
        self._programs: dict[Any, dict[Any, Program]] = {}
        self._turns = Turns()
        self.cache_folder = enable_compilation_cache()

    def load(
        self,
        source: ComponentSource,
        dtype: str,
        device: str | None = None,
        *,
        quantize: str | None = None,
    ) -> JaxNetwork:
        """See `kandinsky_core.seam.quantization.QuantizingBackend.load`.

        Within `compile_only` no weight is read: the component only compiles its programs.
        """
        config = read_config(source, "JAX")
        path, component_class = CLASSES[type(config)]
        place = self._place(device)
        self._check_kernels(place)
        dtype = safe_dtype(source.class_name, dtype)
        form = NetworkForm(path, config, dtype, quantize=quantize, attention=self._attention)
        with at_work(place.name, loading=True):
            tensors = None if compiling_only() else source.tensors()
            weights = form.abstract() if tensors is None else LaterWeights(form, tensors, place)
        programs = self._programs.setdefault((config, dtype, quantize, place), {})
        log = self.compilations
        component = component_class(
            form, weights, place=place, log=log, programs=programs, turns=self._turns
        )
        if tensors is not None:
            component.require_weights(tensors)
            component.remember(source)
        if isinstance(component, JaxDenoiser):
            component.winograd = self._tiles(form, place)
        return component

    def _check_kernels(self, place: Place) -> None:
        """Refuse a place that has no kernels of attention, where they are asked for."""
        reason = kernels_of(place.target) if self._attention == "kernels" else ""
        if reason:
            raise InvalidInputError(f"attention='kernels' on {place.name}: {reason}; leave it out")

    def _tiles(self, form: NetworkForm, place: Place) -> bool:
        if self._winograd is False or not isinstance(place, OneDevice) or form.quantize:
            return False
        if self._winograd is None:
            return place.device.platform == "cpu" and worth_tiling(form)
        return tileable(form)

    def load_streamed(
        self,
        source: ComponentSource,
        dtype: str,
        device: str | None = None,
        *,
        quantize: str | None = None,
    ) -> StreamedT5TextEncoder:
        """Prepare a text encoder of Kandinsky 3 that reads its files block by block at every call.

        Raises:
            BackendUnavailableError: The device is not there.
            CheckpointError: The checkpoint does not fit; no data has been read.
            ConfigError: A config field is unknown or unsupported, or this is another network.
        """
        config = T5Config.from_dict(source.config)
        streamed = StreamedT5TextEncoder(
            T5Parts(source.tensors(), config),
            config,
            dtype=safe_dtype(config.CLASS_NAME, dtype),
            place=self._place(device),
            log=self.compilations,
            quantize=quantize,
        )
        streamed.remember(source)
        return streamed

    def _place(self, device: str | None) -> Place:
        if self._everywhere is None:
            return OneDevice(default_device() if device is None else find_device(device))
        if device not in (None, self._everywhere.name):  # its networks give this name as device
            raise InvalidInputError(
                f"device={device!r} beside a mesh of devices, {self._everywhere.name}: give one of "
                "the two"
            )
        return self._everywhere

    def memory(self, device: str | None = None) -> DeviceMemory | None:
        """See `kandinsky_core.seam.backend.Backend.memory`; for a mesh it returns None."""
        place = self._place(device)
        return device_memory(place.device) if isinstance(place, OneDevice) else None

    def report(self) -> BackendReport:
        """See `kandinsky_core.seam.backend.Backend.report`."""
        devices = tuple(
            f"{device_name(device)} ({device.device_kind})" for device in local_devices()
        )
        versions = require_packages("jax", "jax", "jaxlib", "flax")
        return BackendReport(name="jax", available=True, versions=versions, devices=devices)
