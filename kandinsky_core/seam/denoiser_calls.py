"""Calls of a UNet or a prior by diffusers' arguments, for loops that scripts write themselves."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.errors import InvalidInputError

__all__ = ["DenoiserCalls", "NetworkOutput"]

_PRIOR = {
    "proj_embedding": "prompt_embeds",
    "encoder_hidden_states": "text_encoder_hidden_states",
    "attention_mask": "text_mask",
}
_UNET = {
    "encoder_hidden_states": "text_encoder_hidden_states",
    "encoder_attention_mask": "attention_mask",
}
_ADDED = ("image_embeds", "text_embeds", "hint", "text_encoder_hidden_states_2")
_MASKS = ("attention_mask", "text_mask")


@dataclass(frozen=True, slots=True)
class NetworkOutput:
    """What a network gives: `out.sample`, `out["sample"]`, `out[0]`, `(sample,) = out`.

    Attributes:
        sample: The prediction; `predicted_image_embedding` is its name for a prior.
    """

    sample: Any

    @property
    def predicted_image_embedding(self) -> Any:
        """The prediction of a prior."""
        return self.sample

    def __getitem__(self, key: int | str) -> Any:
        if key in (0, "sample", "predicted_image_embedding"):
            return self.sample
        raise (KeyError if isinstance(key, str) else IndexError)(key)


class DenoiserCalls:
    """Base of the networks that predict noise or a clean sample."""

    config: Any

    @abstractmethod
    def output(
        self, sample: FloatArray, timestep: float, conditioning: Mapping[str, Array]
    ) -> FloatArray:
        """Run the network once, without guidance and without a step.

        Args:
            sample: [B, C, h, w] of a UNet, without the channels of `image_latents`; [B, D] of a
                prior.
            timestep: The timestep of all rows.
            conditioning: As for `kandinsky_core.seam.networks.Denoiser.begin`, B rows.

        Returns:
            All that the network gives, float32; a learned variance stands behind the noise.
        """

    def __call__(
        self,
        sample: Any,
        timestep: Any,
        *positional: Any,
        added_cond_kwargs: Mapping[str, Any] | None = None,
        return_dict: bool = True,
        **conditioning: Any,
    ) -> NetworkOutput | tuple[Any]:
        """Run the network once, as `unet(...)` and `prior(...)` of diffusers do.

        Args:
            sample: The input, an array or a tensor; of an inpainting UNet with the masked picture
                and the mask behind it.
            timestep: One timestep for all rows.
            *positional: `encoder_hidden_states` of a UNet; `proj_embedding`,
                `encoder_hidden_states` and `attention_mask` of a prior.
            added_cond_kwargs: `image_embeds`, `text_embeds`, `hint` of Kandinsky 2's UNets;
                `text_encoder_hidden_states_2` of that of 2.0.
            return_dict: False returns a tuple.
            **conditioning: The positional arguments by name, and `encoder_attention_mask` of
                Kandinsky 3's UNet.

        Returns:
            `sample`, or `predicted_image_embedding` of a prior: float32, and a PyTorch tensor where
            the sample is one.

        Raises:
            InvalidInputError: An argument is not one of these, one is missing, or their shapes do
                not fit.
        """
        arrays = self._conditioning(positional, conditioning, added_cond_kwargs or {})
        rows = _array("sample", sample).astype(np.float32)
        self._require_fit(rows, arrays)
        if getattr(self.config, "image_latents", 0):
            kept = self.config.latent_channels
            rows, arrays["image_latents"] = rows[:, :kept], rows[:, kept:]
        moment = np.unique(_array("timestep", timestep))
        if moment.size != 1:
            raise InvalidInputError("timestep: give one for all rows")
        made = self.output(rows, float(moment[0]), arrays)
        found = sample.new_tensor(made) if hasattr(sample, "new_tensor") else made
        return NetworkOutput(found) if return_dict else (found,)

    def _conditioning(
        self, positional: tuple[Any, ...], named: Mapping[str, Any], added: Mapping[str, Any]
    ) -> dict[str, Array]:
        """Return diffusers' arguments by the seam's names; a mask that is left out shows all."""
        prior = not hasattr(self.config, "in_channels")
        names = _PRIOR if prior else _UNET
        given = dict(zip(names, positional, strict=False)) | {
            name: value for name, value in named.items() if value is not None
        }
        unknown = sorted({*given} - {*names}) + sorted({*added} - {*_ADDED})
        if unknown or len(positional) > len(names):
            raise InvalidInputError(
                f"the network does not take {', '.join(unknown) or 'so many arguments'}: give "
                f"{', '.join(names)}{'' if prior else ', added_cond_kwargs'}"
            )
        values = {names[name]: value for name, value in given.items()} | dict(added)
        arrays = {name: _array(name, value) for name, value in values.items() if value is not None}
        needed = self._needed()
        missing = [name for name in needed if name not in arrays and name not in _MASKS]
        if missing:
            raise InvalidInputError(f"the network reads {', '.join(missing)}, too: give it")
        for name in needed:
            if name not in arrays:
                arrays[name] = np.ones(arrays["text_encoder_hidden_states"].shape[:2], np.bool_)
        return arrays

    def _require_fit(self, sample: FloatArray, conditioning: Mapping[str, Array]) -> None:
        """Refuse a sample of another shape than the network reads, and other numbers of rows."""
        config = self.config
        if hasattr(config, "in_channels"):
            channels = config.latent_channels + config.image_latents
            multiple = config.size_multiple
            fits = sample.ndim == 4 and sample.shape[1] == channels
            fits = fits and not any(side % multiple for side in sample.shape[2:])
            allowed = f"[B, {channels}, h, w], sides of multiples of {multiple}"
        else:
            fits = sample.ndim == 2 and sample.shape[1] == config.embedding_dim
            allowed = f"[B, {config.embedding_dim}]"
        if not fits:
            raise InvalidInputError(f"sample is {sample.shape}: give {allowed}")
        for name, array in conditioning.items():
            if array.ndim < 2 or len(array) != len(sample):
                raise InvalidInputError(
                    f"{name} is {array.shape} beside a sample of {len(sample)} rows: give a row "
                    "for each"
                )

    def _needed(self) -> tuple[str, ...]:
        """Return the names of the conditioning that the network reads."""
        config = self.config
        if not hasattr(config, "in_channels"):
            return "prompt_embeds", "text_encoder_hidden_states", "text_mask"
        if not hasattr(config, "conditioning_names"):  # Kandinsky 3
            return "text_encoder_hidden_states", "attention_mask"
        return tuple(config.conditioning_names)


def _array(name: str, value: Any) -> Array:
    if hasattr(value, "detach"):  # a PyTorch tensor
        value = value.detach().cpu()
        value = value.float() if value.is_floating_point() else value
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InvalidInputError(f"{name} is no array: {error}") from error
    if array.dtype.kind not in "biuf":
        raise InvalidInputError(f"{name} is {array.dtype}: give an array of numbers")
    return array.astype(np.bool_) if name in _MASKS else array
