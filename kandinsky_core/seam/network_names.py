"""The tables of diffusers' and PyTorch's network names that change nothing here, or are refused."""

from __future__ import annotations

from kandinsky_core.foreign_names import ForeignNames, NoOp, Refused, refuses

__all__ = ["NetworkNames"]

_ATTENTION = "the backend chooses how attention is computed"
_COMPILED = "networks are compiled by their backend"
_NO_TRAINING = "networks are not trained here"


@refuses(
    "a network is no torch.nn.Module",
    "read its weights with state_dict()",
    "T_destination add_module apply buffers call_super_init children dump_patches extra_repr "
    "get_buffer get_extra_state get_parameter get_submodule modules named_buffers named_children "
    "named_modules register_backward_hook register_buffer register_forward_hook "
    "register_forward_pre_hook register_full_backward_hook register_full_backward_pre_hook "
    "register_load_state_dict_post_hook register_load_state_dict_pre_hook register_module "
    "register_parameter register_state_dict_post_hook register_state_dict_pre_hook "
    "set_extra_state set_submodule to_empty type",
)
@refuses(
    "the backends run on other devices",
    'choose one with to("cpu"), to("gpu"), to("tpu") or to("ascend")',
    "ipu mtia xpu",
)
@refuses(
    "these are steps within diffusers' network, and each backend has its own",
    "call the pipeline",
    "attn_processors get_aug_embed get_class_embed get_time_embed process_encoder_hidden_states",
)
@refuses(
    "diffusers builds its objects with this from a config file",
    "read `config`, or load the folder with from_pretrained",
    "extract_init_dict from_config get_config_dict ignore_for_config load_config "
    "register_for_auto_class register_to_config save_config to_json_file",
)
class NetworkNames(ForeignNames):
    """Names that scripts written for diffusers use on networks."""

    compile = NoOp(_COMPILED)
    compile_repeated_blocks = NoOp(_COMPILED)
    disable_forward_chunking = NoOp("chunking is never on")
    disable_freeu = NoOp("FreeU is never on")
    disable_gradient_checkpointing = NoOp(_NO_TRAINING)
    disable_npu_flash_attention = NoOp(_ATTENTION)
    disable_xformers_memory_efficient_attention = NoOp(_ATTENTION)
    disable_xla_flash_attention = NoOp(_ATTENTION)
    enable_forward_chunking = NoOp(f"{_COMPILED}; offload() saves memory")
    enable_gradient_checkpointing = NoOp(_NO_TRAINING)
    enable_npu_flash_attention = NoOp(_ATTENTION)
    enable_xformers_memory_efficient_attention = NoOp(_ATTENTION)
    enable_xla_flash_attention = NoOp(_ATTENTION)
    eval = NoOp("networks are never in training", returns_self=True)
    fuse_qkv_projections = NoOp(_ATTENTION)
    requires_grad_ = NoOp(_NO_TRAINING, returns_self=True)
    reset_attention_backend = NoOp(_ATTENTION)
    set_attention_backend = NoOp(_ATTENTION)
    set_attention_slice = NoOp(f"{_ATTENTION}; offload() saves memory")
    set_default_attn_processor = NoOp(_ATTENTION)
    set_use_memory_efficient_attention_xformers = NoOp(_ATTENTION)
    set_use_npu_flash_attention = NoOp(_ATTENTION)
    set_use_xla_flash_attention = NoOp(_ATTENTION)
    share_memory = NoOp("each process loads its own weights", returns_self=True)
    unfuse_qkv_projections = NoOp(_ATTENTION)
    zero_grad = NoOp(_NO_TRAINING)

    dequantize = Refused("no network here is quantized", "leave it out")
    double = Refused("no backend computes in float64", 'call float() or to(dtype="float32")')
    enable_freeu = Refused("FreeU changes pictures and is not written here", "leave it out")
    enable_layerwise_casting = Refused(
        "weights are kept in the dtype that is computed in", "load with dtype='bfloat16'"
    )
    enable_parallelism = Refused(
        "the devices of a network are chosen when it is loaded",
        "give mesh= to from_pretrained, on the jax backend",
    )
    from_single_file = Refused(
        "diffusers reads no Kandinsky from one file", "load a folder or a hub id: from_pretrained"
    )
    forward = Refused("a network here is called, or a pipeline calls it", "call the pipeline")
    load_state_dict = Refused(
        "weights come from files, or for a while from a LoRA",
        "call from_pretrained, or update_weights with arrays by PyTorch's names",
    )
    post_process_latents = Refused(
        "what a prior pipeline returns is scaled already", "call the prior pipeline"
    )
    push_to_hub = Refused(
        "this library writes nothing to a hub",
        "save_pretrained to a folder, then upload it with the `hf` command",
    )
