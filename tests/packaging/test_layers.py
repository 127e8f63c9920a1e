"""The rules of the house: who may import whom, how large a file and a function may grow."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from importlib import import_module

import pytest

from tests.packaging.house import PACKAGES, ROOT, arrows, external, files, room_of

FRAMEWORKS = {"jax", "jaxlib", "flax", "mindspore", "mindone", "torch", "diffusers"}
# What a package may import besides itself. Arrows point down: apps stand above backends, which they
# find by entry points alone, then come converters, then core.
BELOW = {
    "kandinsky_core": set[str](),
    "kandinsky_converters": {"kandinsky_core"},
    "kandinsky_backend_kit": {"kandinsky_core", "kandinsky_converters"},
    "kandinsky_jax": {"kandinsky_core", "kandinsky_converters", "kandinsky_backend_kit"},
    "kandinsky_mindspore": {"kandinsky_core", "kandinsky_converters", "kandinsky_backend_kit"},
    "kandinsky_reference": {"kandinsky_core", "kandinsky_converters", "kandinsky_backend_kit"},
    "kandinsky_server": {"kandinsky_core"},
    "kandinsky_cli": {"kandinsky_core", "kandinsky_converters", "kandinsky_server"},
    "benchmarks": {*PACKAGES} - {"tools", "kandinsky_cli"},
    "tools": {*PACKAGES} - {"benchmarks", "kandinsky_cli"},
}
# Packages from elsewhere that a package does without, so that it runs where they are missing.
WITHOUT = {
    "kandinsky_core": FRAMEWORKS | {"transformers"},
    "kandinsky_converters": FRAMEWORKS | {"transformers"},
    "kandinsky_backend_kit": FRAMEWORKS | {"transformers"},
    "kandinsky_jax": FRAMEWORKS - {"jax", "jaxlib", "flax"} | {"transformers"},
    "kandinsky_mindspore": FRAMEWORKS - {"mindspore", "mindone"} | {"transformers"},
    "kandinsky_reference": FRAMEWORKS - {"torch", "diffusers"},
    "kandinsky_server": FRAMEWORKS | {"transformers"},
    "kandinsky_cli": FRAMEWORKS | {"transformers"},
}
# Depth maps are made and prompts expanded by transformers, where it is installed.
ALLOWED = {
    ("kandinsky_core.pictures.hints", "transformers"),
    ("kandinsky_core.pictures.torch_tensors", "torch"),
    ("kandinsky_core.texts.beautify", "transformers"),
    ("kandinsky_core.texts.beautify", "torch"),
}
# The rooms of core from the ground up; what lies beside them is listed by file.
FLOORS = (
    (
        "arrays",
        "budgets",
        "errors",
        "files",
        "foreign_names",
        "public_names",
        "staging",
        "terminal",
    ),
    ("validation", "configs", "callbacks", "models"),
    ("seam",),
    ("checkpoints", "pictures"),
    ("image_processor", "schedulers", "texts", "memory"),
    ("denoising",),
    ("utils", "verification"),
    ("pipelines.shared",),
    ("pipelines.kandinsky2_0", "pipelines.kandinsky2_2", "pipelines.kandinsky3"),
    ("pipelines.kandinsky2_1", "pipelines.super_resolution"),
    ("pipelines.auto", "pipelines.entry_points", "pipelines"),
)
COMMON_ROOMS = {"components", "networks", "weights", "programs", "placement"}


def floor_of(module: str) -> int:
    """The floor of a file of core."""
    place = module.removeprefix("kandinsky_core.")
    fits = [
        (len(room), floor)
        for floor, rooms in enumerate(FLOORS)
        for room in rooms
        if place == room or place.startswith(f"{room}.")
    ]
    assert fits, f"{module} lies in no room of FLOORS"
    return max(fits)[1]


@pytest.mark.parametrize("package", BELOW)
def test_packages_import_downwards_only(package: str) -> None:
    wrong = [
        arrow
        for arrow in arrows()
        if arrow.tail.split(".")[0] == package
        and arrow.head.split(".")[0] not in BELOW[package] | {package}
    ]
    assert wrong == []


@pytest.mark.parametrize("package", WITHOUT)
def test_packages_do_without(package: str) -> None:
    own = [name for name in files() if name.split(".")[0] == package]
    unwanted = WITHOUT[package] | {"tools", "tests", "benchmarks"}
    wrong = [(name, other) for name in own for other in external(name) & unwanted]
    assert set(wrong) <= ALLOWED


def test_rooms_of_core_import_downwards_only() -> None:
    inside = [
        arrow
        for arrow in arrows()
        if arrow.tail.startswith("kandinsky_core.") and arrow.head.startswith("kandinsky_core.")
    ]
    assert len(inside) > 100
    wrong = [arrow for arrow in inside if floor_of(arrow.head) > floor_of(arrow.tail)]
    assert wrong == []


@pytest.mark.parametrize("level", ["files", "rooms"])
def test_nothing_imports_in_a_circle(level: str) -> None:
    graph: dict[str, set[str]] = {}
    for arrow in arrows():
        tail, head = arrow.tail, arrow.head
        if level == "rooms":
            tail, head = room_of(tail), room_of(head)
        # The top of a package hands on names of its rooms, and holds the rooms' common ground.
        if tail != head and (level == "files" or ("." in tail and "." in head)):
            graph.setdefault(tail, set()).add(head)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of {level}: {' -> '.join(error.args[1])}")


def test_both_backends_have_the_same_rooms() -> None:
    rooms = {
        package: {
            path.name for path in (ROOT / "backends" / package).iterdir() if path.suffix == ""
        }
        - {"__pycache__"}
        for package in ("kandinsky_jax", "kandinsky_mindspore")
    }
    assert rooms["kandinsky_jax"] == COMMON_ROOMS | {"layers"}
    assert rooms["kandinsky_mindspore"] == COMMON_ROOMS | {"cpu"}


@pytest.mark.parametrize("package", [*PACKAGES, "tests"])
def test_files_and_functions_stay_readable(package: str) -> None:
    for path in sorted((ROOT / PACKAGES.get(package, ".") / package).rglob("*.py")):
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


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from kandinsky_cli.main import main\n"
        "try: main(['generate', '--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'numpy', 'PIL', 'huggingface_hub', 'safetensors'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_type_checkers_see_the_public_names() -> None:
    """The table that resolves names and the imports that checkers read say the same."""
    import kandinsky_core
    from kandinsky_core.public_names import HOMES

    tree = ast.parse(files()["kandinsky_core"].read_text(encoding="utf-8"))
    seen = {
        alias.name: str(node.module).removeprefix("kandinsky_core.")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    }
    assert seen == HOMES
    assert {*HOMES, "__version__"} == set(kandinsky_core.__all__) == set(dir(kandinsky_core))


def test_every_public_name_is_defined_where_the_table_says() -> None:
    from kandinsky_core.public_names import HOMES

    for name, home in HOMES.items():
        module = import_module(f"kandinsky_core.{home}")
        assert name in module.__all__, f"{name} is not in {home}"


def test_an_unknown_name_is_an_attribute_error() -> None:
    import kandinsky_core

    with pytest.raises(AttributeError, match="NoSuchPipeline"):
        _ = kandinsky_core.NoSuchPipeline
