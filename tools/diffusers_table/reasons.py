"""Why names are refused of which no class of the library speaks itself.

Where the library has the name by now, its own answer counts, and a test asks to delete the reason.
"""

from __future__ import annotations

from collections.abc import Mapping

from kandinsky_core.pipelines.shared.foreign_options import ACCEPTED_OPTIONS, REFUSED_OPTIONS

__all__ = [
    "AUTO",
    "CALLS",
    "FIELDS",
    "LOADING",
    "NETWORKS",
    "SCHEDULER_NAMES",
]


def _each(reasons: Mapping[str, str]) -> dict[str, str]:
    """Return the reason of each name from names with spaces between them."""
    return {name: reason for names, reason in reasons.items() for name in names.split()}


_CONFIG = "diffusers keeps its configs with this: read `config`"
_CONSTANT = "it is a constant of diffusers' code: leave it out"
AUTO: Mapping[str, str] = _each(
    {
        "config config_name extract_init_dict from_config get_config_dict has_compatibles "
        "ignore_for_config load_config register_for_auto_class register_to_config save_config "
        "to_json_file to_json_string": "the class only chooses a pipeline and has no objects: read"
        " the `config` of the pipeline that `from_pretrained` returns",
    }
)
CALLS: Mapping[str, str] = _each(
    {
        "prior_callback prior_callback_steps": "diffusers hands them to its prior, which fails:"
        " give `prior_callback_on_step_end`",
    }
)
LOADING: Mapping[str, str] = {
    **{name: f"{reason}: leave it out" for name, reason in ACCEPTED_OPTIONS.items()},
    **REFUSED_OPTIONS,
    **_each(
        {
            "dduf_entries": REFUSED_OPTIONS["dduf_file"],
            "device_map": "a network lies on one device: give `device=`",
            "enable_pag": "perturbed-attention guidance is not written here: leave it out",
            "flashpack_kwargs": REFUSED_OPTIONS["use_flashpack"],
            "ignore_mismatched_sizes": "a tensor of another size is an error: leave it out",
            "output_loading_info": "what does not fit is an error: leave it out",
            "parallel_config": "give `mesh=`, on the jax backend",
            "return_unused_kwargs": "an unknown field is an error: leave it out",
        }
    ),
}
SCHEDULER_NAMES: Mapping[str, str] = _each(
    {
        "alpha_t alphas_bar_sqrt counter cur_model_output cur_sample custom_timesteps derivatives "
        "dt ets final_alpha_cumprod is_scale_input_called lambda_t last_sample log_sigmas "
        "lower_order_nums model_outputs one order_list plms_timesteps prev_derivative "
        "prk_timesteps sample sigma_data sigma_t sigmas_down sigmas_interpol sigmas_up "
        "state_in_first_order this_order timestep_list variance_type": "this is what diffusers'"
        " loop notes between its steps: read the rows that `schedule(num_inference_steps)` returns",
        "pndm_order": _CONSTANT,
        "deis_first_order_update get_lms_coefficient get_order_list "
        "get_scalings_for_boundary_condition_discrete multistep_deis_second_order_update "
        "multistep_deis_third_order_update multistep_uni_c_bh_update multistep_uni_p_bh_update "
        "singlestep_dpm_solver_second_order_update singlestep_dpm_solver_third_order_update "
        "singlestep_dpm_solver_update step_plms step_prk stretch_shift_to_terminal time_shift": (
            "these are parts of diffusers' `step`: call `step`"
        ),
    }
)
FIELDS: Mapping[str, str] = {}
NETWORKS: Mapping[str, str] = _each(
    {
        "load_config register_to_config save_config to_json_file": _CONFIG,
        "forward": "call the network itself, `unet(...)`; MoVQ and the text"
        " encoders run within a pipeline",
        "post_process_latents": "it is a step of the prior pipeline: call the pipeline",
    }
)
