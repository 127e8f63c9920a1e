"""The command `kandinsky models`: what is embedded, in the hub's cache, and published."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kandinsky_cli.console import write_error, write_json, write_line

__all__ = ["add_parser", "run"]

_INDEX = "model_index.json"
_COMMIT = 10  # characters of a commit that are printed


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "models",
        help="list the models that are embedded, in the hub's cache, and published",
        description="List the embedded models, those of the family in the hub's cache with their "
        "revisions and sizes, and the published ones with sizes and licences. The network is not "
        "asked.",
    )
    parser.add_argument(
        "--cache", metavar="DIR", help="the cache to look at (default: huggingface_hub's)"
    )
    parser.add_argument("--json", action="store_true", help="print as JSON")


def run(options: argparse.Namespace) -> None:
    """Print three lists, or JSON.

    Raises:
        InvalidInputError: There is no such cache.
    """
    cached, problems = _cached(options.cache)
    found = {"embedded": _embedded(), "cached": cached, "published": _published(cached)}
    for problem in problems:
        write_error("kandinsky models", problem, kind="warning")
    if options.json:
        write_json(found)
        return
    for line in _lines(found):
        write_line(line)


def _embedded() -> list[dict[str, Any]]:
    from kandinsky_core.checkpoints.hub import EMBEDDED

    return [
        {
            "model": name,
            "bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
            "licence": "Apache-2.0",
        }
        for name, folder in EMBEDDED.items()
    ]


def _cached(cache: str | None) -> tuple[dict[str, Any], list[str]]:
    """Return the models of the family in a cache, the size of all else, and what is damaged."""
    from huggingface_hub import CacheNotFound, scan_cache_dir
    from huggingface_hub.constants import HF_HUB_CACHE

    from kandinsky_cli.published_models import PUBLISHED
    from kandinsky_core.errors import InvalidInputError

    place = cache or HF_HUB_CACHE
    found: dict[str, Any] = {"place": place, "models": [], "others": {"count": 0, "bytes": 0}}
    try:
        scanned = scan_cache_dir(place)
    except CacheNotFound as error:
        if cache is not None:
            raise InvalidInputError(f"--cache {cache}: there is no such folder") from error
        return found, []
    except ValueError as error:  # a file in the place of the folder
        raise InvalidInputError(f"{place} is no cache of huggingface_hub: {error}") from error
    known = {entry.model for entry in PUBLISHED}
    for repo in sorted(scanned.repos, key=lambda repo: repo.repo_id):
        family = repo.repo_id in known or any(
            _is_of_family(revision.snapshot_path) for revision in repo.revisions
        )
        if repo.repo_type == "model" and family:
            found["models"].append(_repository(repo))
        else:
            found["others"]["count"] += 1
            found["others"]["bytes"] += repo.size_on_disk
    return found, [str(warning) for warning in scanned.warnings]


def _repository(repo: Any) -> dict[str, Any]:
    """Describe a repository. Revisions share files, so their sizes may add up to more than all."""
    newest = sorted(repo.revisions, key=lambda revision: (-revision.last_modified, revision.refs))
    return {
        "model": repo.repo_id,
        "bytes": repo.size_on_disk,
        "revisions": [
            {
                "revision": revision.commit_hash,
                "refs": sorted(revision.refs),
                "bytes": revision.size_on_disk,
            }
            for revision in newest
        ],
    }


def _is_of_family(folder: Path) -> bool:
    """Return whether a snapshot's index names a pipeline of Kandinsky."""
    from kandinsky_core.checkpoints.json_files import load_json

    try:
        index = load_json(folder / _INDEX)
    except (OSError, ValueError):  # missing or damaged: loading it would say so
        return False
    return isinstance(index, Mapping) and str(index.get("_class_name")).startswith("Kandinsky")


def _published(cached: Mapping[str, Any]) -> list[dict[str, Any]]:
    from dataclasses import asdict

    from kandinsky_cli.published_models import PUBLISHED

    here = {entry["model"] for entry in cached["models"]}
    return [{**asdict(entry), "cached": entry.model in here} for entry in PUBLISHED]


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    from kandinsky_core.memory.plan import readable_size

    yield "embedded:"
    for entry in found["embedded"]:
        yield f"  {entry['model']}  {readable_size(entry['bytes'])}, {entry['licence']}"
    cached = found["cached"]
    yield f"in the cache {cached['place']}:"
    for entry in cached["models"]:
        yield f"  {entry['model']}  {readable_size(entry['bytes'])}"
        for revision in entry["revisions"]:
            refs = f" ({', '.join(revision['refs'])})" if revision["refs"] else ""
            commit = revision["revision"][:_COMMIT]
            yield f"    revision {commit}{refs}  {readable_size(revision['bytes'])}"
    others = cached["others"]
    if not cached["models"]:
        yield "  none of the family"
    if others["count"]:
        yield f"  {others['count']} others  {readable_size(others['bytes'])}"
    yield "published (sizes of the weights that are fetched):"
    for entry in found["published"]:
        notes = [entry["note"]] if entry["note"] else []
        notes += ["in the cache"] if entry["cached"] else []
        yield (
            f"  {entry['model']}  {entry['gigabytes']:.1f} GB, {entry['licence']}; "
            f"{entry['version']}: {entry['does']}" + "".join(f"; {note}" for note in notes)
        )
