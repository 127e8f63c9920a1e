"""The settings by which pictures become pixels for CLIP, as an object that is loaded and saved."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from kandinsky_core.checkpoints.hub import HubOptions, resolve_component
from kandinsky_core.checkpoints.inside import inside
from kandinsky_core.checkpoints.json_files import read_json
from kandinsky_core.checkpoints.saved_folder import check_save_options, saved_folder, write_json
from kandinsky_core.configs.preprocessor import preprocessor_config
from kandinsky_core.errors import CheckpointError

__all__ = ["CLIPImageProcessor"]

_FILE = "preprocessor_config.json"


class CLIPImageProcessor(dict[str, Any]):
    """The fields of a `preprocessor_config.json`; pipelines of the prior read them.

    Raises:
        ConfigError: A field has another type, or is out of range.
    """

    class_name = "CLIPImageProcessor"

    def __init__(self, fields: Mapping[str, Any] | None = None, /, **others: Any) -> None:
        super().__init__(preprocessor_config({**(fields or {}), **others}))

    @classmethod
    def from_pretrained(
        cls, model: str | Path, subfolder: str | None = None, **options: Any
    ) -> Self:
        """Read `preprocessor_config.json`.

        Args:
            model: A folder, a hub id, or an embedded model's name.
            subfolder: Folder of the settings in the model, `image_processor` for example.
            **options: `revision`, `cache_dir`, `token`, `local_files_only`, `force_download`.

        Raises:
            ModelNotFoundError: There is no such folder, or the hub cannot deliver it.
            CheckpointError: The file is missing or damaged.
            ConfigError: A field has another type, or is out of range.
        """
        folder = resolve_component(model, subfolder, "prior", HubOptions.among(options))
        file = inside(folder, _FILE)
        if not file.exists():
            raise CheckpointError(f"{folder} lacks {_FILE}: give the folder that holds it")
        return cls(read_json(file))

    def save_pretrained(
        self, save_directory: str | Path, push_to_hub: bool = False, **others: Any
    ) -> None:
        """Write `preprocessor_config.json`.

        Args:
            save_directory: The folder; the file in it is replaced.
            push_to_hub: Refused.
            **others: Refused.

        Raises:
            InvalidInputError: The folder cannot be written, or an argument is refused.
        """
        check_save_options(safe_serialization=True, push_to_hub=push_to_hub, others=others)
        with saved_folder(save_directory, 0) as folder:
            write_json(folder / _FILE, {"image_processor_type": self.class_name, **self})
