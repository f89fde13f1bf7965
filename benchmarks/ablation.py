"""Trains and measures the ablation's rows: same data, order, seed and number of samples for all.

The depth branch is where all rows agree, and everything else only refines its pose. So it is trained alone first, once
per seed (the trunk); each row starts from it and trains as a whole, its depth branch included.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import ablation_data
from benchmarks.ablation_rows import Row, base
from hand_pose_ros.evaluation.metrics import pose_errors
from hand_pose_ros.networks.keypoint_fusion.coords import uvd_to_xyz
from hand_pose_ros.training import checkpoints
from hand_pose_ros.training.crop_images import sample_crops, stored_crops
from hand_pose_ros.training.hand_crops import CropBatch
from hand_pose_ros.training.keypoint_fusion_module import KeypointFusionModule, forward, geometry_of
from hand_pose_ros.training.losses import KeypointFusionLossConfig
from hand_pose_ros.training.optimisation import Schedule
from hand_pose_ros.training.run import Data, RunSettings, train
from hand_pose_ros.training.shards import ShardStream
from hand_pose_ros.types import DoubleArray

# Every crop holds a right hand: there is nothing to learn about presence and side.
_LOSSES: Final = KeypointFusionLossConfig(presence=0.0, side=0.0)
_MEASURES: Final = ("absolute", "root_relative", "aligned", "first_votes")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Budget:
    """How much is spent.

    Attributes:
        crops: distinct crops drawn for training.
        test_crops: crops measured on, of `ablation_data.TEST_CROPS`.
        trunk: samples on which the depth branch is trained alone.
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


BUDGETS: Final = {
    "tiny": Budget(6144, 512, 8192, 2048, 8, 2e-3, 0.98),
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


@dataclass(frozen=True)
class Bench:
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
        self._refuse_others(folder, row, seed)
        if not kept.exists():
            trunk = self._trunk(seed)
            module = self._module(row, seed, self.budget.samples)
            for network in (module.network, module.average.network):
                network.depth_branch.load_state_dict(trunk)
            seconds = self._train(module, folder, self.budget.samples, seed, row.color)
            self._write(kept, {"seconds": np.array(seconds), **self._measure(module.average.network, row.color)})
            _log.info("%s, seed %d: trained and measured", row.title, seed)
        with np.load(kept, allow_pickle=False) as stored:
            errors = {name: stored[name] for name in _MEASURES}
            return Result(row, seed, float(stored["seconds"]), **errors)

    def has(self, row: Row, seed: int) -> bool:
        """Whether the row's result is kept."""
        return (self.out / f"{row.key}-seed{seed}" / "result.npz").exists()

    def _trunk(self, seed: int) -> dict[str, Tensor]:
        """The depth branch, trained alone."""
        folder = self.out / f"trunk-seed{seed}"
        trunk = Row("trunk", "trunk", dataclasses.replace(base(self.size), stages=0))
        self._refuse_others(folder, trunk, seed)
        module = self._module(trunk, seed, self.budget.trunk)
        finished = folder / "finished"
        if not finished.exists():
            self._train(module, folder, self.budget.trunk, seed, True)
            finished.touch()
        network = checkpoints.read(folder / checkpoints.LAST)["state_dict"]
        start = "average.network.depth_branch."
        return {name.removeprefix(start): value for name, value in network.items() if name.startswith(start)}

    def _module(self, row: Row, seed: int, samples: int) -> Any:
        torch.manual_seed(seed)
        steps = samples // self.budget.batch_size
        schedule = Schedule(steps, self.budget.learning_rate, warmup=min(200, steps // 10), decay_part=0.5)
        return KeypointFusionModule(row.config, schedule, _LOSSES, decay=self.budget.average)

    def _train(self, module: KeypointFusionModule, folder: Path, samples: int, seed: int, color: bool) -> float:
        """Train to the end, from the folder's last checkpoint where there is one; CPU seconds of this piece."""
        size = self.budget.batch_size
        training, test = ablation_data.augmentations(color)
        stream = ShardStream(self.training, size, seed)
        assemble = partial(stored_crops, augmentation=training)
        # The last weights are measured whatever the log says of one batch: nothing is chosen by it.
        check = partial(stored_crops, augmentation=test)
        data = Data(stream, stream, 1, assemble, check, sample_crops)
        steps = samples // size
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

    @torch.no_grad()
    def _measure(self, network: nn.Module, color: bool) -> dict[str, DoubleArray]:
        network = network.cpu().eval()
        columns: dict[str, list[DoubleArray]] = {name: [] for name in _MEASURES}
        for batch in ablation_data.test_batches(self.test, self.budget.test_crops, color):
            output = forward(network, batch)
            truth = batch.joints.double().numpy()
            errors = pose_errors(_metres(output.joints, batch), truth)
            for name in _MEASURES[:3]:
                columns[name].append(getattr(errors, name).mean(axis=1))
            first = _metres(uvd_to_xyz(output.initial_uvd, geometry_of(batch)), batch)
            columns["first_votes"].append(np.linalg.norm(first - truth, axis=2).mean(axis=1))
        return {name: np.concatenate(values) for name, values in columns.items()}

    def _refuse_others(self, folder: Path, row: Row, seed: int) -> None:
        """Note what a folder holds, or refuse one that holds something else."""
        budget = dataclasses.asdict(self.budget) | {"accelerator": self.accelerator}
        about = {"config": dataclasses.asdict(row.config), "color": row.color, "seed": seed, "budget": budget}
        text = json.dumps(about, indent=1, sort_keys=True) + "\n"
        note = folder / "about.json"
        if note.exists() and note.read_text(encoding="utf-8") != text:
            raise ValueError(f"{folder}: holds another configuration or budget (see {note.name}); use another --out")
        folder.mkdir(parents=True, exist_ok=True)
        note.write_text(text, encoding="utf-8")

    @staticmethod
    def _write(path: Path, arrays: dict[str, Any]) -> None:
        partial_file = path.with_name(f".{path.name}")
        with partial_file.open("wb") as file:
            np.savez(file, **arrays)
        partial_file.replace(path)


def _metres(joints_nl: Tensor, batch: CropBatch) -> DoubleArray:
    """Normalised joints (B, 21, 3) in the camera's frame."""
    joints = joints_nl * (batch.cube[:, None] / 2) + batch.center[:, None]
    return np.asarray(joints.double().numpy())
