"""Every command and sample of the README and of the pages in docs/ runs as it stands.

A block that cannot run here has a comment before it: `<!-- not run: why -->`.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from kandinsky_core.seam import registry
from tests.kandinsky_cli.run import runner
from tests.packaging.test_layers import FLOORS
from tests.support.fake_backend import FakeBackend

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")))
# A comment before the block, its language, its text.
BLOCK = re.compile(r"(?ms)(?:^<!-- ([^\n]*) -->\n)?^```(\w+)\n(.*?)^```$")
# `verify` marks what `tools.parity_page` writes; tests/parity/test_verify.py runs it.
LEFT_OUT = re.compile(r"not run: .+|verify")
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")
NAMED_PATH = re.compile(
    r"`((?:apps|backends|benchmarks|converters|docs|examples|kandinsky_core|tests|tools)/[^\s`]*)`"
)
DRAWING = ("generate", "img2img", "inpaint", "interpolate", "controlnet")
# The hub cannot be reached here; the embedded model stands in for the published ones.
HUB_ID = re.compile(r"kandinsky-community/kandinsky-2-2-(decoder|prior)")


@dataclass(frozen=True)
class Page:
    """What a page tells its reader to type."""

    name: str

    @property
    def text(self) -> str:
        """The page as it stands."""
        return (ROOT / self.name).read_text(encoding="utf-8")

    def blocks(self, language: str) -> list[str]:
        """The blocks of a language that are to run."""
        return [
            text
            for comment, kind, text in BLOCK.findall(self.text)
            if kind == language and not LEFT_OUT.fullmatch(comment)
        ]

    @property
    def commands(self) -> list[str]:
        """The lines to type, without what sets up an environment."""
        lines = [line for block in self.blocks("bash") for line in block.splitlines()]
        return [line for line in lines if "-m venv" not in line]


SETUP = [
    line
    for block in Page("README.md").blocks("bash")
    for line in block.splitlines()
    if "-m venv" in line
]
SAMPLES = [(name, number) for name in PAGES for number in range(len(Page(name).blocks("python")))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands of all pages run."""
    folder = tmp_path_factory.mktemp("commands")
    shutil.copytree(ROOT / "examples", folder / "examples")
    return folder


def test_the_readme_is_short_and_has_two_setups_commands_and_samples() -> None:
    readme = Page("README.md")
    assert readme.text.count("\n") <= 150
    assert len(SETUP) == 2
    assert len(readme.commands) == 4
    assert len(readme.blocks("python")) == 2


def test_the_index_lists_every_page() -> None:
    index = Page("docs/README.md").text
    listed = set(re.findall(r"\]\((\w[\w-]*\.md)\)", index))
    assert {f"docs/{name}" for name in listed} | {"docs/README.md"} == set(PAGES) - {"README.md"}


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings
    }


@pytest.mark.parametrize("name", [*PAGES, "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_lead_somewhere(name: str) -> None:
    for target, anchor in LINK.findall(Page(name).text):
        path = (ROOT / name).parent / target if target else ROOT / name
        assert path.exists(), target
        if anchor:
            assert anchor in anchors(path), f"{target}#{anchor}"


@pytest.mark.parametrize("name", [*PAGES, "CONTRIBUTING.md"])
def test_paths_that_pages_name_are_there(name: str) -> None:
    """But for those of files to come, which have a word in capitals."""
    for path in NAMED_PATH.findall(Page(name).text):
        if not re.search(r"[A-Z]{3}|\*", path):
            assert (ROOT / path).exists(), path


def test_the_design_has_every_floor() -> None:
    """Its table of the rooms of core is that of the layers."""
    rows = re.findall(r"^\| (\d+) \| (.*?) \|", Page("docs/design.md").text, flags=re.MULTILINE)
    floors: dict[int, set[str]] = {number: set() for number in range(1, len(FLOORS) + 1)}
    for number, rooms in rows:
        places = re.findall(r"`(.+?)`", rooms)
        floors[int(number)] |= {place.removesuffix(".py").strip("/") for place in places}
    names = [{name.replace(".", "/") for name in floor} - {"pipelines"} for floor in FLOORS]
    assert list(floors.values()) == names


@pytest.mark.slow(seconds=4)
@pytest.mark.usefixtures("shallow_shapes", "one_backend")
@pytest.mark.parametrize(("name", "number"), SAMPLES)
def test_samples_run(
    name: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Samples of a page stand alone; what makes a picture calls it `image`."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    sample = HUB_ID.sub("shapes", Page(name).blocks("python")[number])
    exec(sample, names)
    if "image = " in sample:
        assert isinstance(names["image"], Image.Image)


@pytest.mark.slow(seconds=50)
@pytest.mark.usefixtures("shallow_shapes", "one_backend")
def test_commands_run_in_order(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One after the other, and each once: `info` reads what `generate` wrote.

    Of pages but the README and the converter's, what draws does so with a backend of NumPy.
    """
    monkeypatch.chdir(folder)
    run = runner(capsys)
    computed = [*Page("README.md").commands, *Page("docs/converter.md").commands]
    for line in dict.fromkeys(line for name in PAGES for line in Page(name).commands):
        program, *words = shlex.split(line)
        assert program == "kandinsky", line
        with monkeypatch.context() as patch:
            if words[0] in DRAWING and line not in computed:
                patch.setattr(registry, "get_backend", lambda *_, **__: FakeBackend())
            code, output, errors = run(*words)
        assert code == 0, f"{line}\n{errors}"
        assert output.strip(), line


@pytest.mark.slow(seconds=60)
def test_first_command_on_a_clean_clone(tmp_path: Path) -> None:
    """What a newcomer types, in a copy of the committed files with nothing installed."""
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), "CI": "true"}
    environment |= {name: value for name, value in os.environ.items() if "PIP" in name}
    done = subprocess.run(
        SETUP[0], shell=True, cwd=clone, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    picture = clone / done.stdout.split()[0]
    with Image.open(picture) as image:
        assert image.size == (256, 256)
