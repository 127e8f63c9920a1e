"""A user's script that lies beside modules of common names, which are the user's own."""

from __future__ import annotations

from pathlib import Path

__all__ = ["write_beside_own_modules"]

# The folders of this repository whose packages are installed under other names.
_MODULES = ("backends.py", "converters/__init__.py", "apps/__init__.py")
_SCRIPT = """
import runpy
import sys

import apps
import backends
import converters

assert all(module.owner == "user" for module in (apps, backends, converters))
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
assert all(sys.modules[name].owner == "user" for name in ("apps", "backends", "converters"))
"""


def write_beside_own_modules(folder: Path) -> Path:
    """Write the modules and the script, which imports them and runs what its words say."""
    for name in _MODULES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text('owner = "user"\n', encoding="utf-8")
    script = folder / "run.py"
    script.write_text(_SCRIPT, encoding="utf-8")
    return script
