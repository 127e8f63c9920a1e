"""Numbers of steps are checked against the schedulers of a model, wherever it keeps its prior."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import pytest

from kandinsky_cli.steps_options import check_prior_steps
from kandinsky_core.checkpoints.hub import EMBEDDED, HubOptions
from kandinsky_core.checkpoints.opened_model import OpenedModel
from kandinsky_core.errors import InvalidInputError


def test_a_model_with_both_halves_in_one_folder(tmp_path: Path) -> None:
    shapes = EMBEDDED["shapes"]
    index: dict[str, object] = {"_class_name": "KandinskyV22CombinedPipeline"}
    for name, half in (("scheduler", "decoder"), ("prior_scheduler", "prior")):
        shutil.copytree(shapes / half / "scheduler", tmp_path / name)
        index |= {name: ["diffusers", "Scheduler"]}
    index |= {"prior_prior": ["diffusers", "PriorTransformer"]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    decoder = OpenedModel.of(tmp_path, "decoder", HubOptions())
    options = argparse.Namespace(prior_steps=20, prior=None, prior_revision=None)
    check_prior_steps(options, decoder, "decoder")
    options.prior_steps = 2000
    with pytest.raises(InvalidInputError, match="--prior-steps 2000: give from 1 to 1000"):
        check_prior_steps(options, decoder, "decoder")
