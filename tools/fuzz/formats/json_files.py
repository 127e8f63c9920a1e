"""JSON files of a model folder that are read alone: configs of networks, schedulers, pictures."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

from tools.fuzz.cases.case import Case, Difference, Format, ReferenceRefusesError
from tools.fuzz.cases.json_changes import changed_json

__all__ = ["Configs", "Preprocessors", "Schedulers", "parsed"]

_PREPROCESSOR: dict[str, Any] = {
    "crop_size": {"height": 16, "width": 16},
    "do_center_crop": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "resample": 3,
    "rescale_factor": 1 / 255,
    "size": {"shortest_edge": 16},
}
_PREPROCESSOR_FILE = "image_processor/preprocessor_config.json"
_INDEX = b'{"_class_name": "X", "image_processor": ["transformers", "CLIPImageProcessor"]}'


def parsed(path: Path) -> Any:
    """Read a file with the `json` module.

    Raises:
        ReferenceRefusesError: It is no JSON.
    """
    try:
        return json.loads(path.read_bytes().decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ReferenceRefusesError(str(error)[:200]) from error


def _read(path: Path) -> dict[str, Any]:
    from kandinsky_core.checkpoints.json_files import read_json

    return read_json(path)


class Configs(Format):
    """`config.json` of each class of networks, and the tensors that it asks for."""

    name: ClassVar[str] = "configs"
    strict: ClassVar[bool] = True

    def warm(self) -> None:
        """See `Format.warm`."""
        import kandinsky_converters.inventory.expected  # noqa: F401

        _configs()

    def make(self, random: Random) -> Case:
        """See `Format.make`."""
        class_name = random.choice(sorted(_configs()))
        content, how = changed_json(random, dict(_configs()[class_name]))
        return Case({"config.json": content}, [class_name, *how], {"class": class_name})

    def read(self, case: Case, folder: Path) -> Any:
        """See `Format.read`."""
        from kandinsky_converters.inventory.expected import expected_tensors
        from kandinsky_core.configs.networks import NETWORKS

        raw = _read(folder / "config.json")
        # The converter asks for the tensors of a config that nobody has checked before.
        tensors = expected_tensors(case.settings["class"], raw)
        config = NETWORKS[case.settings["class"]].config.from_dict(raw)
        hash(config)
        for shape in tensors.values():
            if not all(isinstance(side, int) and side > 0 for side in shape):
                raise Difference(f"the config asks for a tensor of shape {shape}")
        return raw, config

    def compare(self, found: Any, case: Case, folder: Path) -> None:
        """See `Format.compare`."""
        raw, config = found
        wanted = parsed(folder / "config.json")
        if repr(raw) != repr(wanted):
            raise Difference("another object than the `json` module's")
        for entry in dataclasses.fields(config):
            value = wanted.get(entry.name, getattr(config, entry.name))
            value = tuple(value) if isinstance(value, list) else value
            if getattr(config, entry.name) != value:
                raise Difference(f"{entry.name} is {getattr(config, entry.name)}, not {value}")


class Schedulers(Format):
    """`scheduler_config.json` of each scheduler, and the schedules that follow from it."""

    name: ClassVar[str] = "schedulers"
    strict: ClassVar[bool] = True

    def warm(self) -> None:
        """See `Format.warm`."""
        _schedulers()

    def make(self, random: Random) -> Case:
        """See `Format.make`."""
        class_name = random.choice(sorted(_schedulers()))
        content, how = changed_json(random, dict(_schedulers()[class_name]))
        return Case({"scheduler_config.json": content}, [class_name, *how], {"class": class_name})

    def read(self, case: Case, folder: Path) -> Any:
        """See `Format.read`."""
        import kandinsky_core

        cls = getattr(kandinsky_core, case.settings["class"])
        scheduler = cls.from_pretrained(folder)
        schedule = scheduler.schedule(4)
        for name in ("rows", "timesteps"):
            values = np.asarray(getattr(schedule, name), np.float64)
            if np.isnan(values).any():
                raise Difference(f"NaN in the schedule's {name}")
        return scheduler

    def compare(self, found: Any, case: Case, folder: Path) -> None:
        """See `Format.compare`."""
        wanted = parsed(folder / "scheduler_config.json")
        for name, value in wanted.items():
            if not name.startswith("_") and not _alike(found.config.get(name), value):
                raise Difference(f"{name} is {found.config.get(name)!r}, not {value!r}")


class Preprocessors(Format):
    """`preprocessor_config.json`, with a picture of 20 x 30 pixels."""

    name: ClassVar[str] = "preprocessor"
    strict: ClassVar[bool] = True

    def warm(self) -> None:
        """See `Format.warm`."""
        import PIL.Image  # noqa: F401

        import kandinsky_core.pipelines.shared.loading  # noqa: F401

    def make(self, random: Random) -> Case:
        """See `Format.make`."""
        content, how = changed_json(random, _PREPROCESSOR)
        return Case({"model_index.json": _INDEX, _PREPROCESSOR_FILE: content}, how)

    def read(self, case: Case, folder: Path) -> Any:
        """See `Format.read`: the config goes the way that a pipeline's loading takes."""
        from kandinsky_core.checkpoints.hub import HubOptions
        from kandinsky_core.pictures.clip_images import clip_pixels
        from kandinsky_core.pipelines.shared.loading import load_components

        # No network is loaded, so the backend is not asked for anything but its name.
        nobody: Any = SimpleNamespace(name="nobody")
        loaded = load_components(
            folder,
            part="decoder",
            names=["image_processor"],
            ready={},
            text_encoder_loading="resident",
            backend=nobody,
            device=None,
            dtype=None,
            options=HubOptions(),
            check=lambda configs: None,
        )
        raw = dict(loaded["image_processor"])
        pixels = clip_pixels("image", np.full((30, 20, 3), 200, np.uint8), raw)
        if pixels.dtype != np.float32 or not np.isfinite(pixels).all():
            raise Difference(f"the pixels are {pixels.dtype}, or not finite")
        return raw

    def compare(self, found: Any, case: Case, folder: Path) -> None:
        """See `Format.compare`."""
        wanted = parsed(folder / _PREPROCESSOR_FILE)
        strange = [name for name in found if not _alike(found[name], wanted.get(name))]
        if strange:
            raise Difference(f"{strange[0]} is not what the `json` module reads")


def _alike(mine: Any, theirs: Any) -> bool:
    if isinstance(mine, tuple):
        mine = list(mine)
    return repr(mine) == repr(theirs) or (mine == theirs and not isinstance(mine, bool))


@cache
def _configs() -> Mapping[str, Mapping[str, Any]]:
    """Return the published configs by class, each of the last version that has one."""
    from tools.published import PUBLISHED

    return {entry.class_name: entry.config for entry in PUBLISHED.values()}


@cache
def _schedulers() -> Mapping[str, Mapping[str, Any]]:
    """Return the config of each scheduler, of an object made without arguments."""
    import kandinsky_core

    names = [name for name in kandinsky_core.__all__ if name.endswith("Scheduler")]
    made = {name: getattr(kandinsky_core, name)() for name in names if name != "Scheduler"}
    return {
        name: {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in scheduler.config.items()
            if key != "_use_default_values"
        }
        for name, scheduler in made.items()
    }
