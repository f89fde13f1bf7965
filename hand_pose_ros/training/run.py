"""Running a training in resumable pieces."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from lightning.fabric import Fabric
from tqdm import tqdm

from hand_pose_ros.training import checkpoints
from hand_pose_ros.training.checkpoints import CheckpointState, load_averaged, save_weights
from hand_pose_ros.training.errors import TrainingError
from hand_pose_ros.training.fabric import Precision, launch
from hand_pose_ros.training.journal import Journal
from hand_pose_ros.training.optimisation import AveragedModule
from hand_pose_ros.training.prefetch import Prefetch, to_device
from hand_pose_ros.training.shards import Batch

__all__ = ["Assemble", "BatchSource", "RunSettings", "load_averaged", "save_weights", "train"]

# Makes what travels to the device out of a batch and a generator of randomness.
Assemble = Callable[[Batch, np.random.Generator], Any]

_LOG_EVERY = 20
_ASK_EVERY = 10  # steps between the processes agreeing whether time is over

_log = logging.getLogger(__name__)


class BatchSource(Protocol):
    """Where batches come from. Batch `number` is the same whenever it is asked for."""

    def batches(self, start: int = 0, step: int = 1) -> Iterator[tuple[int, Batch]]:
        """(number, batch) for start, start + step, start + 2 step and so on, for ever."""
        ...


@dataclass(frozen=True)
class RunSettings:
    """One piece of a training.

    Attributes:
        out: folder of checkpoints and logs.
        steps: optimiser steps of the whole training (the schedule's length).
        minutes: stop this long after `started`, to be resumed; 0 runs to the end.
        resume: go on from the folder's last checkpoint when there is one.
        validate_every: optimiser steps between validations, and between checkpoints.
        seed: of shuffling and augmentation.
        threads: CPU threads of torch; 0 leaves its default.
        accelerator: "auto", "cpu" or "gpu".
        initial: weights to start from (`hand_pose export --save-weights`; networks of two hands also take a model file,
            .onnx); not read when a checkpoint is resumed.
        precision: of the heavy parts of the network; losses and geometry are always float32.
        tensorboard: write TensorBoard events too.
        progress: show a progress bar where there is a terminal.
        started: `time.monotonic()` from which `minutes` count.
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
    precision: Precision = "32"
    tensorboard: bool = False
    progress: bool = True
    started: float = field(default_factory=time.monotonic)

    @property
    def time_is_over(self) -> bool:
        """Whether this piece's minutes are used up."""
        return self.minutes > 0 and time.monotonic() - self.started >= 60 * self.minutes


@dataclass(frozen=True)
class Data:
    """Batches to learn from and `validation_batches` batches to measure on, with how they are made into tensors.

    `assemble` runs in a thread on the CPU; `finish` makes its result a batch, on the device. With W processes, process
    r takes batches r, r + W, ...; `training` must then hold a W-th of the samples of a step in each batch.
    """

    training: BatchSource
    validation: BatchSource
    validation_batches: int
    assemble: Assemble
    assemble_validation: Assemble
    finish: Callable[[Any], Any] = lambda item: item


def resumed(settings: RunSettings) -> bool:
    """Whether a training goes on from its own checkpoint."""
    return settings.resume and (settings.out / checkpoints.LAST).exists()


def model_file(settings: RunSettings, *beside: Path | None) -> Path | None:
    """The model file (.onnx) that a training is to begin with, which says what network it is; None: there is none.

    Raises:
        TrainingError: parts are to be taken from elsewhere (`beside`) too.
    """
    start = settings.initial
    if start is None or start.suffix != ".onnx":
        return None
    if any(path is not None for path in beside):
        raise TrainingError(f"--init {start}: a model file brings all parts along; leave --encoder and --closer out")
    return start


def begun(settings: RunSettings, steps: int) -> RunSettings:
    """Settings for `train` of a module that has begun as a model file, if there is one."""
    initial = None if model_file(settings) is not None else settings.initial
    return replace(settings, steps=steps, initial=initial)


def some(source: BatchSource, assemble: Assemble, batches: int = 8) -> Iterator[Any]:
    """What is made of the first batches of a source."""
    return (assemble(batch, np.random.default_rng(number)) for number, batch in islice(source.batches(), batches))


def train(module: AveragedModule, data: Data, settings: RunSettings) -> Path:
    """Train (or go on training) and return the last checkpoint's path; the best one lies beside it.

    Everything random at a step is drawn from the seed and the step's number, so a training that was killed goes on
    exactly as if it had not been (to the bit on a CPU; on a GPU as far as its kernels are deterministic).

    Raises:
        CheckpointError: the folder's checkpoint or `settings.initial` is of another network; the text lists what
            differs.
        TrainingError: the accelerator or the precision is not to be had here.
    """
    fabric = launch(settings.accelerator, settings.precision, module.leaves_out)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    return _Training(module, data, settings, fabric).run()


class _Training:
    def __init__(self, module: AveragedModule, data: Data, settings: RunSettings, fabric: Fabric) -> None:
        self.data, self.settings, self.fabric = data, settings, fabric
        self.rank, self.world = fabric.global_rank, fabric.world_size
        if data.validation_batches < self.world:
            raise TrainingError(
                f"validation: expected a batch for each of {self.world} processes, got {data.validation_batches}"
            )
        torch.backends.cudnn.benchmark = True  # all batches are of one shape
        self.module, self.start, self.best = module, 0, float("inf")
        # Steps go through `model` (DDP, precision); `module` within it is measured and saved.
        self.model, self.optimizer = fabric.setup(module, module.optimizer())
        self._begin()

    def _begin(self) -> None:
        path = self.settings.out / checkpoints.LAST
        if resumed(self.settings):
            state = checkpoints.read(path)
            checkpoints.load_module(self.module, state, path)
            self.optimizer.load_state_dict(state["optimizer_states"][0])
            if state.get("scaler"):
                self.fabric.strategy.precision.load_state_dict(state["scaler"])
            self.start, self.best = int(state["global_step"]), float(state.get("best", self.best))
        elif self.settings.initial is not None:
            checkpoints.load_weights(self.module, self.settings.initial)

    def run(self) -> Path:
        settings, first = self.settings, self.fabric.is_global_zero
        _log.info("training from step %d of %d on %s", self.start, settings.steps, self.fabric.device)
        journal = Journal(settings.out, self.start, settings.tensorboard) if first else None
        # disable=None: no bar where standard error is no terminal.
        hidden = None if settings.progress and first else True
        try:
            with tqdm(total=settings.steps, initial=self.start, unit="step", disable=hidden) as bar:
                self._steps(journal, bar)
        finally:
            if journal is not None:
                journal.close()
        return settings.out / checkpoints.LAST

    def _steps(self, journal: Journal | None, bar: Any) -> None:
        settings = self.settings
        numbered = self.data.training.batches(self.start * self.world + self.rank, self.world)
        self.module.train()
        done = saved = self.start
        with Prefetch(numbered, self._assemble) as ready:
            for step, item in zip(range(self.start, settings.steps), ready, strict=False):
                terms = self._descend(step, self.data.finish(item))
                done = step + 1
                bar.update()
                if done % _LOG_EVERY == 0 or done == settings.steps:
                    self._note(done, terms, journal, bar)
                if done % settings.validate_every == 0 or done == settings.steps:
                    self._validate(done, journal)
                    self._save(done, checkpoints.LAST)
                    saved = done
                if self._time_is_over(done):
                    break
        if saved != done or not (settings.out / checkpoints.LAST).exists():
            self._save(done, checkpoints.LAST)

    def _descend(self, step: int, batch: Any) -> dict[str, torch.Tensor]:
        """One optimiser step."""
        # Dropout draws from the step's own numbers, whatever was drawn before.
        torch.manual_seed(_mixed(self.settings.seed, step, self.rank))
        self.module.global_step = step
        schedule = self.module.schedule
        for parameters in self.optimizer.param_groups:
            # A group may have a rate of its own, as a part of the schedule's.
            parameters["lr"] = schedule.learning_rate * schedule.factor(step) * parameters.get("rate", 1.0)
        terms: dict[str, torch.Tensor] = self.model(batch)
        self.fabric.backward(terms["total"])
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.module.average.update(self.module.network, step + 1)
        return {name: value.detach() for name, value in terms.items()}

    def _assemble(self, numbered: tuple[int, Batch]) -> Any:
        number, batch = numbered
        rng = np.random.default_rng((self.settings.seed, number))
        return to_device(self.data.assemble(batch, rng), self.fabric.device)

    def _note(self, done: int, terms: dict[str, torch.Tensor], journal: Journal | None, bar: Any) -> None:
        if journal is None:
            return
        values = {f"train/{name}": float(value) for name, value in terms.items()}
        journal.write(done, {**values, "rate": self.optimizer.param_groups[0]["lr"]})
        bar.set_postfix(loss=f"{values['train/total']:.4g}", refresh=False)

    @torch.no_grad()
    def _validate(self, done: int, journal: Journal | None) -> None:
        """Measure the averaged network; keep it when none was better. Each process measures its share."""
        totals: dict[str, tuple[float, float]] = {}
        for item in self._validation_batches():
            for name, (value, weight) in self.module.evaluate(item).items():
                total, weights = totals.get(name, (0.0, 0.0))
                totals[name] = total + (value * weight if weight else 0.0), weights + weight
        values = {f"val/{name}": value for name, value in self._means(totals).items()}
        if journal is not None:
            journal.write(done, values)
        _log.info("step %d: %s", done, ", ".join(f"{name} {value:.4g}" for name, value in values.items()))
        error = values.get(f"val/{self.module.monitor}", float("inf"))
        if error < self.best:
            self.best = error
            self._save(done, checkpoints.BEST)

    def _means(self, totals: Mapping[str, tuple[float, float]]) -> dict[str, float]:
        """Means of (sum, weight) over all processes; names must be the same in all. Without weight: left out."""
        pairs = torch.tensor([list(pair) for pair in totals.values()], dtype=torch.float64)
        sums: Any = self.fabric.all_reduce(pairs, reduce_op="sum")
        return {name: total / weight for name, (total, weight) in zip(totals, sums.tolist(), strict=True) if weight}

    def _validation_batches(self) -> Iterator[Any]:
        share = len(range(self.rank, self.data.validation_batches, self.world))
        numbered = self.data.validation.batches(self.rank, self.world)
        for number, batch in islice(numbered, share):
            rng = np.random.default_rng((self.settings.seed, number))
            yield self.data.finish(to_device(self.data.assemble_validation(batch, rng), self.fabric.device))
        if isinstance(numbered, Generator):
            numbered.close()

    def _time_is_over(self, done: int) -> bool:
        if self.settings.minutes == 0 or (self.world > 1 and done % _ASK_EVERY):
            return False
        return self.fabric.broadcast(self.settings.time_is_over)

    def _save(self, done: int, name: str) -> None:
        if not self.fabric.is_global_zero:
            return
        state: CheckpointState = {
            "global_step": done,
            "state_dict": self.module.state_dict(),
            "best": self.best,
            "network": self.module.configuration(),
        }
        if name == checkpoints.LAST:
            scaler = self.fabric.strategy.precision.state_dict()
            state |= {"optimizer_states": [self.optimizer.state_dict()], "scaler": scaler}
        checkpoints.write(state, self.settings.out / name)


def _mixed(seed: int, step: int, rank: int) -> int:
    return int(np.random.SeedSequence((seed, step, rank)).generate_state(1, np.uint64)[0] >> 1)
