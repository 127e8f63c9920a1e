"""The table of diffusers' scheduler names that are refused."""

from __future__ import annotations

from kandinsky_core.foreign_names import ForeignNames, Refused, refuses

__all__ = ["SchedulerNames"]


@refuses(
    "these are steps within diffusers' solver, and here a row of the table has their result",
    "read the rows that schedule(num_inference_steps) returns",
    "convert_model_output dpm_solver_first_order_update multistep_dpm_solver_second_order_update "
    "multistep_dpm_solver_third_order_update",
)
@refuses(
    "diffusers builds its objects with this from a config file",
    "call from_config or from_pretrained, and read `config`",
    "extract_init_dict get_config_dict ignore_for_config register_for_auto_class "
    "register_to_config",
)
class SchedulerNames(ForeignNames):
    """Names that scripts written for diffusers use on schedulers."""

    get_velocity = Refused("only training needs it", "train with diffusers, and load the result")
    push_to_hub = Refused(
        "this library writes nothing to a hub",
        "save_pretrained to a folder, then upload it with the `hf` command",
    )
