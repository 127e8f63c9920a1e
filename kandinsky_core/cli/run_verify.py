"""`kandinsky verify`: what it does."""

from __future__ import annotations

import argparse
import gc
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from kandinsky_core.backend import available_backends, get_backend, get_reference
from kandinsky_core.dtypes import dtype_name
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.hub import HubOptions, resolve_model
from kandinsky_core.pipelines.auto import AutoPipelineForText2Image
from kandinsky_core.validation import positive_int
from kandinsky_core.verification import PICTURE, Comparison, compare, inputs, outputs

__all__ = ["run"]

_REFERENCE = "diffusers"
_PRIOR_STEPS = 10


def run(options: argparse.Namespace) -> int:
    """Compare, print, and return 1 where a tolerance is exceeded.

    Raises:
        KandinskyError: A backend, the model or an option is not there.
    """
    dtype_name(options.dtype)
    positive_int("--steps", options.steps)
    wanted = options.backends.split(",") if options.backends else available_backends()
    against = options.against or wanted[0]
    compared = [name for name in wanted if name != against]
    if not compared:
        raise InvalidInputError(
            f"nothing to compare {against} with: name a second one by --backends, "
            f"or --against {_REFERENCE}"
        )
    # One model at a time is in memory; what the reference gave stays as arrays.
    expected, given = _results(options, against, None)
    rows: list[Comparison] = []
    for name in compared:
        got, _ = _results(options, name, given)
        rows += [
            compare(part, name, against, got[part], expected[part], options.dtype) for part in got
        ]
    _print(options.json, rows)
    return 0 if all(row.passed for row in rows) else 1


def _results(options: argparse.Namespace, name: str, given: Any) -> tuple[dict[str, Any], Any]:
    """Run one backend: each component on `given` inputs, then the whole."""
    backend: Any = get_reference(name) if name == _REFERENCE else get_backend(name)
    pipeline = AutoPipelineForText2Image.from_pretrained(
        options.model,
        prior=options.prior,
        backend=backend,
        dtype=options.dtype,
        revision=options.revision,
        variant=options.variant,
        local_files_only=options.local_files_only,
    )
    pipeline.set_progress_bar_config(disable=True)
    size = pipeline.decoder_pipe.default_size
    height, width = options.height or size, options.width or size
    given = given or inputs(pipeline, options.prompt, height, width)
    found = dict(outputs(pipeline, given))
    request = {
        "prompt": options.prompt,
        "height": height,
        "width": width,
        "num_inference_steps": options.steps,
        "prior_num_inference_steps": _PRIOR_STEPS,
    }
    if name == _REFERENCE:
        # The picture is diffusers' own: its pipeline, schedulers, tokenizer, random numbers.
        hub = HubOptions.among(vars(options))
        names = {"decoder": options.model, "prior": pipeline.prior_pipe.origin["model"]}
        folders = {part: resolve_model(model, part, hub, ()) for part, model in names.items()}
        pictures = backend.pictures(folders, pipeline.networks, options.seed, **request)
    else:
        pictures = pipeline(**request, seed=options.seed, output_type="np").images
    found[PICTURE] = (pictures,)
    del pipeline
    gc.collect()
    return found, given


def _print(as_json: bool, rows: Sequence[Comparison]) -> None:
    first = next((row for row in rows if not row.passed), None)
    verdict = "all within tolerance" if first is None else f"first to differ: {first.component}"
    if as_json:
        table = [asdict(row) | {"passed": row.passed} for row in rows]
        found = {"passed": first is None, "first": first and first.component, "rows": table}
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return
    sys.stdout.write(f"{'component':<14}{'backend':<11}{'max abs':>9}{'relative':>10}{'PSNR':>7}\n")
    for row in rows:
        psnr = "" if row.psnr is None else f"{row.psnr:.1f}"
        mark = "" if row.passed else f"  exceeds {row.tolerance:g}"
        sys.stdout.write(
            f"{row.component:<14}{row.backend:<11}{row.max_abs:>9.1e}{row.relative:>10.1e}"
            f"{psnr:>7}{mark}\n"
        )
    sys.stdout.write(f"against {rows[0].reference}: {verdict}\n")
