"""Running a training in resumable pieces."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader, IterableDataset

from hand_pose_ros.training.optimisation import AveragedModule
from hand_pose_ros.training.shards import Batch, ShardStream

Assemble = Callable[[Batch, np.random.Generator], Any]
CHECKPOINT = "last.ckpt"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunSettings:
    """One piece of a training.

    Attributes:
        out: folder of checkpoints and logs.
        steps: optimiser steps of the whole training (the schedule's length).
        minutes: stop after this long, to be resumed; 0 runs to the end.
        resume: go on from the folder's last checkpoint when there is one.
        validate_every: optimiser steps between validations.
        seed: of shuffling and augmentation.
        threads: CPU threads of torch; 0 leaves its default.
        accelerator: as Lightning names it ("auto", "cpu", "gpu").
        initial: weights to start from (`hand_pose export --save-weights`); not read when a checkpoint is resumed.
    """

    out: Path
    steps: int
    minutes: float = 0.0
    resume: bool = False
    validate_every: int = 500
    seed: int = 0
    threads: int = 0
    accelerator: str = "auto"
    initial: Path | None = None


class StepDataset(IterableDataset[Any]):
    """Assembled batches from step `start` on; randomness of step n is drawn from (seed, n) alone."""

    def __init__(self, stream: ShardStream, assemble: Assemble, start: int, seed: int, count: int | None) -> None:
        self.stream, self.assemble, self.start, self.seed, self.count = stream, assemble, start, seed, count

    def __iter__(self) -> Iterator[Any]:
        for number, batch in self.stream.batches(self.start):
            if self.count is not None and number - self.start >= self.count:
                return
            yield self.assemble(batch, np.random.default_rng((self.seed, number)))


def train(
    module: AveragedModule,
    training: ShardStream,
    validation: ShardStream,
    assemble: Assemble,
    assemble_validation: Assemble,
    settings: RunSettings,
) -> Path:
    """Train (or go on training) and return the checkpoint's path.

    Raises:
        RuntimeError: `settings.initial` holds the weights of another network; the text lists what differs.
    """
    if settings.threads:
        torch.set_num_threads(settings.threads)
    lightning.seed_everything(settings.seed, verbose=False)
    checkpoint = settings.out / CHECKPOINT
    resume = checkpoint if settings.resume and checkpoint.exists() else None
    start = _steps_done(resume) if resume else 0
    if settings.initial is not None and resume is None:
        module.start_from(torch.load(settings.initial, map_location="cpu", weights_only=True))
    _log.info("training from step %d of %d", start, settings.steps)
    loader = DataLoader(StepDataset(training, assemble, start, settings.seed, None), batch_size=None)
    check = StepDataset(validation, assemble_validation, 0, settings.seed, validation.batches_per_epoch)
    trainer = lightning.Trainer(
        accelerator=settings.accelerator,
        devices=1,
        max_steps=settings.steps,
        max_time=timedelta(minutes=settings.minutes) if settings.minutes else None,
        val_check_interval=settings.validate_every,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        log_every_n_steps=20,
        logger=CSVLogger(settings.out, name="log"),
        callbacks=_callbacks(settings),
        enable_model_summary=False,
    )
    trainer.fit(module, loader, DataLoader(check, batch_size=None), ckpt_path=resume, weights_only=True)
    trainer.save_checkpoint(checkpoint)
    return checkpoint


def _callbacks(settings: RunSettings) -> list[Callback]:
    return [
        ModelCheckpoint(
            settings.out,
            filename="last",
            save_top_k=1,
            every_n_train_steps=settings.validate_every,
            enable_version_counter=False,
        )
    ]


def _steps_done(checkpoint: Path) -> int:
    return int(torch.load(checkpoint, map_location="cpu", weights_only=True)["global_step"])


def load_averaged(module: AveragedModule, checkpoint: Path) -> torch.nn.Module:
    """The averaged network of a checkpoint written by `train`.

    Raises:
        RuntimeError: the checkpoint is of another network; the text lists what differs.
    """
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    module.load_state_dict(state)
    return module.average.network


def save_weights(network: torch.nn.Module, path: Path) -> None:
    """Write a network's weights alone, for `RunSettings.initial`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), path)
