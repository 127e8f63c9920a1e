"""Finds the folder of a model by its name: the embedded model, a local folder, or the hub."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from kandinsky_core.checkpoints.file_names import INDEX, NATIVE, NULL_EMBEDDING_FILE
from kandinsky_core.checkpoints.inside import inside
from kandinsky_core.checkpoints.model_card import front_matter_list
from kandinsky_core.checkpoints.other_layouts import other_layouts
from kandinsky_core.checkpoints.user_paths import user_path
from kandinsky_core.errors import CheckpointError, InvalidInputError, ModelNotFoundError

__all__ = [
    "EMBEDDED",
    "HubOptions",
    "connected_prior",
    "fetch_components",
    "fetch_files",
    "fetch_pickles",
    "hub_answers",
    "is_hub_id",
    "listed_files",
    "local_folder",
    "resolve_component",
    "resolve_model",
]

_HUB_ID = re.compile(r"[A-Za-z0-9_][\w.-]*/[A-Za-z0-9_][\w.-]*", re.ASCII)
_RELATIVE = re.compile(r"(?:(?P<up>\.\./)|\./)(?P<name>[A-Za-z0-9_][\w.-]*)/?", re.ASCII)

_SECONDS = 20  # until the hub must have said whether it has a repository

# Models that the wheel carries. Each folder holds a `prior` and a `decoder`.
EMBEDDED = {"shapes": Path(__file__).parents[1] / "models" / "shapes"}


@dataclass(frozen=True, slots=True, kw_only=True)
class HubOptions:
    """Options for fetching from the hub; the fields are those of `huggingface_hub`.

    Attributes:
        revision: Branch, tag or commit.
        variant: Infix of the weight files; `fp16` fetches only files of that infix.
        cache_dir: Cache folder in place of the default one.
        token: Access token, or True for the stored one.
        local_files_only: Never touch the network.
        force_download: Fetch again what the cache holds.
    """

    revision: str | None = None
    variant: str | None = None
    cache_dir: str | Path | None = None
    token: str | bool | None = None
    local_files_only: bool = False
    force_download: bool = False

    @classmethod
    def among(cls, arguments: Mapping[str, Any]) -> HubOptions:
        """Return the hub's options among the arguments of a `from_pretrained`."""
        names = {entry.name for entry in fields(cls)}
        return cls(**{name: value for name, value in arguments.items() if name in names})

    @classmethod
    def given(cls, arguments: Mapping[str, Any]) -> HubOptions:
        """Return the options that a caller gave by keyword.

        Raises:
            InvalidInputError: A keyword is none of them.
        """
        unknown = sorted(arguments.keys() - {entry.name for entry in fields(cls)})
        if unknown:
            raise InvalidInputError(
                f"{', '.join(unknown)}: no such option here; the hub's are "
                f"{', '.join(entry.name for entry in fields(cls))}"
            )
        return cls.among(arguments)


def resolve_model(
    name: str | Path, part: str, options: HubOptions, components: Iterable[str]
) -> Path:
    """Return the folder of a model, downloading what is needed and not yet cached.

    Args:
        name: An embedded model's name, a folder, or a hub id such as
            `kandinsky-community/kandinsky-2-2-decoder`. A folder that holds the two halves of a
            model as `prior` and `decoder` stands for the half that is asked for.
        part: `prior`, `decoder`, `inpaint`, `controlnet`, `flash`, `upscaler`, or its variants
            `upscaler_x2` and `upscaler_flash`.
        options: Hub options; the environment variable `HF_HUB_OFFLINE` is honoured too.
        components: Names of the components to fetch; others stay on the hub.

    Raises:
        InvalidInputError: The name is neither text nor a path, or no path can be so.
        ModelNotFoundError: The name stands for no model, or the hub cannot deliver the model.
        CheckpointError: The index in the hub's cache is a link whose target is gone.
    """
    if not isinstance(name, (str, Path)):
        raise InvalidInputError(
            f"model={name!r}: give an embedded model's name ({', '.join(EMBEDDED)}), a folder, "
            "or a hub id (owner/name)"
        )
    text = str(name)
    folder = local_folder(name)
    if folder is not None:
        inner = (folder / name for name in (part, part.partition("_")[0]))  # or the plain variant
        return next((one for one in inner if (one / "model_index.json").is_file()), folder)
    if text and user_path(text).is_file():
        raise ModelNotFoundError(f"no model {text!r}: it is a file, give the model's folder")
    if isinstance(name, Path) or text.startswith((".", "/", "~")) or text.count("/") != 1:
        raise ModelNotFoundError(
            f"no model {text!r}: it is no folder, no hub id (owner/name), and no embedded model "
            f"({', '.join(EMBEDDED)})"
        )
    return _download(text, part, options, components)


