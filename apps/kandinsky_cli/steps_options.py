"""Compares the options `--steps`, `--prior-steps` and `--scheduler` with a model's schedulers.

A scheduler is a small JSON file, so this is done before any weights are read.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from kandinsky_core.checkpoints.hub import HubOptions
from kandinsky_core.checkpoints.opened_model import OpenedModel
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pipelines.kandinsky2_2.two_halves import (
    PRIOR_PREFIX,
    find_prior,
    holds_prior,
)
from kandinsky_core.schedulers import Scheduler, scheduler_by_name, scheduler_from_config

__all__ = ["check_prior_steps", "check_steps"]

_TRIED = 8  # step counts below the one given that are tried in search of the largest possible


def check_steps(options: argparse.Namespace, decoder: OpenedModel) -> None:
    """Refuse steps and a scheduler that a decoder's scheduler does not allow.

    Raises:
        InvalidInputError: The number of steps is too large.
        KandinskyError: The scheduler's file is missing or damaged.
    """
    steps, name = (getattr(options, option, None) for option in ("steps", "scheduler"))
    if steps is None and name is None:
        return
    scheduler = _scheduler_of(decoder)
    if name is not None:
        scheduler = scheduler_by_name(name, scheduler.config)
    if steps is not None:
        _check("--steps", steps, scheduler)


def check_prior_steps(options: argparse.Namespace, decoder: OpenedModel, part: str) -> None:
    """Refuse steps that the scheduler of a decoder's prior does not allow.

    Args:
        options: The command's options.
        decoder: The decoder, which names its prior unless the options do.
        part: The decoder's folder name in a model that holds the prior beside it.

    Raises:
        InvalidInputError: The number of steps is too large.
        KandinskyError: There is no prior, or its scheduler's file is missing or damaged.
    """
    steps = getattr(options, "prior_steps", None)
    if steps is None:
        return
    if options.prior is None and holds_prior(decoder.checkpoint):
        _check("--prior-steps", steps, _scheduler_of(decoder, f"{PRIOR_PREFIX}scheduler"))
        return
    hub = replace(HubOptions.among(vars(options)), revision=options.prior_revision)
    prior = options.prior or find_prior(decoder.checkpoint, part)
    _check("--prior-steps", steps, _scheduler_of(decoder.beside(prior, "prior", hub)))


def _scheduler_of(model: OpenedModel, name: str = "scheduler") -> Scheduler:
    return scheduler_from_config(model.components([name])[name].config)


def _check(flag: str, steps: int, scheduler: Scheduler) -> None:
    problem = _problem(steps, scheduler)
    if problem is None:
        return
    trained = int(scheduler.config["num_train_timesteps"])
    largest = min(steps - 1, trained)
    for fewer in range(largest, max(0, largest - _TRIED), -1):
        if _problem(fewer, scheduler) is None:
            raise InvalidInputError(
                f"{flag} {steps}: give from 1 to {fewer}, as the model's "
                f"{type(scheduler).__name__} of {trained} timesteps allows"
            )
    # A scheduler that allows few counts says which.
    raise InvalidInputError(f"{flag} {steps}: {_problem(largest, scheduler) or problem}")


def _problem(steps: int, scheduler: Scheduler) -> str | None:
    try:
        scheduler.schedule(steps)
    except InvalidInputError as error:
        return str(error)
    return None
