"""Reads the block of YAML that opens a model card (README.md), which anybody may have written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kandinsky_core.budgets import FRONT_MATTER_BYTES, FRONT_MATTER_DEPTH
from kandinsky_core.checkpoints.inside import inside
from kandinsky_core.errors import CheckpointError
from kandinsky_core.files import open_regular, why_not

__all__ = ["front_matter_list"]

_CARD = "README.md"
_FENCE = "---"


def front_matter_list(folder: Path, key: str) -> list[str]:
    """Return one list (or single value) of a card's front matter, as texts.

    Returns:
        Nothing where there is no card, where its front matter is no YAML, or lacks the key.

    Raises:
        CheckpointError: The card is a link out of the folder, or is no regular file. Or its front
            matter is larger or deeper than any card needs, or has anchors with aliases, by which a
            few bytes can stand for gigabytes.
    """
    card = inside(folder, _CARD)
    if not card.exists():
        return []
    try:
        with open_regular(card, limit=None) as file:
            head = file.read(FRONT_MATTER_BYTES + 1)
    except OSError as error:
        raise CheckpointError(f"{card} cannot be read: {why_not(error)}") from error
    text = head.decode(errors="replace")
    if not text.startswith(_FENCE):
        return []
    block, closed, _ = text.removeprefix(_FENCE).partition(_FENCE)
    if not closed and len(head) > FRONT_MATTER_BYTES:
        raise _refused(card, f"is larger than {FRONT_MATTER_BYTES} bytes")
    data = _parse(card, block)
    value = data.get(key) if isinstance(data, dict) else None
    values = value if isinstance(value, list) else [value]
    return [item for item in values if isinstance(item, str) and item not in ("", "~", "null")]


def _parse(card: Path, block: str) -> Any:
    """Return the block's value, whose scalars are all texts; None where it is no YAML."""
    import yaml

    depth = 0
    try:
        # The events come one by one, so that a block is refused before it is built or read whole.
        for event in yaml.parse(block, Loader=yaml.BaseLoader):
            if isinstance(event, yaml.AliasEvent):
                raise _refused(card, f"has an alias (*{event.anchor})")
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > FRONT_MATTER_DEPTH:
                raise _refused(card, f"is nested more than {FRONT_MATTER_DEPTH} deep")
        return yaml.load(block, Loader=yaml.BaseLoader)  # makes texts, lists and dicts alone
    except (yaml.YAMLError, ValueError):  # ValueError: an escape that is no character
        return None


def _refused(card: Path, why: str) -> CheckpointError:
    return CheckpointError(
        f"{card}: its front matter (the lines between '---') {why}, which no model card needs: "
        "remove what is not needed, or the file"
    )
