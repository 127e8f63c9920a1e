"""The tables of diffusers' pipeline names that change nothing here, or that are refused."""

from __future__ import annotations

from kandinsky_core.foreign_names import ForeignNames, NoOp, Refused, refuses

__all__ = ["TorchCalls"]

_ATTENTION = "the backend chooses how attention is computed"
_SAVES_MEMORY = f"{_ATTENTION}; enable_model_cpu_offload saves memory"
_NO_HUB = "this library writes nothing to a hub"
_SAVE_FIRST = "save_pretrained to a folder, then upload it with the `hf` command"


@refuses(
    "the config alone is of no use",
    "write the whole pipeline with save_pretrained, or read to_json_string()",
    "save_config to_json_file",
)
@refuses(
    "diffusers uses this within a call, and so does each pipeline here in its own way",
    "call the pipeline, or `prepare` and `run`",
    "add_noise check_inputs get_timesteps prepare_extra_step_kwargs prepare_latents process_embeds",
)
@refuses(
    "diffusers builds its objects with this from a config file",
    "read `pipe.config`, or load the folder with from_pretrained",
    "extract_init_dict from_config get_config_dict ignore_for_config load_config "
    "register_for_auto_class register_to_config",
)
class TorchCalls(ForeignNames):
    """Names that scripts written for diffusers use; pictures are the same without them."""

    disable_attention_slicing = NoOp(_ATTENTION)
    disable_freeu = NoOp("FreeU is never on")
    disable_vae_slicing = NoOp("slicing is never on")
    disable_xformers_memory_efficient_attention = NoOp(_ATTENTION)
    enable_attention_slicing = NoOp(_SAVES_MEMORY)
    enable_vae_slicing = NoOp("pictures are decoded together; enable_vae_tiling saves memory")
    enable_xformers_memory_efficient_attention = NoOp(_ATTENTION)
    fuse_qkv_projections = NoOp(_ATTENTION)
    maybe_free_model_hooks = NoOp("a call leaves no hooks behind")
    set_attention_slice = NoOp(_SAVES_MEMORY)
    set_use_memory_efficient_attention_xformers = NoOp(_ATTENTION)
    unfuse_qkv_projections = NoOp(_ATTENTION)

    model_cpu_offload_seq = Refused(
        "an offloaded network leaves the device when it has run", "call enable_model_cpu_offload"
    )
    enable_freeu = Refused("FreeU changes pictures and is not written here", "leave it out")
    from_single_file = Refused(
        "diffusers reads no Kandinsky from one file", "load a folder or a hub id: from_pretrained"
    )
    push_to_hub = Refused(_NO_HUB, _SAVE_FIRST)
