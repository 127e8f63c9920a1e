"""The backend object through which the core loads networks with MindSpore."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

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
from kandinsky_core.seam.backend import BackendReport, DeviceMemory
from kandinsky_core.seam.compilations import CompilationLog
from kandinsky_core.seam.quantization import QUANTIZATIONS, products_in_eight_bits
from kandinsky_core.seam.registry import require_packages
from kandinsky_core.seam.tensors import ComponentSource
from kandinsky_mindspore.components.denoise import (
    MindSporeKandinsky3UNet,
    MindSporeKandinsky20UNet,
    MindSporePrior,
    MindSporeSuperResUNet,
    MindSporeUNet,
)
from kandinsky_mindspore.components.encoders import (
    MindSporeAutoencoder,
    MindSporeImageEncoder,
    MindSporeKLAutoencoder,
    MindSporeMultilingualTextEncoder,
    MindSporeT5TextEncoder,
    MindSporeTextEncoder,
)
from kandinsky_mindspore.components.kandinsky3_control import MindSporeControlNet
from kandinsky_mindspore.components.network import MindSporeNetwork
from kandinsky_mindspore.components.t5_streaming import StreamedT5TextEncoder
from kandinsky_mindspore.components.turns import Turn
from kandinsky_mindspore.cpu import cpu_ops
from kandinsky_mindspore.networks.build import build_network
from kandinsky_mindspore.networks.eight_bits import keep_in_eight_bits, require_kernel
from kandinsky_mindspore.placement.devices import (
    ascend_available,
    network_dtype,
    select_device,
    visible_devices,
)
from kandinsky_mindspore.placement.memory import device_memory
from kandinsky_mindspore.programs.graphs import free_dropped_graphs
from kandinsky_mindspore.runtime import LOCK
from kandinsky_mindspore.weights.load import fill_network

__all__ = ["CLASSES", "COMPILE_VARIABLE", "MindSporeBackend"]

COMPILE_VARIABLE = "KANDINSKY_MINDSPORE_COMPILE"

# The process has one turn, as it has one device. The network that was used last stays there after
# its run, and must make room for networks of other pipelines, whose backends are other objects.
_TURN = Turn()

CLASSES: Mapping[type[NetworkConfig], type[MindSporeNetwork]] = {
    AutoencoderKLConfig: MindSporeKLAutoencoder,
    CLIPTextConfig: MindSporeTextEncoder,
    CLIPVisionConfig: MindSporeImageEncoder,
    Kandinsky20UNetConfig: MindSporeKandinsky20UNet,
    Kandinsky3ControlNetConfig: MindSporeControlNet,
    Kandinsky3UNetConfig: MindSporeKandinsky3UNet,
    MT5Config: MindSporeT5TextEncoder,
    MultilingualCLIPConfig: MindSporeMultilingualTextEncoder,
    PriorTransformerConfig: MindSporePrior,
    SuperResUNetConfig: MindSporeSuperResUNet,
    T5Config: MindSporeT5TextEncoder,
    UNet2DConditionConfig: MindSporeUNet,
    VQModelConfig: MindSporeAutoencoder,
}
"""The component of each network of `kandinsky_core.configs.NETWORKS`; mindone has its class."""


class MindSporeBackend:
    """Runs the networks with MindSpore, on the one device that its process has.

    Args:
        compile: See `kandinsky_mindspore.create`.

    Attributes:
        compilations: Every compilation since the backend was made.
        cache_folder: None, because compiled programs end with the process.
    """

    name = "mindspore"
    cache_folder: str | Path | None = None
    in_eight_bits = staticmethod(products_in_eight_bits)

    def __init__(self, *, compile: bool | None = None) -> None:
        program_limit()  # a wrong one is told before anything is loaded
        self.compile = os.environ.get(COMPILE_VARIABLE) == "1" if compile is None else compile
        self.compilations = CompilationLog()
        self._turn = _TURN

    @property
    def quantizations(self) -> tuple[str, ...]:
        """See `kandinsky_core.seam.quantization.QuantizingBackend`; a CPU has no kernel for it."""
        with LOCK:
            return QUANTIZATIONS if ascend_available() else ()

    def load(
        self,
        source: ComponentSource,
        dtype: str,
        device: str | None = None,
        *,
        quantize: str | None = None,
    ) -> MindSporeNetwork:
        """See `kandinsky_core.seam.quantization.QuantizingBackend.load`.

        The first call settles the device of the process: `device`, else the environment's
        `KANDINSKY_MINDSPORE_DEVICE`, else an NPU where there is one.

        Raises:
            BackendUnavailableError: There is no such device, or the process has another one.
            InvalidInputError: The device cannot compute in this dtype, or with weights in 8 bits.
        """
        config = read_config(source, "MindSpore")
        component_class = CLASSES[type(config)]
        with LOCK:
            place = select_device(device)
            dtype = network_dtype(source.class_name, dtype, place)
            require_kernel(quantize, dtype, place)
            cpu_ops.install()
            free_dropped_graphs()
            self._turn.end()  # the network that is loaded now is used next
            cell = build_network(config)
            if quantize is not None:
                keep_in_eight_bits(cell, config.CLASS_NAME)
            fill_network(cell, config.CLASS_NAME, source.tensors(), dtype)
            log = self.compilations if self.compile else None
            component = component_class(cell, config, device=place, log=log, turn=self._turn)
            component.quantize = quantize
        component.remember(source)
        return component

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
            BackendUnavailableError: There is no such device, or the process has another one.
            CheckpointError: The checkpoint does not fit; no data has been read.
            ConfigError: A config field is unknown or unsupported, or this is another network.
            InvalidInputError: The device cannot compute in this dtype, or with weights in 8 bits.
        """
        config = T5Config.from_dict(source.config)
        parts = T5Parts(source.tensors(), config)
        with LOCK:
            place = select_device(device)
            dtype = network_dtype(config.CLASS_NAME, dtype, place)
            require_kernel(quantize, dtype, place)
            cpu_ops.install()
        streamed = StreamedT5TextEncoder(
            parts, config, dtype=dtype, device=place, turn=self._turn, quantize=quantize
        )
        streamed.remember(source)
        return streamed

    def memory(self, device: str | None = None) -> DeviceMemory | None:
        """See `kandinsky_core.seam.backend.Backend.memory`; settles the device, as `load` does.

        Raises:
            BackendUnavailableError: There is no such device, or the process has another one.
        """
        with LOCK:
            return device_memory(select_device(device))

    def report(self) -> BackendReport:
        """See `kandinsky_core.seam.backend.Backend.report`."""
        versions = require_packages("mindspore", "mindspore", "mindone")
        with LOCK:
            devices = [
                f"cpu ({len(cpu_ops.KERNELS)} operators replaced)" if name == "cpu" else name
                for name in visible_devices()
            ]
        return BackendReport(
            name=self.name, available=True, versions=versions, devices=tuple(devices)
        )
