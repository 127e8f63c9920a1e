"""The calls of diffusers' scripts that read, write and hand on the tensors of adapters (LoRA)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from kandinsky_core.arrays import Array
from kandinsky_core.checkpoints.hub import HubOptions
from kandinsky_core.checkpoints.lora_sources import LoraSource
from kandinsky_core.checkpoints.lora_writer import write_lora
from kandinsky_core.errors import InvalidInputError

__all__ = ["LoraFileCalls"]


class LoraFileCalls:
    """Class methods of every pipeline, which need no loaded pipeline.

    Attributes:
        unet_name: diffusers' prefix of the UNet in the names of tensors.
        text_encoder_name: The prefix of the text encoder.
    """

    unet_name: ClassVar[str] = "unet"
    text_encoder_name: ClassVar[str] = "text_encoder"

    @classmethod
    def lora_state_dict(
        cls,
        pretrained_model_name_or_path_or_dict: str | Path | Mapping[str, Any],
        *,
        weight_name: str | None = None,
        subfolder: str | None = None,
        use_safetensors: bool | None = None,
        unet_config: Any = None,
        return_lora_metadata: bool = False,
        **hub: Any,
    ) -> tuple[Any, ...]:
        """Read the tensors of a LoRA, under the names that they have in the file.

        Args:
            pretrained_model_name_or_path_or_dict: See `load_lora_weights`.
            weight_name: See `load_lora_weights`.
            subfolder: See `load_lora_weights`.
            use_safetensors: See `load_lora_weights`.
            unet_config: Has no effect.
            return_lora_metadata: Return the texts of the file's header too.
            **hub: See `load_lora_weights`.

        Returns:
            A dict of NumPy arrays, None in the place of diffusers' alphas, which are among the
            arrays, and with `return_lora_metadata` a dict of texts.

        Raises:
            KandinskyError: See `load_lora_weights`.
        """
        source = LoraSource.open(
            pretrained_model_name_or_path_or_dict,
            weight_name=weight_name,
            subfolder=subfolder,
            use_safetensors=use_safetensors,
            hub=HubOptions.given(hub),
        )
        read = source.tensors.read
        arrays: dict[str, Array] = {name: read(name) for name in source.tensors.names()}
        return (arrays, None, dict(source.header)) if return_lora_metadata else (arrays, None)

    @classmethod
    def save_lora_weights(
        cls,
        save_directory: str | Path,
        unet_lora_layers: Mapping[str, Any] | None = None,
        text_encoder_lora_layers: Mapping[str, Any] | None = None,
        is_main_process: bool = True,
        weight_name: str | None = None,
        save_function: Any = None,
        safe_serialization: bool = True,
        unet_lora_adapter_metadata: Mapping[str, Any] | None = None,
        text_encoder_lora_adapter_metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the tensors of a LoRA for the UNet, with `unet.` before their names.

        Args:
            save_directory: Folder of `pytorch_lora_weights.safetensors`.
            unet_lora_layers: Arrays of any framework by names.
            text_encoder_lora_layers: Refused: the text encoder takes no LoRA.
            is_main_process: Has no effect.
            weight_name: Another name of the file.
            save_function: Refused: the file is always safetensors.
            safe_serialization: False, which asks for a pickle, is refused.
            unet_lora_adapter_metadata: Ranks and alphas as PEFT's `LoraConfig` has them.
            text_encoder_lora_adapter_metadata: Refused with the layers.

        Raises:
            InvalidInputError: Something is refused, or the folder cannot be written.
        """
        if text_encoder_lora_layers or text_encoder_lora_adapter_metadata:
            raise InvalidInputError("text_encoder_lora_layers: the text encoder takes no LoRA here")
        said = cls.pack_weights(unet_lora_adapter_metadata or {}, cls.unet_name)
        cls.write_lora_layers(
            cls.pack_weights(unet_lora_layers or {}, cls.unet_name),
            save_directory,
            is_main_process,
            weight_name,
            save_function,
            safe_serialization,
            said or None,
        )

    @staticmethod
    def pack_weights(layers: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        """Return the entries of a dict with `PREFIX.` before their names.

        Args:
            layers: A dict, or a module of PyTorch, which counts as its state dict.
            prefix: The prefix.
        """
        found: Any = layers if isinstance(layers, Mapping) else layers.state_dict()
        return {f"{prefix}.{name}": value for name, value in found.items()}

    @staticmethod
    def write_lora_layers(
        state_dict: Mapping[str, Any],
        save_directory: str | Path,
        is_main_process: bool = True,
        weight_name: str | None = None,
        save_function: Any = None,
        safe_serialization: bool = True,
        lora_adapter_metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the tensors of a LoRA under the names that they have.

        Args:
            state_dict: Arrays of any framework by names.
            save_directory: Folder of `pytorch_lora_weights.safetensors`.
            is_main_process: Has no effect.
            weight_name: Another name of the file.
            save_function: Refused: the file is always safetensors.
            safe_serialization: False, which asks for a pickle, is refused.
            lora_adapter_metadata: Ranks and alphas, for the file's header.

        Raises:
            InvalidInputError: Something is refused, or the folder cannot be written.
        """
        if save_function is not None or not safe_serialization:
            raise InvalidInputError(
                "the file is always safetensors: leave save_function and safe_serialization out"
            )
        tensors = LoraSource.open(dict(state_dict)).tensors
        arrays = {name: tensors.read(name) for name in tensors.names()}
        write_lora(save_directory, arrays, lora_adapter_metadata, weight_name)

    @classmethod
    def load_lora_into_unet(
        cls,
        state_dict: Mapping[str, Any],
        network_alphas: Mapping[str, Any] | None,
        unet: Any,
        adapter_name: str | None = None,
        _pipeline: Any = None,
        low_cpu_mem_usage: bool = False,
        hotswap: bool = False,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Load the tensors of a LoRA into a UNet; `load_lora_weights` does it by a file's name.

        Args:
            state_dict: Arrays of any framework by names.
            network_alphas: The alphas of layers, where they are not among the arrays.
            unet: The UNet of a pipeline.
            adapter_name: What to call it; None counts `default_0`, `default_1`, ...
            _pipeline: Has no effect.
            low_cpu_mem_usage: Has no effect.
            hotswap: Put it in the place of the adapter that has this name.
            metadata: Ranks and alphas as PEFT's `LoraConfig` has them.

        Raises:
            InvalidInputError: An argument is wrong.
            CheckpointError: The tensors are damaged, of no supported kind, or for another network.
        """
        unet.load_lora_adapter(
            state_dict,
            prefix=None,
            hotswap=hotswap,
            adapter_name=adapter_name,
            network_alphas=network_alphas,
            metadata=metadata,
        )

    @classmethod
    def load_lora_into_text_encoder(
        cls, state_dict: Mapping[str, Any], *arguments: Any, **options: Any
    ) -> None:
        """Refuse adapters for a text encoder; do nothing where the tensors hold none.

        Args:
            state_dict: Arrays by names.
            *arguments: diffusers' other arguments.
            **options: diffusers' other arguments.

        Raises:
            InvalidInputError: Some tensors are for a text encoder.
        """
        theirs = [name for name in state_dict if str(name).startswith("text_encoder")]
        if theirs:
            raise InvalidInputError(
                f"{len(theirs)} tensors are for the text encoder ({theirs[0]}), which takes no "
                "LoRA here: leave them out"
            )
