"""Writes down which kernel MindSpore's Ascend backend has for each operator of our networks.

    git clone --branch r2.7.rc1 https://github.com/mindspore-ai/mindspore sources
    python -m benchmarks.ascend.find_kernels sources --operators names.txt

It reads names out of MindSpore's sources and of the installed wheel's library for Ascend, which
lies in the wheel for x86-64 too. A kernel of the sources is noted only if the library has it.
The operators' names are those that `python -m benchmarks.ascend --operators names.txt` writes.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from benchmarks.ascend.operators import FACTS

_DEFINITIONS = "mindspore/ops/op_def/yaml"
_KERNELS = "mindspore/ops/kernel/ascend/opapi"
_NAMES = "mindspore/python/mindspore/ops_generate/pyboost/aclnn_config.yaml"
_ADAPTERS = "mindspore/ccsrc/plugin/res_manager/ascend/op_adapter/op_declare"
_LIBRARY = "lib/plugin/libmindspore_ops_ascend.so"
_REGISTERED = re.compile(r"KERNEL_FACTORY_REG\(\s*(\w+)\s*,\s*(\w+)")
_ACLNN = re.compile(r'"(aclnn\w+)"')
_ADAPTED = re.compile(r"REG_ADPT_DESC\(\s*\w+\s*,\s*([^,]+?)\s*,\s*ADPT_DESC\((\w+)")


class Sources:
    """The sources of MindSpore, of which only names are read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._common: Mapping[str, str] = yaml.safe_load((folder / _NAMES).read_text())
        self._definitions = dict(self._read_definitions())
        self._own = {
            match[1]: (match[2], file)
            for file in sorted((folder / _KERNELS).rglob("*.cc"))
            for match in _REGISTERED.finditer(file.read_text(encoding="utf-8", errors="replace"))
        }
        self._adapted = {
            re.sub(r"^(prim::kPrim|kName|k)|(->name\(\)|OpName)$", "", match[1]).strip('"'): (
                match[2],
                file,
            )
            for file in sorted((folder / _ADAPTERS).rglob("*.cc"))
            for match in _ADAPTED.finditer(file.read_text(encoding="utf-8", errors="replace"))
        }

    def _read_definitions(self) -> Iterable[tuple[str, tuple[Mapping[str, Any], Path]]]:
        for file in sorted((self._folder / _DEFINITIONS).rglob("*_op.yaml")):
            for key, entry in yaml.safe_load(file.read_text(encoding="utf-8")).items():
                given = (entry.get("class") or {}).get("name")
                yield given or "".join(part.capitalize() for part in key.split("_")), (entry, file)

    def fact(self, operator: str, library: bytes) -> dict[str, Any] | None:
        """Return an operator's kernel, the file that tells it, and whether it runs eagerly too."""
        entry, defined_in = self._definitions.get(operator, ({}, Path()))
        dispatch = entry.get("dispatch") or {}
        enabled = bool(dispatch.get("enable")) and dispatch.get("Ascend") != "None"
        eager = enabled and _typed("pyboost", f"{operator}Ascend") in library
        common = self._common.get(operator, f"aclnn{operator}")
        if operator in self._own:
            kind, file = self._own[operator]
            header = file.with_suffix(".h")
            texts = [one.read_text(encoding="utf-8") for one in (file, header) if one.exists()]
            names = sorted({name for text in texts for name in _ACLNN.findall(text)})
            if f"{len(kind)}{kind}E".encode() in library:
                kernel = ", ".join(names) or ("a view" if "/view/" in str(file) else common)
                return self._fact(kernel, file, eager)
        stem = defined_in.stem.removesuffix("_op")
        generated = (
            f"Aclnn{operator}KernelMod",
            f"N9mindspore6kernel{len(operator) + 6}{operator}AscendE",
            f"aclnn_auto_gen/{stem}_aclnn_kernel.",  # the library names its sources
        )
        if enabled and any(name.encode() in library for name in generated):
            return self._fact(common, defined_in, eager)
        if entry.get("view"):
            return self._fact("a view", defined_in, eager)
        if operator in self._adapted:
            name, file = self._adapted[operator]
            return self._fact(f"operator {name} of CANN's graph engine", file, eager)
        return None

    def _fact(self, kernel: str, file: Path, eager: bool) -> dict[str, Any]:
        return {"kernel": kernel, "file": str(file.relative_to(self._folder)), "eager": eager}


def _typed(space: str, name: str) -> bytes:
    """Return how C++ writes a class in the name of its type."""
    return f"N9mindspore6kernel{len(space)}{space}{len(name)}{name}E".encode()


def main() -> None:
    """Write the facts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sources", type=Path, help="a clone of MindSpore's repository")
    parser.add_argument("--commit", help="its commit, where the folder does not tell it")
    parser.add_argument("--operators", type=Path, required=True, help="a file with a name a line")
    options = parser.parse_args()
    commit = options.commit or subprocess.check_output(
        ["git", "-C", options.sources, "rev-parse", "HEAD"], text=True
    )
    spec = find_spec("mindspore")
    assert spec is not None
    assert spec.origin is not None
    library = (Path(spec.origin).parent / _LIBRARY).read_bytes()
    sources = Sources(options.sources)
    wanted = sorted(set(options.operators.read_text(encoding="utf-8").split()))
    facts = {name: sources.fact(name, library) for name in wanted}
    found = {
        "sources": "https://github.com/mindspore-ai/mindspore",
        "commit": commit.strip(),
        "sources_version": (options.sources / "version.txt").read_text().strip(),
        "wheel_version": version("mindspore"),
        "operators": {name: fact for name, fact in facts.items() if fact is not None},
        "not_found": [name for name, fact in facts.items() if fact is None],
    }
    FACTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
