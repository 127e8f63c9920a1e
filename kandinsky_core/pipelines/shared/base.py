"""What every pipeline shares: loading, placing, progress, callbacks, cancelling."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

from kandinsky_core.arrays import Array
from kandinsky_core.checkpoints.hub import HubOptions
from kandinsky_core.checkpoints.opened_model import OpenedModel
from kandinsky_core.denoising.loop import progress
from kandinsky_core.errors import CheckpointError, InvalidInputError
from kandinsky_core.pipelines.shared.adapters import load_lora, unload_lora
from kandinsky_core.pipelines.shared.ahead_of_time import CompilesAhead
from kandinsky_core.pipelines.shared.call_options import CallOptions
from kandinsky_core.pipelines.shared.loading import load_components
from kandinsky_core.pipelines.shared.steps import Steps
from kandinsky_core.pipelines.shared.stopping import Call, Calls
from kandinsky_core.pipelines.shared.torch_calls import TorchCalls
from kandinsky_core.public_names import HOMES, public
from kandinsky_core.seam.backend import Backend
from kandinsky_core.seam.devices import DEVICE_KINDS, device_name
from kandinsky_core.seam.dtypes import DTYPES, chosen_dtype, dtype_name, is_dtype
from kandinsky_core.seam.networks import Network
from kandinsky_core.validation import one_of

__all__ = ["DiffusionPipeline"]


class DiffusionPipeline(CompilesAhead, TorchCalls):
    """Base of all pipelines: loads and places their networks, and reports and stops their steps.

    Attributes:
        component_names: The constructor's arguments, as in `model_index.json`.
        part: The part of a model that the pipeline loads: `prior`, `decoder`, `inpaint`,
            `controlnet` or `flash`.
        origin: The arguments of `from_pretrained` that say which weights these are; empty for a
            pipeline made of components.
    """

    component_names: ClassVar[tuple[str, ...]] = ()
    part: ClassVar[str] = "decoder"
    # The values that `text_encoder_loading` takes, the default first.
    text_encoder_loadings: ClassVar[tuple[str, ...]] = ("resident",)
    # The names that `callback_on_step_end_tensor_inputs` takes.
    callback_tensor_inputs: ClassVar[tuple[str, ...]] = ("latents",)

    def __init__(self, **components: Any) -> None:
        for name, component in components.items():
            setattr(self, name, component)
        self.origin: dict[str, str] = {}
        self._progress_bar_config: dict[str, Any] = {}
        self._calls = Calls()

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path | OpenedModel,
        *,
        backend: str | Backend | None = None,
        mesh: Any = None,
        device: Any = None,
        dtype: Any = None,
        torch_dtype: Any = None,
        mindspore_dtype: Any = None,
        mindspore: Any = None,
        revision: str | None = None,
        variant: str | None = None,
        cache_dir: str | Path | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        force_download: bool = False,
        use_safetensors: bool | None = None,
        low_cpu_mem_usage: bool | None = None,
        text_encoder_loading: str | None = None,
        offload: bool = False,
        **components: Any,
    ) -> Self:
        """Load a pipeline; `DiffusionPipeline` itself loads the class that the checkpoint names.

        Args:
            model: `shapes` (the embedded model), a folder in diffusers' layout, or a hub id.
            backend: `jax` or `mindspore`, or a backend object; None takes the one that is
                installed, JAX first.
            mesh: The devices of the `jax` backend that share the work, in place of one device:
                `data=4,model=2`, or a `jax.sharding.Mesh` with axes among these two.
            device: `cpu`, `gpu`, `cuda:1`, `tpu:0`, or any framework's device object; None takes
                the backend's own choice. A mapping gives one for each component by its name, and
                `default` for the others.
            dtype: The dtype that the networks compute in: float32 (default), bfloat16 or float16,
                by name or as any framework's dtype object. A mapping gives one for each component,
                as for `device`. MoVQ always computes in float32.
            torch_dtype: Another name for `dtype`.
            mindspore_dtype: Another name for `dtype`.
            mindspore: Another name for `dtype`, which mindone's page of Kandinsky 2.2 uses.
            revision: Branch, tag or commit on the hub.
            variant: Infix of the weight files, `fp16` for example.
            cache_dir: Folder of the hub's cache.
            token: Access token for the hub.
            local_files_only: Do not use the network.
            force_download: Download again what the cache holds.
            use_safetensors: Only safetensors are read; False is refused.
            low_cpu_mem_usage: Has no effect: weights are always streamed. Scripts may pass it.
            text_encoder_loading: How Kandinsky 3 loads its text encoder, which is larger than all
                other networks. `on_demand` (default) loads it for each new text and drops it, and
                keeps the other networks off an accelerator while they are not used. `streamed`
                reads it block by block, which needs 2 GB. `resident` keeps it loaded, as diffusers
                does.
            offload: Take each network off its device before the next one is loaded. This is
                `enable_model_cpu_offload` for a device that cannot hold all networks at once.
            **components: Ready components, used in place of the checkpoint's. None for
                `text_encoder` leaves it out: Kandinsky 3 then takes `prompt_embeds` only.

        Raises:
            ModelNotFoundError: There is no such model.
            CheckpointError: Files or tensors are missing, damaged, or do not fit.
            ConfigError: A config is not one of this model family.
            BackendUnavailableError: The backend is not installed.
            DeviceMemoryError: The device has less memory than the weights need at once.
            InvalidInputError: An argument is of the wrong kind.
        """
        options = HubOptions(
            revision=revision,
            variant=variant,
            cache_dir=cache_dir,
            token=token,
            local_files_only=local_files_only,
            force_download=force_download,
        )
        if cls is DiffusionPipeline:
            model = OpenedModel.of(model, cls.part, options)
            cls = cls._named_by(model)
        unknown = sorted(set(components) - set(cls.component_names))
        if unknown:
            raise InvalidInputError(
                f"from_pretrained does not take {', '.join(unknown)}; "
                f"components of {cls.__name__}: {', '.join(cls.component_names)}"
            )
        if use_safetensors is False:
            raise InvalidInputError(
                "use_safetensors=False asks for pickled weights, which can run code: leave it out"
            )
        loadings = cls.text_encoder_loadings
        loaded = load_components(
            model,
            part=cls.part,
            names=cls.component_names,
            ready=components,
            text_encoder_loading=one_of(
                "text_encoder_loading", text_encoder_loading or loadings[0], loadings
            ),
            backend=backend,
            mesh=mesh,
            device=device,
            dtype=chosen_dtype(dtype, torch_dtype, mindspore_dtype, mindspore),
            options=options,
            check=cls.check_configs,
            offload=offload,
        )
        pipeline = cls(**loaded)
        name = model.name if isinstance(model, OpenedModel) else model
        named = {"model": str(name), "revision": revision, "variant": variant}
        pipeline.origin = {name: value for name, value in named.items() if value is not None}
        return pipeline

    @classmethod
    def _named_by(cls, model: OpenedModel) -> type[Self]:
        """Return the pipeline class that a checkpoint's model_index.json names.

        Raises:
            CheckpointError: This library has no such pipeline.
        """
        name = model.pipeline_class
        made = public(name) if name in HOMES else None
        if not (isinstance(made, type) and issubclass(made, cls)):
            raise CheckpointError(f"{model.name} is a {name}, which is no pipeline of this library")
        return made

    @classmethod
    def check_configs(cls, configs: Mapping[str, Any]) -> None:
        """Refuse networks that do not fit the task, by their configs, before weights are read.

        Args:
            configs: The configs of the networks to load, by component name.

        Raises:
            ConfigError: A network is for another task; the message says for which.
        """

    @property
    def components(self) -> dict[str, Any]:
        """Every component by name; pass it to another pipeline's constructor to share them."""
        return {name: getattr(self, name) for name in self.component_names}

    @property
    def networks(self) -> dict[str, Network]:
        """The components that hold weights."""
        return {name: value for name, value in self.components.items() if hasattr(value, "offload")}

    @property
    def dtype(self) -> str:
        """Name of the main network's dtype; that is a decoder's UNet, else the first network."""
        return self._leading.dtype

    @property
    def device(self) -> str:
        """Where the main network runs."""
        return self._leading.device

    @property
    def backend(self) -> str:
        """Name of the main network's backend."""
        return self._leading.backend_name

    @property
    def _leading(self) -> Network:
        return next(iter(self.networks.values()))

    def to(self, *targets: Any, device: Any = None, dtype: Any = None) -> Self:
        """Move and cast the networks: `pipe.to("cuda")`, `pipe.to("cpu", "float16")`.

        Args:
            *targets: Devices and dtypes in any order, by name or as objects of any framework.
            device: The same by name.
            dtype: The same by name.

        Raises:
            BackendUnavailableError: The device is not there.
            InvalidInputError: Something is neither a device nor a dtype.
        """
        for target in targets:
            if device_name(target) is not None:
                device = target
            elif is_dtype(target):
                dtype = target
            else:
                raise InvalidInputError(
                    f"to({target!r}): neither a device ({', '.join(DEVICE_KINDS)}) nor a dtype "
                    f"({', '.join(DTYPES)})"
                )
        for name, network in self.networks.items():
            network.to(
                device=None if device is None else device_name(device) or str(device),
                dtype=None if dtype is None or name == "movq" else dtype_name(dtype),
            )
        return self

    def enable_model_cpu_offload(self, gpu_id: int | None = None, device: Any = None) -> None:
        """Keep the weights in host memory, and each network on the device only while it runs."""
        where = device if device is not None else gpu_id
        for network in self.networks.values():
            if where is not None:
                network.to(device=f"gpu:{where}" if isinstance(where, int) else str(where))
            network.offload()

    def load_lora_weights(self, path: str | Path, weight: float = 1.0) -> None:
        """Merge a LoRA into the UNet or the prior, whichever it is for; several add up.

        Args:
            path: A .safetensors or .bin file, or a folder with `pytorch_lora_weights.safetensors`.
            weight: Factor of the change that it makes; 1 takes it as it was trained.

        Raises:
            InvalidInputError: There is no such file, or the weight is no number.
            CheckpointError: The file is damaged, of no known form, or for another network.
        """
        load_lora(self.networks, path, weight)
        loaded = [*filter(None, [self.origin.get("lora")]), f"{path}:{float(weight):g}"]
        self.origin["lora"] = ",".join(loaded)  # the pictures say so

    def unload_lora_weights(self) -> None:
        """Put the weights back as they were before the first LoRA, bit for bit."""
        unload_lora(self.networks)
        self.origin.pop("lora", None)

    def set_progress_bar_config(self, **settings: Any) -> None:
        """Set options of the tqdm bars, `disable=True` for example."""
        self._progress_bar_config = settings

    def interrupt(self) -> None:
        """Stop at the end of the present step, from a callback or another thread.

        A callback stops the call that it belongs to. Another thread stops all calls that are under
        way now; `prepare(...)` returns a request whose `interrupt()` stops one call alone. A call
        that starts later is not stopped.

        A call that is stopped skips its remaining steps and returns what it has. Its output and
        the metadata of its pictures say so in `interrupted`.
        """
        self._calls.stop()

    @property
    def _interrupt(self) -> bool:
        """diffusers' way of saying `interrupt()`: a callback sets `pipe._interrupt = True`."""
        return self._calls.stopping

    @_interrupt.setter
    def _interrupt(self, value: bool) -> None:
        if value:
            self._calls.stop()
        else:
            self._calls.go_on()

    @contextmanager
    def _steps(
        self, total: int, conditioning: Mapping[str, Array], options: CallOptions
    ) -> Iterator[Steps]:
        """Yield what the denoising loop calls after each step."""
        call = self._calls.current or Call()
        with progress(total, self._progress_bar_config) as advance:
            yield Steps(self, call, total, conditioning, options, advance)

    def call_options(self, callback: Any, names: Any, return_dict: bool) -> CallOptions:
        """Check how a caller wants to watch a call and to get its result."""
        return CallOptions.check(self.callback_tensor_inputs, callback, names, return_dict)
