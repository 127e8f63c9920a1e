"""Writes the figures of `kandinsky verify` into docs/parity.md, between its two marks.

python -m tools.parity_page docs/parity.md
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

COMMAND = "kandinsky verify --model shapes --backends jax,mindspore --against diffusers"
MARKS = ("<!-- verify -->", "<!-- end of verify -->")
HEADER = ("component", "backend", "max abs", "relative", "PSNR", "tolerance")


def main(page: Path) -> None:
    """Measure, and replace the old figures by the new ones."""
    command = [*COMMAND.split(), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    start, end = (re.escape(mark) for mark in MARKS)
    text, count = re.subn(
        f"(?s)(?<={start}).*(?={end})",
        lambda _: f"\n{figures(json.loads(done.stdout))}\n",
        page.read_text(encoding="utf-8"),
    )
    if count != 1:
        raise SystemExit(f"{page} does not hold the marks {' and '.join(MARKS)}")
    page.write_text(text, encoding="utf-8")


def figures(found: dict[str, Any]) -> str:
    """Return the table, and the versions and the machine that it was measured with."""
    packages = {
        name: number for library in found["versions"].values() for name, number in library.items()
    }
    versions = ", ".join(f"{name} {number}" for name, number in packages.items())
    machine = f"{os.cpu_count()} {platform.machine()} cores, Python {platform.python_version()}"
    lines = [HEADER, ("---",) * len(HEADER), *map(cells, found["rows"])]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"```bash\n{COMMAND}\n```\n\n{table}\n\n{versions}; {found['dtype']}; {machine}."


def cells(row: dict[str, Any]) -> tuple[str, ...]:
    """Return one line of the table."""
    picture = row["psnr"] is not None
    return (
        row["component"],
        row["backend"],
        f"{row['max_abs']:.1e}",
        f"{row['relative']:.1e}",
        f"{row['psnr']:.1f} dB" if picture else "",
        f"{row['tolerance']:g} {'absolute' if picture else 'relative'}",
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
