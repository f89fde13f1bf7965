"""A training so small that it runs in a second: one number is learnt. Run as a program by tests that need processes.

python toy_training.py SHARDS OUT STEPS [--interrupted STEP | --killed STEP]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hand_pose_ros.datasets.synthetic.spec import SyntheticConfig
from hand_pose_ros.datasets.synthetic.stream import CropStream
from hand_pose_ros.training.optimisation import AveragedModule, Measured, Schedule
from hand_pose_ros.training.run import Data, RunSettings, train
from hand_pose_ros.training.shards import Batch, ShardStream

EVERY = 5  # steps between checkpoints


class Stopped(RuntimeError):
    """A training that ended without a last checkpoint, as a killed one does."""


def stop() -> None:
    """End a training with an error."""
    raise Stopped


def kill() -> None:
    """End this process as the kernel or an impatient user does."""
    os.kill(os.getpid(), signal.SIGKILL)


class Line(AveragedModule):
    """Fits y = 3 x, with dropout, so that every kind of randomness has a part. At step `until` it ends by `end`."""

    monitor = "error"

    def __init__(self, schedule: Schedule, until: int | None = None, end: Callable[[], None] = stop) -> None:
        torch.manual_seed(4)
        super().__init__(nn.Sequential(nn.Linear(1, 8), nn.Dropout(0.2), nn.Linear(8, 1)), schedule)
        self.until, self.end = until, end

    def loss(self, batch: Any) -> dict[str, Tensor]:
        if self.global_step == self.until:
            self.end()
        return {"total": (self.run(batch) - 3 * batch).square().mean()}

    @torch.no_grad()
    def evaluate(self, batch: Any) -> dict[str, Measured]:
        return {"error": (float((self.average.network(batch) - 3 * batch).abs().mean()), len(batch))}


def noisy(batch: Batch, rng: np.random.Generator) -> Tensor:
    # Of rendered crops: the depth in the middle.
    x = (batch["x"] if "x" in batch else batch["depth"][:, 80, 80, None] / 10_000).astype(np.float32)
    return torch.from_numpy(x + 0.01 * rng.standard_normal(x.shape).astype(np.float32))


def data(shards: Path, size: int = 4, rendered_by: int | None = None) -> Data:
    """Shards, or crops rendered by so many processes."""
    stream = ShardStream(shards, size, seed=0)
    if rendered_by is None:
        return Data(stream, stream, 4, noisy, noisy)
    return Data(CropStream(SyntheticConfig(), 0, rendered_by, size), stream, 4, noisy, noisy)


def fit(shards: Path, out: Path, steps: int, until: int | None = None, size: int = 4, **settings: Any) -> Line:
    """Train on shards."""
    return fit_on(data(shards, size), out, steps, until, **settings)


def fit_on(
    given: Data, out: Path, steps: int, until: int | None = None, end: Callable[[], None] = stop, **settings: Any
) -> Line:
    """Train on any data."""
    module = Line(Schedule(steps=steps, learning_rate=0.05, warmup=2), until, end)
    train(module, given, RunSettings(out, steps, validate_every=EVERY, accelerator="cpu", **settings))
    return module


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("shards", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("steps", type=int)
    parser.add_argument("--interrupted", type=int, help="first stop at this step, in another folder, then go on")
    parser.add_argument("--killed", type=int, help="train on rendered crops until this step")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.killed:
        fit_on(data(options.shards, 2, rendered_by=1), options.out, options.steps, options.killed, kill)
    # Two samples for each of two processes.
    fit(options.shards, options.out, options.steps, size=2)
    pieces = options.out.with_name("pieces")
    with contextlib.suppress(Stopped):
        fit(options.shards, pieces, options.steps, options.interrupted, size=2)
    fit(options.shards, pieces, options.steps, size=2, resume=True)


if __name__ == "__main__":
    main()
