"""The training loop that the stages share."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

__all__ = ["Average", "Run", "optimise"]


@dataclass(frozen=True)
class Run:
    """Where a training run keeps its files, its seed, and how long it trains.

    `length` scales the number of steps of every stage; 1.0 is the full training.
    """

    folder: Path
    seed: int = 0
    length: float = 1.0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def record(self, **figures: object) -> None:
        """Add one line to the training log."""
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(figures) + "\n")

    def generator(self, stage: int) -> torch.Generator:
        """Return the stage's own stream of random numbers, and seed the initial weights."""
        torch.manual_seed(self.seed * 100 + stage)
        return torch.Generator().manual_seed(self.seed * 100 + stage)


class Average:
    """Running average of a network's weights (exponential, warmed up).

    Every 500 updates it is written to `path`, to look at while the training goes on.
    """

    def __init__(self, network: nn.Module, path: Path, decay: float = 0.999) -> None:
        self.path = path
        self.decay = decay
        self.count = 0
        self.weights = {name: value.clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move a little towards the network's weights."""
        self.count += 1
        decay = min(self.decay, (1 + self.count) / (10 + self.count))
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                self.weights[name].lerp_(value, 1 - decay)
        if self.count % 500 == 0:
            torch.save(self.weights, self.path)


def optimise(
    run: Run,
    stage: str,
    parameters: Iterable[nn.Parameter],
    loss: Callable[[], tuple[Tensor, dict[str, float]]],
    steps: int,
    rate: float,
    after_step: Callable[[], None] = lambda: None,
) -> None:
    """Minimise `loss` with AdamW, a short warm-up and a cosine decay to zero.

    `loss` draws its own batch; it returns the loss and figures for the log.
    """
    steps = max(2, round(steps * run.length))
    parameters = list(parameters)
    optimiser = torch.optim.AdamW(parameters, lr=rate, betas=(0.9, 0.98), weight_decay=0.01)
    warm = max(1, min(100, steps // 10))
    started, total = time.monotonic(), 0.0
    every = max(1, steps // 40)
    for step in range(steps):
        progress = step / steps
        scale = min(1.0, (step + 1) / warm) * 0.5 * (1 + math.cos(math.pi * progress))
        for group in optimiser.param_groups:
            group["lr"] = rate * scale
        with torch.autocast(run.device.type, torch.bfloat16):
            value, figures = loss()
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        after_step()
        total += float(value.detach())
        if (step + 1) % every == 0:
            seconds = round(time.monotonic() - started, 1)
            mean = round(total / every, 5)
            rounded = {name: round(figure, 5) for name, figure in figures.items()}
            run.record(stage=stage, step=step + 1, seconds=seconds, loss=mean, **rounded)
            total = 0.0
