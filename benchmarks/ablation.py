"""Trains and measures the ablation's rows: same data, order, seed and number of samples for all; keeps what is done."""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from benchmarks.ablation_rows import Row
from hand_pose_ros.evaluation.metrics import pose_errors
from hand_pose_ros.training.optimisation import AveragedModule, Schedule
from hand_pose_ros.training.run import Data, RunSettings, train
from hand_pose_ros.types import DoubleArray

MEASURES: Final = ("absolute", "root_relative", "aligned", "first_votes")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Budget:
    """How much is spent.

    Attributes:
        crops: distinct crops drawn for training.
        test_crops: crops measured on, of `ablation_data.TEST_CROPS`.
        trunk: samples on which the depth branch is trained alone; 0: both branches are taken from the shipped weights
            and kept as they are, and the stages alone are trained.
        samples: samples on which each row is trained after that.
        batch_size: of both.
        learning_rate: the schedule's peak.
        average: decay of the averaged weights, which are what is measured.
    """

    crops: int
    test_crops: int
    trunk: int
    samples: int
    batch_size: int = 32
    learning_rate: float = 8e-4
    average: float = 0.999

    def schedule(self, samples: int) -> Schedule:
        """Of a training on so many samples."""
        steps = samples // self.batch_size
        return Schedule(steps, self.learning_rate, warmup=min(200, steps // 10), decay_part=0.5)


BUDGETS: Final = {
    "probe": Budget(8192, 2048, 0, 16_384, 8, 2e-3, 0.98),
    "tiny": Budget(8192, 1024, 102_400, 102_400, 16, 2e-3, 0.99),
    "lite": Budget(102_400, 2048, 400_000, 400_000),
    "r18": Budget(102_400, 2048, 400_000, 400_000, 64),
    "convnext_t": Budget(102_400, 2048, 400_000, 400_000, 64),
}


@dataclass(frozen=True)
class Result:
    """A trained row's errors on the test crops (N,) in metres, each the mean over the joints.

    Attributes:
        row, seed: what was trained.
        seconds: CPU seconds (all threads) its own part of the training took.
        absolute, root_relative, aligned: in the camera's frame, with the wrists put together, after Procrustes.
        first_votes: absolute error of the depth branch's votes in the same network.
    """

    row: Row
    seed: int
    seconds: float
    absolute: DoubleArray
    root_relative: DoubleArray
    aligned: DoubleArray
    first_votes: DoubleArray


# Camera joints (B, 21, 3) in metres of a batch: the estimate, the depth branch's votes, the truth.
Poses = tuple[DoubleArray, DoubleArray, DoubleArray]


@dataclass(frozen=True)
class Bench(ABC):
    """Where rows are trained and kept: folders of the shards and of the results, and the budget."""

    size: str
    training: Path
    test: Path
    out: Path
    budget: Budget
    threads: int = 1
    accelerator: str = "cpu"

    def result(self, row: Row, seed: int) -> Result:
        """The row's result; trained and measured where it is not kept yet.

        Raises:
            ValueError: a kept result is of another configuration or budget.
        """
        folder = self.out / f"{row.key}-seed{seed}"
        kept = folder / "result.npz"
        self.claim(folder, row, seed)
        if not kept.exists():
            module, seconds = self.trained(row, seed, folder)
            errors = _errors(self.poses(module.average.network.cpu().eval(), row))
            _write(kept, {"seconds": np.array(seconds), **errors})
            _log.info("%s, seed %d: %.2f mm", row.title, seed, 1e3 * errors["absolute"].mean())
        with np.load(kept, allow_pickle=False) as stored:
            return Result(row, seed, float(stored["seconds"]), **{name: stored[name] for name in MEASURES})

    def has(self, row: Row, seed: int) -> bool:
        """Whether the row's result is kept."""
        return (self.out / f"{row.key}-seed{seed}" / "result.npz").exists()

    @abstractmethod
    def trained(self, row: Row, seed: int, folder: Path) -> tuple[AveragedModule, float]:
        """The row, trained, and the CPU seconds of it."""

    @abstractmethod
    def poses(self, network: Any, row: Row) -> Iterator[Poses]:
        """What a network makes of the test crops, batch by batch."""

    def about(self) -> dict[str, Any]:
        """What else a result depends on."""
        return {}

    def fit(self, module: AveragedModule, data: Data, folder: Path, samples: int, seed: int) -> float:
        """Train to the end, from the folder's last checkpoint where there is one; CPU seconds of this piece.

        The last weights are what counts: the validation in the log chooses nothing.
        """
        steps = samples // self.budget.batch_size
        settings = RunSettings(
            folder,
            steps,
            resume=True,
            validate_every=min(steps, 1000),
            seed=seed,
            threads=self.threads,
            accelerator=self.accelerator,
        )
        start = time.process_time()
        train(module, data, settings)
        return time.process_time() - start

    def claim(self, folder: Path, row: Row, seed: int) -> None:
        """Note what a folder holds.

        Raises:
            ValueError: it holds something else already.
        """
        about = {
            "config": dataclasses.asdict(row.config),
            "color": row.color,
            "seed": seed,
            "budget": dataclasses.asdict(self.budget),
            "accelerator": self.accelerator,
            **self.about(),
        }
        text = json.dumps(about, indent=1, sort_keys=True) + "\n"
        note = folder / "about.json"
        if note.exists() and note.read_text(encoding="utf-8") != text:
            raise ValueError(f"{folder}: holds another configuration or budget (see {note.name}); use another --out")
        folder.mkdir(parents=True, exist_ok=True)
        note.write_text(text, encoding="utf-8")


def in_metres(joints_nl: Tensor, center: Tensor, cube: Tensor) -> DoubleArray:
    """Normalised joints (B, 21, 3) in the camera's frame; center and cube (B, 3) m."""
    joints = joints_nl * (cube[:, None] / 2) + center[:, None]
    return np.asarray(joints.double().cpu().numpy())


@torch.no_grad()
def _errors(batches: Iterator[Poses]) -> dict[str, DoubleArray]:
    columns: dict[str, list[DoubleArray]] = {name: [] for name in MEASURES}
    for estimate, votes, truth in batches:
        errors = pose_errors(estimate, truth)
        for name in MEASURES[:3]:
            columns[name].append(getattr(errors, name).mean(axis=1))
        columns["first_votes"].append(pose_errors(votes, truth).absolute.mean(axis=1))
    return {name: np.concatenate(values) for name, values in columns.items()}


def _write(path: Path, arrays: dict[str, Any]) -> None:
    partial = path.with_name(f".{path.name}")
    with partial.open("wb") as file:
        np.savez(file, **arrays)
    partial.replace(path)
