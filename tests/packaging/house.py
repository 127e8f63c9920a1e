"""The import graph of the repository, read from the files."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["PACKAGES", "ROOT", "Arrow", "arrows", "external", "files", "room_of"]

ROOT = Path(__file__).parents[2]
# Package -> the source root that holds it.
PACKAGES = {
    "kandinsky_core": ".",
    "kandinsky_converters": "converters",
    "kandinsky_backend_kit": "backends",
    "kandinsky_jax": "backends",
    "kandinsky_mindspore": "backends",
    "kandinsky_reference": "backends",
    "kandinsky_cli": "apps",
    "kandinsky_server": "apps",
    "benchmarks": ".",
    "tools": ".",
}


@dataclass(frozen=True, slots=True, order=True)
class Arrow:
    """One file imports another; both are dotted names."""

    tail: str
    head: str


@cache
def files() -> dict[str, Path]:
    """Every module by its dotted name."""
    found = {}
    for package, root in PACKAGES.items():
        for path in sorted((ROOT / root / package).rglob("*.py")):
            parts = path.relative_to(ROOT / root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def _imported(path: Path) -> Iterator[tuple[str, str]]:
    """Every module that a file imports and the name it takes, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((str(node.module), alias.name) for alias in node.names)


@cache
def arrows() -> tuple[Arrow, ...]:
    """Every import of one file of the repository by another."""
    found = set()
    for tail, path in files().items():
        for module, name in _imported(path):
            head = f"{module}.{name}" if f"{module}.{name}" in files() else module
            if head in files() and head != tail:
                found.add(Arrow(tail, head))
    return tuple(sorted(found))


def external(module: str) -> set[str]:
    """The first names of all that a module imports."""
    return {name.split(".")[0] for name, _ in _imported(files()[module])}


def room_of(module: str) -> str:
    """The folder that a file lies in, or its package where it lies at the top of one."""
    path = files()[module]
    package = module.split(".")[0]
    folder = path.parent.relative_to(ROOT / PACKAGES[package])
    return ".".join(folder.parts)
