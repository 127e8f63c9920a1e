"""The schedulers of diffusers that are not here, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["REFUSED_SCHEDULERS"]

_FLOW = "it is for flow models, and Kandinsky 2 and 3 are none"
_OTHER_MODEL = "it belongs to networks of another kind"
_SIGMAS = "it tells the network log(sigma) / 4, and Kandinsky's networks are told timesteps"
_INVERSE = "it goes from pictures to noise, which no pipeline here does"
_FLAX = "it is the Flax form: take the name without 'Flax', which runs on JAX here"

REFUSED_SCHEDULERS: Mapping[str, str] = {
    "AmusedScheduler": _OTHER_MODEL,
    "BlockRefinementScheduler": _OTHER_MODEL,
    "CMStochasticIterativeScheduler": "it is for consistency models; there is LCMScheduler",
    "CogVideoXDDIMScheduler": "it is for video; there is DDIMScheduler",
    "CogVideoXDPMScheduler": "it is for video; there is DPMSolverMultistepScheduler",
    "ConsistencyDecoderScheduler": _OTHER_MODEL,
    "CosineDPMSolverMultistepScheduler": "it is for audio; there is DPMSolverMultistepScheduler",
    "DDIMInverseScheduler": _INVERSE,
    "DDIMParallelScheduler": "steps run one after the other here: take DDIMScheduler",
    "DDPMParallelScheduler": "steps run one after the other here: take DDPMScheduler",
    "DDPMWuerstchenScheduler": _OTHER_MODEL,
    "DPMSolverMultistepInverseScheduler": _INVERSE,
    "DPMSolverSDEScheduler": (
        "its noise is a Brownian motion that the package torchsde draws; there are"
        " DPMSolverMultistepScheduler with algorithm_type='sde-dpmsolver++' and"
        " KDPM2AncestralDiscreteScheduler"
    ),
    "DiscreteDDIMScheduler": _OTHER_MODEL,
    "EDMDPMSolverMultistepScheduler": _SIGMAS,
    "EDMEulerScheduler": _SIGMAS,
    "EntropyBoundScheduler": _OTHER_MODEL,
    "FlaxDDIMScheduler": _FLAX,
    "FlaxDDPMScheduler": _FLAX,
    "FlaxDPMSolverMultistepScheduler": _FLAX,
    "FlaxEulerDiscreteScheduler": _FLAX,
    "FlaxKarrasVeScheduler": _OTHER_MODEL,
    "FlaxLMSDiscreteScheduler": _FLAX,
    "FlaxPNDMScheduler": _FLAX,
    "FlaxScoreSdeVeScheduler": _OTHER_MODEL,
    "FlowMapEulerDiscreteScheduler": _FLOW,
    "FlowMatchEulerDiscreteScheduler": _FLOW,
    "FlowMatchHeunDiscreteScheduler": _FLOW,
    "FlowMatchLCMScheduler": _FLOW,
    "HeliosDMDScheduler": _FLOW,
    "HeliosScheduler": _FLOW,
    "IPNDMScheduler": "it has timesteps of its own, on which no network here was trained",
    "KarrasVeScheduler": _OTHER_MODEL,
    "LTXEulerAncestralRFScheduler": _FLOW,
    "RePaintScheduler": "it is for UNets that were not trained to inpaint; those here were",
    "SASolverScheduler": (
        "there are DPMSolverMultistepScheduler with algorithm_type='sde-dpmsolver++' for noise and"
        " UniPCMultistepScheduler for its corrector"
    ),
    "SCMScheduler": _FLOW,
    "ScoreSdeVeScheduler": _OTHER_MODEL,
    "ScoreSdeVpScheduler": _OTHER_MODEL,
    "TCDScheduler": "no Kandinsky network was distilled for it; there is LCMScheduler",
    "VQDiffusionScheduler": _OTHER_MODEL,
}
"""Class name in diffusers 0.39 -> why it is not here, and what to take instead."""
