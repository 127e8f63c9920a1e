"""The tables of docs/diffusers.md are what the code of both libraries says now."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")
pytest.importorskip("jax")

import kandinsky_core  # noqa: E402
from kandinsky_core.foreign_names import Refused  # noqa: E402
from tests.support.backends import needs  # noqa: E402
from tools.diffusers_table import reasons  # noqa: E402
from tools.diffusers_table.answers import HERE, REFUSED, Answer, Row, answers_of, grouped  # noqa: E402
from tools.diffusers_table.classes import (  # noqa: E402
    AUTO,
    NETWORKS,
    PIPELINES,
    named,
    network_class,
    scheduler_names,
)
from tools.diffusers_table.libraries import parameters, public_names  # noqa: E402
from tools.diffusers_table.page import MARKS, page, unaccounted  # noqa: E402
from tools.diffusers_table.sections import Section, sections  # noqa: E402

PAGE = Path(__file__).parents[2] / "docs" / "diffusers.md"


class Ours:
    """A class with a name of its own, one in an object, and one that is refused."""

    gone = Refused("it went", "do without")

    def __init__(self) -> None:
        self.within = 1

    def method(self) -> None: ...


def test_names_are_here_refused_or_unaccounted() -> None:
    found = answers_of(Ours, {"method", "within", "gone", "old", "new"}, {"old": "it is old"})
    assert found["method"] == found["within"] == Answer(HERE)
    assert found["gone"] == Answer(REFUSED, "it went; do without")
    assert found["old"] == Answer(REFUSED, "it is old")
    assert found["new"] == Answer(None)
    rows = grouped({(name, "all"): answer for name, answer in found.items()})
    assert rows[0] == Row(("new",), "all", Answer(None))
    assert unaccounted([Section("Title", rows)]) == ["Title: new (all)"]
    assert Row(("method", "within"), "all", Answer(HERE)) in rows


def test_a_set_of_classes_is_named_by_families() -> None:
    everyone = set(PIPELINES)
    assert len(everyone) == 19
    assert named(everyone, everyone) == "all"
    third = {"Kandinsky3Pipeline", "Kandinsky3Img2ImgPipeline"}
    assert named(third | {"KandinskyPipeline"}, everyone) == "Kandinsky 3, `KandinskyPipeline`"


@pytest.mark.slow(seconds=15)
def test_the_page_is_up_to_date_and_no_name_is_unaccounted_for() -> None:
    made = list(sections())
    assert unaccounted(made) == []
    text = PAGE.read_text(encoding="utf-8")
    written = text.split(MARKS[0] + "\n")[1].split(MARKS[1])[0]
    assert written == page(made), "run `python -m tools.diffusers_table`"


@pytest.mark.slow(seconds=8)
def test_no_reason_is_given_for_what_the_library_answers_itself() -> None:
    tables: list[tuple[Mapping[str, str], list[type]]] = [
        (reasons.AUTO, [getattr(kandinsky_core, name) for name in AUTO]),
        (reasons.NETWORKS, [kind for name in NETWORKS for kind in network_class(name)]),
    ]
    for table, kinds in tables:
        for kind in kinds:
            assert not set(table) & public_names(kind), kind
    schedulers = [name for name in scheduler_names() if hasattr(kandinsky_core, name)]
    own = [public_names(getattr(kandinsky_core, name)) for name in schedulers]
    assert not [name for name in reasons.SCHEDULER_NAMES if all(name in names for names in own)]


@pytest.mark.slow(seconds=8)
@pytest.mark.parametrize("name", PIPELINES)
def test_calls_take_their_arguments_in_the_same_order(name: str) -> None:
    theirs = list(parameters(getattr(diffusers, name).__call__))
    ours = parameters(getattr(kandinsky_core, name).__call__).values()
    assert [entry.name for entry in ours if entry.kind != entry.KEYWORD_ONLY][
        : len(theirs)
    ] == theirs


@pytest.mark.slow(seconds=8)
@needs("mindspore")
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_both_backends_have_the_same_names(name: str) -> None:
    from kandinsky_mindspore import backend

    names = {key for key in dir(getattr(diffusers, name)) if not key.startswith("_")}
    _, jax_class = network_class(name)
    other = next(made for config, made in backend.CLASSES.items() if name == config.CLASS_NAME)
    assert public_names(other) & names == public_names(jax_class) & names
