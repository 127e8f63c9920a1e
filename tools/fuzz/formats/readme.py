"""The front matter of a decoder's README.md, which names its prior. The reference is PyYAML."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any, ClassVar

from tools.fuzz.cases.byte_changes import changed_bytes, changed_text
from tools.fuzz.cases.case import Case, Difference, Format, ReferenceRefusesError
from tools.fuzz.cases.json_changes import odd_text

__all__ = ["Readme"]

_CARD = (
    "---\nlicense: apache-2.0\nprior:\n- owner/name\ntags:\n- a\ninference: false\n---\n# Text\n"
)
_DOUBLINGS = "\n".join(
    ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40))]
)
# In place of the value of `prior`.
_VALUES = (
    "&x [*x]",
    "&x {a: *x}",
    "[[owner/name]]",
    "{a: b}",
    "2020-99-99",
    "!!python/object/apply:os.system ['touch outside']",
    "!!python/name:os.system",
    "!!binary aGFsbG8=",
    "!!set {a, b}",
    "!!timestamp 2001-01-01",
    "0x" + "f" * 5000,
    "9" * 5000,
    "1:60:60:60",
    ".nan",
    "null",
    "[null]",
    "[1, 2]",
    "true",
    "'../prior'",
    "../../../../etc",
    "." * 300,
    "[" * 2000 + "]" * 2000,
    "{a: " * 2000 + "}" * 2000,
    "- " * 2000 + "a",
    "|\n  two\n  lines",
    '"\\x1b[2J"',
    '"\\ud800"',
    "*nothing",
    "%",
    "@",
    "\t",
    "*a39",
    "[*a39]",
)


class Readme(Format):
    """A card of a decoder."""

    name: ClassVar[str] = "readme"

    def warm(self) -> None:
        """See `Format.warm`."""
        import yaml  # noqa: F401

        import kandinsky_core.checkpoints.hub  # noqa: F401

    def make(self, random: Random) -> Case:
        """See `Format.make`."""
        text, how = _CARD, []
        kind = random.random()
        if kind < 0.5:
            value = random.choice((*_VALUES, odd_text(random)))
            before = f"{_DOUBLINGS}\n" if "a39" in value else ""
            text = text.replace("license", f"{before}license").replace(
                "\n- owner/name", f" {value}"
            )
            how.append(f"prior: {value[:40]}")
        if kind > 0.4:
            for _ in range(random.randint(1, 2)):
                text, more = changed_text(random, text)
                how += more
        content = text.encode("utf-8", "surrogatepass")
        if kind > 0.7:
            content, more = changed_bytes(random, content)
            how += more
        return Case({"decoder/README.md": content}, how)

    def read(self, case: Case, folder: Path) -> str | None:
        """See `Format.read`."""
        from kandinsky_core.checkpoints.hub import connected_prior

        found = connected_prior(folder / "decoder")
        if not (found is None or isinstance(found, str)):
            raise Difference(f"the prior is {type(found).__name__}")
        return found

    def compare(self, found: str | None, case: Case, folder: Path) -> None:
        """See `Format.compare`: a prior that was found is the one that the card names."""
        import yaml

        if found is None:
            return
        text = (folder / "decoder/README.md").read_text(encoding="utf-8", errors="replace")
        try:
            data: Any = yaml.load(text.split("---", 2)[1], Loader=yaml.BaseLoader)
        except Exception as error:
            raise ReferenceRefusesError(str(error)[:200]) from error
        value = data.get("prior") if isinstance(data, dict) else None
        values = value if isinstance(value, list) else [value]
        named = next((item for item in values if isinstance(item, str)), "")
        relative = named.startswith(".") and found == str((folder / "decoder" / named).resolve())
        if found != named and not relative:
            raise Difference(f"the prior is {found[:80]!r}, not {named[:80]!r}")
