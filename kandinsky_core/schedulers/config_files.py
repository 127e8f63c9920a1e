"""The config of a scheduler as text and as a file, and the names that diffusers has for both."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar, Self

from kandinsky_core.checkpoints.hub import HubOptions, resolve_model
from kandinsky_core.checkpoints.inside import inside
from kandinsky_core.checkpoints.json_files import read_json
from kandinsky_core.errors import CheckpointError, ConfigError
from kandinsky_core.schedulers.config import SchedulerConfig

__all__ = ["CONFIG_NAME", "ConfigFiles"]

CONFIG_NAME = "scheduler_config.json"
_NOT_SAVED = "_use_default_values"


class ConfigFiles:
    """The part of a scheduler that reads and writes its config."""

    config_name: ClassVar[str] = CONFIG_NAME

    @property
    @abstractmethod
    def config(self) -> SchedulerConfig:
        """See `Scheduler.config`."""

    @classmethod
    @abstractmethod
    def from_config(cls, config: Mapping[str, Any], **overrides: Any) -> Self:
        """See `Scheduler.from_config`."""

    @classmethod
    def load_config(
        cls, path: str | Path, subfolder: str | None = None, **others: Any
    ) -> Mapping[str, Any]:
        """Read `scheduler_config.json` and return what it holds.

        Args:
            path: A folder; with `subfolder` also a hub id.
            subfolder: Folder inside `path`, `scheduler` for example.
            others: `revision`, `cache_dir`, `token`, `local_files_only`: how the hub is asked.

        Raises:
            CheckpointError: The file is missing, is not JSON, or lies outside of the folder.
            ModelNotFoundError: The hub cannot deliver the file.
        """
        if subfolder is not None and isinstance(path, str) and not Path(path).is_dir():
            path = resolve_model(path, "decoder", HubOptions(**others), [subfolder])
        file = inside(Path(path), f"{subfolder}/{CONFIG_NAME}" if subfolder else CONFIG_NAME)
        if not file.exists():
            raise CheckpointError(f"there is no {file}: give the folder that holds it")
        return read_json(file)

    @classmethod
    def from_pretrained(
        cls, path: str | Path, subfolder: str | None = None, **overrides: Any
    ) -> Self:
        """Read `scheduler_config.json` and build the scheduler.

        Args:
            path: A folder; with `subfolder` also a hub id.
            subfolder: Folder inside `path`, `scheduler` for example.
            overrides: Fields that replace the file's, and the options of `load_config`.

        Raises:
            CheckpointError: The file is missing, is not JSON, or lies outside of the folder.
            ConfigError: As `from_config` raises.
            ModelNotFoundError: The hub cannot deliver the file.
        """
        hub = {entry.name for entry in fields(HubOptions)} & set(overrides)
        options = {name: overrides.pop(name) for name in hub}
        return cls.from_config(cls.load_config(path, subfolder, **options), **overrides)

    @classmethod
    def get_config_dict(cls, *args: Any, **kwargs: Any) -> Mapping[str, Any]:
        """Return `load_config` of the same arguments."""
        return cls.load_config(*args, **kwargs)

    def save_pretrained(self, path: str | Path) -> None:
        """Write `scheduler_config.json`, which diffusers reads too; makes the folder if needed."""
        file = Path(path, CONFIG_NAME)
        file.parent.mkdir(parents=True, exist_ok=True)
        self.to_json_file(file)

    def save_config(self, save_directory: str | Path) -> None:
        """Do as `save_pretrained` does."""
        self.save_pretrained(save_directory)

    def to_json_string(self) -> str:
        """Return the config as the text of a JSON file."""
        saved = {name: value for name, value in self.config.items() if name != _NOT_SAVED}
        return json.dumps(saved, indent=2) + "\n"

    def to_json_file(self, json_file_path: str | Path) -> None:
        """Write the config into a file."""
        Path(json_file_path).write_text(self.to_json_string(), encoding="utf-8")

    def register_to_config(self, **values: Any) -> None:
        """Refuse to change a field, as a scheduler is immutable.

        Raises:
            ConfigError: Always; the message says how to get a scheduler with other fields.
        """
        name = type(self).__name__
        given = ", ".join(f"{field}=..." for field in values)
        raise ConfigError(
            f"{name} does not change: take {name}.from_config(scheduler.config, {given})"
        )
