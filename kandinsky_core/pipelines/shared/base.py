"""What every pipeline shares: loading, placing, progress, callbacks, cancelling."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

from kandinsky_core.arrays import Array
from kandinsky_core.checkpoints.hub import HubOptions
from kandinsky_core.checkpoints.opened_model import OpenedModel
from kandinsky_core.denoising.progress_bars import progress
from kandinsky_core.errors import CheckpointError, InvalidInputError
from kandinsky_core.pipelines.shared.ahead_of_time import CompilesAhead
from kandinsky_core.pipelines.shared.call_options import PREDICTED, CallOptions
from kandinsky_core.pipelines.shared.call_state import CallState
from kandinsky_core.pipelines.shared.callback_values import LoopValues, View
from kandinsky_core.pipelines.shared.component_values import without_wrappers
from kandinsky_core.pipelines.shared.foreign_options import known_options, model_by_name
from kandinsky_core.pipelines.shared.from_pipe import FromPipe
from kandinsky_core.pipelines.shared.loading import load_components
from kandinsky_core.pipelines.shared.lora_calls import LoraCalls
from kandinsky_core.pipelines.shared.memory_calls import MemoryCalls
from kandinsky_core.pipelines.shared.pipeline_facts import PipelineFacts
from kandinsky_core.pipelines.shared.saving import SavesPipelines
from kandinsky_core.pipelines.shared.steps import Steps
from kandinsky_core.pipelines.shared.stopping import Call, Calls
from kandinsky_core.pipelines.shared.torch_calls import TorchCalls
from kandinsky_core.pipelines.shared.verified_parts import VerifiedParts
from kandinsky_core.public_names import HOMES, public
from kandinsky_core.seam.backend import Backend
from kandinsky_core.seam.dtypes import chosen_dtype
from kandinsky_core.seam.networks import Network
from kandinsky_core.seam.placement import read_placement
from kandinsky_core.seam.quantization import Quantize
from kandinsky_core.seam.step_rules import Kept
from kandinsky_core.validation import one_of

__all__ = ["DiffusionPipeline"]

_OF_CALLS = ("_calls", "_last_loop")


class DiffusionPipeline(
    CallState,
    FromPipe,
    LoraCalls,
    CompilesAhead,
    MemoryCalls,
    SavesPipelines,
    PipelineFacts,
    TorchCalls,
):
    """Base of all pipelines: loads and places their networks, and reports and stops their steps.

    Attributes:
        component_names: The constructor's arguments, as in `model_index.json`.
        part: The part of a model that the pipeline loads: `prior`, `decoder`, `inpaint`,
            `controlnet` or `flash`.
        origin: The arguments of `from_pretrained` that say which weights these are; empty for a
            pipeline made of components.
    """

    component_names: ClassVar[tuple[str, ...]] = ()
    # Those of them that models of the family may lack; they are None then.
    optional_components: ClassVar[frozenset[str]] = frozenset()
    part: ClassVar[str] = "decoder"
    # The values that `text_encoder_loading` takes, the default first.
    text_encoder_loadings: ClassVar[tuple[str, ...]] = ("resident",)
    # What `kandinsky verify` compares, where the pipeline makes pictures from text.
    verified: ClassVar[type[VerifiedParts]] = VerifiedParts
    # The names that `callback_on_step_end_tensor_inputs` takes.
    callback_tensor_inputs: ClassVar[tuple[str, ...]] = ("latents",)
    # Those of them that are parts of the conditioning's arrays, or have other names there.
    callback_views: ClassVar[Mapping[str, View]] = {}
    _callback_tensor_inputs: ClassVar[list[str]] = ["latents"]  # diffusers' name of the same

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._callback_tensor_inputs = list(cls.callback_tensor_inputs)

    def __init__(self, **components: Any) -> None:
        for name, component in components.items():
            setattr(self, name, component)
        self.origin: dict[str, str] = {}
        self._progress_bar_config: dict[str, Any] = {}
        self._calls = Calls()

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy or a pickle holds: all but the calls under way and their state."""
        return {name: value for name, value in vars(self).items() if name not in _OF_CALLS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._calls = Calls()

    def __setattr__(self, name: str, value: Any) -> None:
        if name in type(self).component_names:
            value = without_wrappers(value)
        super().__setattr__(name, value)

    @classmethod
    @model_by_name
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
        text_encoder_loading: str | None = None,
        offload: bool = False,
        quantize: Quantize = None,
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
            text_encoder_loading: How Kandinsky 3 loads its text encoder, which is larger than all
                other networks. `on_demand` (default) loads it for each new text and drops it, and
                keeps the other networks off an accelerator while they are not used. `streamed`
                reads it block by block, which needs 2 GB. `resident` keeps it loaded, as diffusers
                does.
            offload: Take each network off its device before the next one is loaded. This is
                `enable_model_cpu_offload` for a device that cannot hold all networks at once.
            quantize: `int8` keeps weights of UNets and of T5 in 8 bits, on JAX or an NPU; None
                (default) keeps them in `dtype`, which remains that of the computation. A mapping
                gives it for some components by name.
            **components: Ready components, used in place of the checkpoint's: schedulers, and
                networks of the same backend. None for `text_encoder` leaves it out: Kandinsky 3
                then takes `prompt_embeds` only.
                diffusers' other arguments are accepted or refused here, `device_map` among them:
                see `kandinsky_core.pipelines.shared.foreign_options`.

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
        components = known_options({**components, "device": device})
        device = components.pop("device")
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
            optional=cls.optional_components,
            quantize=quantize,
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
        """Name of the main network's dtype; that is a decoder's UNet, else the first network.

        It also equals any framework's dtype object: `pipe.dtype == torch.float16`.
        """
        return self._leading.dtype

    @property
    def device(self) -> str:
        """Where the main network runs, with the attributes of PyTorch's device: `type`, `index`."""
        return self._leading.device

    @property
    def backend(self) -> str:
        """Name of the main network's backend."""
        return self._leading.backend_name

    @property
    def _leading(self) -> Network:
        return next(iter(self.networks.values()))

    def to(self, *targets: Any, device: Any = None, dtype: Any = None, **options: Any) -> Self:
        """Move and cast the networks: `pipe.to("cuda")`, `pipe.to("cpu", "float16")`.

        Args:
            *targets: Devices and dtypes in any order, by name or as objects of any framework.
            device: The same by name.
            dtype: The same by name.
            **options: Further options of PyTorch's `to`, which change nothing here.

        Raises:
            BackendUnavailableError: The device is not there.
            InvalidInputError: Something is neither a device nor a dtype.
        """
        place, chosen = read_placement(targets, device, dtype, options)
        for name, network in self.networks.items():
            network.to(device=place, dtype=None if name in ("movq", "vae") else chosen)
        return self

    def set_progress_bar_config(self, **settings: Any) -> None:
        """Set options of the tqdm bars, `disable=True` for example."""
        self._progress_bar_config = settings

    @contextmanager
    def _steps(
        self,
        total: int,
        conditioning: Mapping[str, Array],
        options: CallOptions,
        guidance_scale: float,
        kept: Kept | None = None,
    ) -> Iterator[Steps]:
        """Yield what the denoising loop calls after each step.

        Args:
            total: Number of steps.
            conditioning: What the network reads beside the sample.
            options: The callbacks.
            guidance_scale: The call's weight of guidance.
            kept: The part of the picture that every step puts back, or None.
        """
        call = self._calls.current or Call()
        state = self._begin_loop(call, guidance_scale, total)
        values = LoopValues(conditioning, self.callback_views, guidance_scale > 1, kept)
        with progress(total, self._progress_bar_config) as advance:
            yield Steps(self, call, state, total, values, options, advance)

    def _weight_in_loop(self, given: float, present: float) -> float:
        """Return the weight of `unconditional + weight * (conditional - unconditional)`.

        Args:
            given: The call's `guidance_scale`.
            present: What a callback has set it to since; else the same.
        """
        return present

    def call_options(
        self,
        callback: Any,
        names: Any,
        return_dict: bool,
        old_callback: Any = None,
        callback_steps: Any = None,
    ) -> CallOptions:
        """Check how a caller wants to watch a call and to get its result."""
        offered = (*self.callback_tensor_inputs, PREDICTED)
        return CallOptions.check(
            offered, callback, names, return_dict, old_callback, callback_steps
        )
