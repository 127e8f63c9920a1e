"""Puts files that are saved into a folder, which may hold an older model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kandinsky_core.checkpoints.file_names import INDEX
from kandinsky_core.checkpoints.inside import inside
from kandinsky_core.checkpoints.weight_files import weights_of_variant
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.staging import LOCK, staging_folder

__all__ = ["check_save_options", "saved_folder", "write_json"]

_STAGING = ".kandinsky-saving"


@contextmanager
def saved_folder(path: str | Path, size: int, variant: str | None = None) -> Iterator[Path]:
    """Yield an empty folder, whose files move into `path` when the block succeeds.

    Files of the same names are replaced, and others stay, as diffusers does it. Weights of the
    same variant under other names go, because a loader could take them for the new ones. A folder
    that a process was killed in is unchanged until all new files are written; the last file to
    arrive is `model_index.json`.

    Args:
        path: The folder; it is made where there is none.
        size: Bytes that will be written.
        variant: Infix of the weight files that are written.

    Raises:
        InvalidInputError: The folder cannot be made or written, it is a file, its disk lacks
            room, or another process is saving there.
        CheckpointError: A link in the folder leads out of it.
    """
    folder = Path(path).expanduser()
    if folder.exists() and not folder.is_dir():
        raise InvalidInputError(f"{folder} is a file: give the folder to save in")
    new = not folder.exists()
    staged = folder / _STAGING
    try:
        with staging_folder(staged, folder, size):
            yield staged
            _move(staged, folder, variant)
            (staged / LOCK).unlink()
            with suppress(OSError):  # another process has begun to save there
                staged.rmdir()
    except OSError as error:
        raise InvalidInputError(f"{folder} cannot be written: {error}") from error
    finally:
        if new:
            with suppress(OSError):  # it is empty where the block failed
                folder.rmdir()


def _move(staged: Path, folder: Path, variant: str | None) -> None:
    """Move all files to their places, the index of the model last."""
    files = [path.relative_to(staged) for path in staged.rglob("*") if path.is_file()]
    files = sorted(
        (file for file in files if file.name != LOCK), key=lambda file: (file.name == INDEX, file)
    )
    places = {file: inside(folder, file.as_posix()) for file in files}
    for place in {folder, *(place.parent for place in places.values())}:
        place.mkdir(parents=True, exist_ok=True)
        new = {path.name for path in places.values() if path.parent == place}
        if any(name.endswith(".safetensors") for name in new):
            for old in weights_of_variant(place, variant):
                if old.name not in new:
                    old.unlink()
    for file, place in places.items():
        (staged / file).replace(place)
    for made in sorted((path for path in staged.rglob("*") if path.is_dir()), reverse=True):
        made.rmdir()


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object as diffusers does, in its own folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=2, sort_keys=True)
    path.write_text(f"{text}\n", encoding="utf-8")


def check_save_options(
    *, safe_serialization: bool, push_to_hub: bool, others: Mapping[str, Any]
) -> None:
    """Refuse what diffusers' `save_pretrained` takes and this library does not do.

    Args:
        safe_serialization: Whether weights are written as safetensors.
        push_to_hub: Whether the folder is to be uploaded.
        others: Further arguments, none of which is known.

    Raises:
        InvalidInputError: One of them is asked for.
    """
    if not safe_serialization:
        raise InvalidInputError(
            "safe_serialization=False asks for pickled weights, which can run code when read: "
            "leave it out"
        )
    if push_to_hub:
        raise InvalidInputError(
            "push_to_hub=True: this library uploads nothing; save, then upload the folder with "
            "`hf upload` of huggingface_hub"
        )
    if others:
        raise InvalidInputError(
            f"save_pretrained does not take {', '.join(others)}; it takes save_directory, variant, "
            "max_shard_size, safe_serialization"
        )
