"""The rules of the house: who may import whom, how large a file and a function may grow."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("kandinsky_core", "backends", "converters", "tools", "tests")
FRAMEWORKS = {"jax", "jaxlib", "flax", "mindspore", "mindone", "torch", "diffusers"}
FORBIDDEN = {
    "kandinsky_core": FRAMEWORKS | {"backends", "converters", "transformers", "tools", "tests"},
    "converters": FRAMEWORKS | {"backends", "tools", "tests"},
    "backends/jax": {"torch", "diffusers", "transformers", "tools", "tests"},
    "backends/mindspore": {"torch", "diffusers", "transformers", "tools", "tests"},
    "backends/reference": FRAMEWORKS - {"torch", "diffusers"} | {"tools", "tests"},
}
# The command line stands above all layers, and one command is the converters'. Depth maps are made
# and prompts expanded by transformers, where it is installed.
ALLOWED = {
    ("run_convert.py", "converters"),
    ("hints.py", "transformers"),
    ("beautify.py", "transformers"),
    ("beautify.py", "torch"),
}


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)


@pytest.mark.parametrize("package", FORBIDDEN)
def test_layers_import_downwards_only(package: str) -> None:
    wrong = [
        (path.name, module)
        for path in sources(package)
        for module in imported(path)
        if module.split(".")[0] in FORBIDDEN[package]
        and (path.name, module.split(".")[0]) not in ALLOWED
    ]
    assert wrong == []


def test_backends_do_not_import_each_other() -> None:
    for path in sources("backends"):
        own = path.relative_to(ROOT / "backends").parts[0]
        others = [
            module
            for module in imported(path)
            if module.startswith("backends.") and module.split(".")[1] != own
        ]
        assert others == [], path


@pytest.mark.parametrize("package", PACKAGES)
def test_files_and_functions_stay_readable(package: str) -> None:
    for path in sources(package):
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") < 400, path
        if package == "tests":
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                lines = (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
                assert lines <= 50, f"{path}: {node.name}"


def test_importing_every_public_name_loads_no_framework() -> None:
    code = (
        "import sys, kandinsky_core\n"
        "first = set(sys.modules)\n"
        "assert not {'numpy', 'PIL', 'huggingface_hub'} & first, 'import alone is to be light'\n"
        "for name in kandinsky_core.__all__: getattr(kandinsky_core, name)\n"
        f"print(sorted({FRAMEWORKS | {'transformers', 'tokenizers', 'huggingface_hub'}!r}"
        " & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_name_is_an_attribute_error() -> None:
    import kandinsky_core

    with pytest.raises(AttributeError, match="NoSuchPipeline"):
        _ = kandinsky_core.NoSuchPipeline
    assert set(kandinsky_core.__all__) == set(dir(kandinsky_core))