def resolve_component(
    name: str | Path, subfolder: str | None, part: str, options: HubOptions
) -> Path:
    """Return the folder of one component, downloading its files where they are not cached.

    Args:
        name: An embedded model's name, a folder or a hub id: of a model where `subfolder` is
            given, else of the component itself.
        subfolder: The component's folder in the model.
        part: See `resolve_model`; it chooses the half of an embedded model.
        options: See `resolve_model`.

    Raises:
        InvalidInputError: The name is neither text nor a path.
        ModelNotFoundError: There is no such model or folder, or the hub cannot deliver it.
        CheckpointError: The folder is a link that leads out of the model.
    """
    components = [subfolder or ""]
    folder = resolve_model(name, part, options, components)
    if not subfolder and (folder / INDEX).is_file():
        raise ModelNotFoundError(
            f"{folder} is a whole model: name the folder of the component with subfolder="
        )
    found = inside(folder, subfolder) if subfolder else folder
    if not found.is_dir():
        there = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
        raise ModelNotFoundError(f"{folder} has no folder {subfolder!r} (it has: {there})")
    return found


def local_folder(name: str | Path) -> Path | None:
    """Return the folder that a name stands for on this machine, before any part of it is chosen.

    Returns:
        None where there is no such folder, so that the name can only be a hub id.

    Raises:
        InvalidInputError: No path can be so; see `user_path`.
    """
    text = str(name)
    folder = EMBEDDED.get(text) or user_path(text)
    return folder if text and folder.is_dir() else None


def fetch_components(
    repo: str, part: str, options: HubOptions, components: Iterable[str], *, at: Path
) -> Path:
    """Fetch more of a repository whose index is on this machine already.

    Args:
        repo: The hub id.
        part: See `resolve_model`.
        options: The options with which the index was fetched.
        components: Names of the components.
        at: The folder of the index. The same commit is fetched, whatever its branch holds by now.

    Returns:
        The folder.

    Raises:
        ModelNotFoundError: The hub cannot deliver them.
    """
    if at.parent.name == "snapshots":  # the hub's cache names its folders after commits
        options = replace(options, revision=at.name)
    return _download(repo, part, options, components)


def fetch_pickles(repo: str, options: HubOptions, components: Iterable[str]) -> None:
    """Fetch the pickled weights of components for which the hub has no other weights.

    Args:
        repo: A hub id whose other files are on this machine.
        options: The options with which those files were fetched.
        components: Names of the components; nothing is done where there are none.

    Raises:
        ModelNotFoundError: The hub cannot deliver the files.
    """
    infix = f".{options.variant}" if options.variant else ""
    patterns = []
    for component in components:
        patterns += [f"{component}/*model{infix}.bin", f"{component}/*model{infix}-?????-of-*.bin"]
        patterns += [f"{component}/*model{infix}.bin.index.json"]
    if patterns:
        _snapshot(repo, options, patterns, hidden=False)


