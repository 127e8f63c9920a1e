"""The tables of the page: pipelines, their arguments, schedulers, networks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from inspect import Parameter
from typing import Any

import diffusers
import torch

import kandinsky_core
from kandinsky_core.pipelines.shared.foreign_options import (
    ACCEPTED_OPTIONS,
    REFUSED_OPTIONS,
    known_options,
)
from kandinsky_core.schedulers.refused import REFUSED_SCHEDULERS
from tools.diffusers_table import reasons
from tools.diffusers_table.answers import HERE, NO_OP, REFUSED, Answer, Row, answers_of, grouped
from tools.diffusers_table.classes import (
    AUTO,
    NETWORKS,
    PIPELINES,
    named,
    network_class,
    scheduler_names,
)
from tools.diffusers_table.libraries import keyword_names, parameters, public_names

__all__ = ["Section", "sections"]

_ALL = (*PIPELINES, "DiffusionPipeline")
Answers = Mapping[str, Mapping[str, Answer]]


@dataclass(frozen=True)
class Section:
    """One table.

    Attributes:
        title: Its heading.
        rows: Its rows.
    """

    title: str
    rows: list[Row]


# transformers gives it to `torch.nn.Module` when it makes a model.
_ADDED_LATER = frozenset({"smart_apply"})


def sections() -> Iterable[Section]:
    """Yield every table of the page."""
    yield Section("Methods and attributes of pipelines", _rows(_attributes(_ALL)))
    yield Section("Arguments of a pipeline's call", _rows(_call_arguments()))
    yield Section("Arguments of `from_pretrained`", _rows(_loading_arguments()))
    yield Section("The classes `AutoPipelineFor...`", _rows(_attributes(AUTO)))
    yield Section("Schedulers", _rows({"diffusers": _schedulers()}))
    common = [name for name in scheduler_names() if hasattr(kandinsky_core, name)]
    yield Section("Methods and attributes of schedulers", _rows(_scheduler_attributes(common)))
    yield Section("Fields of a scheduler's config", _rows(_fields(common)))
    networks = {name: _network(name) for name in NETWORKS}
    module = {name for name in dir(torch.nn.Module) if not name.startswith("_")} - _ADDED_LATER
    yield Section("Networks", _rows(_only(networks, lambda name: name not in module)))
    shared = _rows(_only(networks, lambda name: name in module))
    yield Section("What networks have from `torch.nn.Module`", shared)


def _rows(answers: Answers) -> list[Row]:
    """Turn answers by class into rows, where each name is with all the classes that agree."""
    owners: dict[tuple[str, Answer], set[str]] = {}
    for kind, found in answers.items():
        for name, answer in found.items():
            owners.setdefault((name, answer), set()).add(kind)
    everyone = set(answers)
    return grouped(
        {(name, named(kinds, everyone)): answer for (name, answer), kinds in owners.items()}
    )


def _only(answers: Answers, wanted: Callable[[str], bool]) -> Answers:
    return {
        kind: {name: answer for name, answer in found.items() if wanted(name)}
        for kind, found in answers.items()
    }


def _attributes(kinds: Iterable[str]) -> Answers:
    return {
        kind: answers_of(
            getattr(kandinsky_core, kind),
            public_names(getattr(diffusers, kind)),
            reasons.AUTO if kind in AUTO else {},
        )
        for kind in kinds
    }


def _call_arguments() -> Answers:
    found = {}
    for kind in PIPELINES:
        theirs = getattr(diffusers, kind).__call__
        there, here = parameters(theirs), parameters(getattr(kandinsky_core, kind).__call__)
        both = [name for name in there if name in here]
        answers = {name: Answer(HERE, _differs(there[name], here[name])) for name in both}
        old = keyword_names(theirs) - set(there)
        answers |= {name: Answer(HERE) for name in old & set(here)}
        missing = (set(there) | old) - set(here)
        answers |= {name: _refused(reasons.CALLS, name) for name in missing}
        found[kind] = answers
    return found


def _differs(there: Parameter, here: Parameter) -> str:
    """Say how the default of an argument differs."""
    first, second = (_plain(entry.default) for entry in (there, here))
    if first == second:
        return ""
    if there.default is Parameter.empty:
        return "may be left out"
    return f"default `{second}`, there `{first}`"


def _plain(default: Any) -> str:
    return repr(list(default) if isinstance(default, tuple) else default).replace("'", '"')


def _loading_arguments() -> Answers:
    """Compare the arguments, which diffusers takes out of `**kwargs`.

    Auto classes hand theirs on to the pipeline.
    """
    pipelines = keyword_names(diffusers.DiffusionPipeline.from_pretrained)
    auto = keyword_names(*(getattr(diffusers, name).from_pretrained for name in AUTO))
    networks = keyword_names(diffusers.ModelMixin.from_pretrained)
    return {
        "pipelines": _loading(kandinsky_core.DiffusionPipeline, pipelines | auto, REFUSED_OPTIONS),
        "networks": _loading(kandinsky_core.UNet2DConditionModel, networks, {}),
        "schedulers": _loading(
            kandinsky_core.DDPMScheduler,
            parameters(diffusers.SchedulerMixin.from_pretrained),
            {},
        ),
    }


def _loading(
    kind: type[Any], names: Iterable[str], refused: Mapping[str, str]
) -> dict[str, Answer]:
    here = set(parameters(kind.from_pretrained))
    here |= keyword_names(known_options) if refused else set()
    found: dict[str, Answer] = {}
    for name in set(names) - {"pretrained_model_name_or_path", "pretrained_model_or_path"}:
        if name in refused:
            found[name] = Answer(REFUSED, refused[name])
        elif name in ACCEPTED_OPTIONS and (name in here or refused):
            found[name] = Answer(NO_OP, ACCEPTED_OPTIONS[name])
        else:
            found[name] = Answer(HERE) if name in here else _refused(reasons.LOADING, name)
    return found


def _schedulers() -> dict[str, Answer]:
    return {
        name: Answer(HERE) if hasattr(kandinsky_core, name) else _refused(REFUSED_SCHEDULERS, name)
        for name in scheduler_names()
    }


def _scheduler_attributes(names: Iterable[str]) -> Answers:
    return {
        name: answers_of(
            getattr(kandinsky_core, name),
            public_names(getattr(diffusers, name)),
            reasons.SCHEDULER_NAMES,
        )
        for name in names
    }


def _fields(names: Iterable[str]) -> Answers:
    """Compare the fields of configs, and say which values a field may have here."""
    found = {}
    for name in names:
        ours = getattr(kandinsky_core, name)
        here = {entry.name for entry in dataclass_fields(ours)}
        found[name] = {
            field: Answer(HERE, _values(ours, field))
            if field in here
            else _refused(reasons.FIELDS, field)
            for field in parameters(getattr(diffusers, name).__init__)
        }
    return found


def _values(kind: type[Any], field: str) -> str:
    allowed = kind.choices.get(field)
    if allowed is None:
        return ""
    values = ", ".join(f"`{_plain(value)}`" for value in allowed)
    why = kind.reasons.get(field)
    return f"one of {values}" + (f": {why}" if why else "")


def _refused(given: Mapping[str, str], name: str) -> Answer:
    return Answer(REFUSED, given[name]) if name in given else Answer(None)


def _network(name: str) -> Mapping[str, Answer]:
    """Return the answers of a network's object, or else of the class that loads it."""
    theirs = getattr(diffusers, name)
    names = {
        key
        for key in dir(theirs)
        if not key.startswith("_") and hasattr(theirs, key) and key not in _ADDED_LATER
    }
    loader, loaded = network_class(name)
    first = answers_of(loader, names, {})
    second = answers_of(loaded, names, {})
    both = {key: second[key] if second[key].state else first[key] for key in names}
    return {
        key: answer if answer.state else _refused(reasons.NETWORKS, key)
        for key, answer in both.items()
    }
