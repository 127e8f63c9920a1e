"""`DiffusionPipeline` leaves the class to the checkpoint; schedulers come from the hub too."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import kandinsky_core as kandinsky
from kandinsky_core.checkpoints.hub import EMBEDDED
from kandinsky_core.configs import NETWORKS
from kandinsky_core.errors import CheckpointError, InvalidInputError, ModelNotFoundError
from tests.support.damage import edit_json
from tests.support.fake_hub import FakeHub
from tests.support.fakes import FakeNetwork

DECODER = EMBEDDED["shapes"] / "decoder"


class Configs:
    """A backend that reads configs and no weights."""

    name = "configs"

    def load(self, source: Any, dtype: str, device: str | None = None) -> Any:
        found = FakeNetwork()
        found.config = NETWORKS[source.class_name].config.from_dict(source.config)  # type: ignore[assignment]
        return found

    def memory(self, device: str | None = None) -> None:
        return None


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("shapes", "KandinskyV22Pipeline"),
        (EMBEDDED["shapes"] / "inpaint", "KandinskyV22InpaintPipeline"),
        (EMBEDDED["shapes"] / "prior", "KandinskyV22PriorPipeline"),
    ],
)
def test_the_checkpoint_names_the_class(model: str | Path, expected: str) -> None:
    pipe = kandinsky.DiffusionPipeline.from_pretrained(model, backend=Configs())
    assert type(pipe).__name__ == expected
    assert isinstance(pipe, kandinsky.DiffusionPipeline)
    assert pipe.origin == {"model": str(model)}


def test_components_are_those_of_the_class(model: Path) -> None:
    """The guide's way of swapping a scheduler."""
    other = kandinsky.DDIMScheduler.from_pretrained(model / "decoder", subfolder="scheduler")
    pipe: Any = kandinsky.DiffusionPipeline.from_pretrained(
        model / "decoder", scheduler=other, backend=Configs(), torch_dtype="float16"
    )
    assert pipe.scheduler is other
    with pytest.raises(InvalidInputError, match="does not take prior; components of KandinskyV22P"):
        kandinsky.DiffusionPipeline.from_pretrained(model, prior=1, backend=Configs())


@pytest.mark.parametrize("name", ["StableDiffusionPipeline", "Generator", "get_backend", "_x"])
def test_other_classes_are_refused(model: Path, name: str) -> None:
    edit_json(model / "decoder" / "model_index.json", _class_name=name)
    with pytest.raises(CheckpointError, match=f"is a {name}, which is no pipeline of this library"):
        kandinsky.DiffusionPipeline.from_pretrained(model, backend=Configs())


def test_a_scheduler_comes_from_the_hub(hub: FakeHub, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(DECODER, tmp_path / "decoder"))
    shutil.copytree(folder / "scheduler", folder / "ddpm_scheduler")
    edit_json(folder / "ddpm_scheduler" / "scheduler_config.json", beta_end=0.02)
    hub.add("owner/decoder", folder)
    found = kandinsky.DDPMScheduler.from_pretrained("owner/decoder", subfolder="ddpm_scheduler")
    assert found.config.beta_end == 0.02
    embedded = kandinsky.DDPMScheduler.from_pretrained("shapes", subfolder="scheduler")
    assert embedded == kandinsky.DDPMScheduler.from_pretrained(DECODER, subfolder="scheduler")
    with pytest.raises(ModelNotFoundError, match="the hub has no such repository"):
        kandinsky.DDPMScheduler.from_pretrained("owner/other", subfolder="scheduler")
    with pytest.raises(CheckpointError, match="there is no"):
        kandinsky.DDPMScheduler.from_pretrained("owner/decoder", subfolder="other")