def hub_answers(name: str) -> bool:
    """Ask the hub once whether it has a repository, for a library that would ask many times.

    Returns:
        False where the hub cannot be asked, but the repository's `config.json` is in the cache.

    Raises:
        ModelNotFoundError: The hub has no such repository, the name cannot be one, or the hub
            cannot be asked and the cache holds nothing of it.
    """
    from huggingface_hub import model_info, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    try:
        model_info(name, revision="main", timeout=_SECONDS)
    except HFValidationError as error:
        raise ModelNotFoundError(
            f"no model {name!r}: it is no folder, and no hub id (owner/name)"
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelNotFoundError(f"model {name!r}: {_reason(error, HubOptions())}") from error
    except Exception as error:  # the HTTP library below and its errors differ by version
        if not isinstance(try_to_load_from_cache(name, "config.json"), str):
            raise ModelNotFoundError(
                f"model {name!r}: there is no such folder, it is not in the cache, and the hub "
                "cannot be asked or may not be: load it once online"
            ) from error
        return False
    return True


def _download(repo: str, part: str, options: HubOptions, components: Iterable[str]) -> Path:
    """Fetch the index first, then only the files of the wanted components.

    A repository without an index may hold ai-forever's original files.
    """
    infix = f".{options.variant}" if options.variant else ""
    patterns = ["model_index.json", "README.md"]
    components = tuple(components)
    for component in components:
        within = f"{component}/" if component else ""
        patterns += [f"{within}*.json", f"{within}*.txt", f"{within}*.model"]
        patterns += [f"{within}*model{infix}.safetensors"]
        patterns += [f"{within}*model{infix}-?????-of-?????.safetensors"]
        patterns += [f"{within}*model-?????-of-?????{infix}.safetensors"]
        patterns += [f"{within}{name}" for name in (NULL_EMBEDDING_FILE, *NATIVE.values())]
    folder = _snapshot(repo, options, patterns, hidden=not components)
    if inside(folder, "model_index.json").is_file():
        return folder
    for layout in other_layouts():
        patterns += layout.hub_patterns(part, components)
    return _snapshot(repo, options, patterns, hidden=not components)


def is_hub_id(name: str) -> bool:
    """Tell whether a name has the form of a hub id, `owner/name`."""
    return _HUB_ID.fullmatch(name) is not None


def fetch_files(repo: str, options: HubOptions, names: list[str]) -> Path:
    """Fetch single files of a repository, and return its folder; files that it lacks are left out.

    Args:
        repo: The hub id.
        options: Hub options.
        names: The files' places in the repository.

    Raises:
        ModelNotFoundError: The hub cannot deliver them.
    """
    # The hub's library takes these words for patterns, and its characters for wildcards.
    exact = ["".join(f"[{c}]" if c in "*?[" else c for c in name) for name in names]
    return _snapshot(repo, options, exact, hidden=False)


def listed_files(repo: str, options: HubOptions) -> list[str]:
    """Return the places of all files of a repository, without fetching any.

    Raises:
        ModelNotFoundError: The hub cannot be asked, or has no such repository.
    """
    from huggingface_hub import list_repo_files

    try:
        return list_repo_files(repo, revision=options.revision, token=options.token)
    except Exception as error:  # as in `_snapshot`
        raise ModelNotFoundError(f"model {repo!r}: {_reason(error, options)}") from error


def _snapshot(repo: str, options: HubOptions, patterns: list[str], *, hidden: bool) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                repo,
                revision=options.revision,
                cache_dir=options.cache_dir,
                token=options.token,
                local_files_only=options.local_files_only,
                force_download=options.force_download,
                allow_patterns=patterns,
                tqdm_class=_bar(hidden=hidden),
            )
        )
    except Exception as error:  # the HTTP library below and its errors differ by version
        raise ModelNotFoundError(f"model {repo!r}: {_reason(error, options)}") from error


def _bar(*, hidden: bool) -> type[Any]:
    """Return a tqdm class that shows on a terminal only; the hub's own would fill logs too."""
    from huggingface_hub.utils import are_progress_bars_disabled  # type: ignore[attr-defined]
    from tqdm.auto import tqdm

    # A program without a window has no stderr to draw on.
    unseen = hidden or are_progress_bars_disabled() or sys.stderr is None
    disable = True if unseen else None

    class Bar(tqdm):  # type: ignore[type-arg]
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            settings.pop("name", None)  # only the hub's own class takes it
            super().__init__(*arguments, **{**settings, "disable": disable})

    return Bar


def _reason(error: Exception, options: HubOptions) -> str:
    """Say in one line why the hub did not deliver, and what to do."""
    from huggingface_hub.errors import (
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, GatedRepoError):
        return "its terms must be accepted on the hub first; then give token="
    if isinstance(error, RevisionNotFoundError):
        return f"the hub has it, but it has no revision {options.revision or 'main'!r}"
    if isinstance(error, RepositoryNotFoundError):
        return (
            "there is no such folder, and the hub has no such repository, unless it is private "
            "and needs token="
        )
    if isinstance(error, LocalEntryNotFoundError):
        return (
            "there is no such folder, it is not in the cache (or not whole), and the hub cannot be "
            "asked or may not be: load it once online"
        )
    lines = str(error).strip().splitlines()
    return f"the hub did not deliver it: {lines[0] if lines else repr(error)}"


def connected_prior(decoder: Path) -> str | None:
    """Return the prior that a decoder's README names in its front matter, or None.

    A published decoder names a hub id (`owner/name`), or an embedded model. Two relative paths are
    allowed as well, so that a pair of local folders can belong together: `../NAME` for a folder
    beside the decoder's, and `./NAME` for one within it. They start at the folder that a link to
    the decoder leads to. A folder beside the decoder is the user's, so it may be a link. Any other
    path is refused: a card that somebody else wrote must not choose among all folders here.

    Raises:
        CheckpointError: The card names anything else, or cannot be read; see `front_matter_list`.
    """
    named = next(iter(front_matter_list(decoder, "prior")), None)
    if named is None:
        return None
    if match := _RELATIVE.fullmatch(named):
        if match["up"]:
            return str(decoder.resolve().parent / match["name"])
        return str(inside(decoder.resolve(), match["name"]))
    if named in EMBEDDED or _HUB_ID.fullmatch(named):
        return named
    raise CheckpointError(
        f"the model card of {decoder} names the prior {named!r}: allowed are a hub id "
        "(owner/name), '../NAME' and './NAME'; correct its `prior:` entry, or give prior="
    )
