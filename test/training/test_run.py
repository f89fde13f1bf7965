"""A training that was stopped and resumed ends where an uninterrupted one ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hand_pose_ros.training.average import WeightAverage
from hand_pose_ros.training.optimisation import AveragedModule, Schedule
from hand_pose_ros.training.run import RunSettings, load_averaged, save_weights, train
from hand_pose_ros.training.shards import Batch, ShardStream


class Line(AveragedModule):
    """Fits y = 3 x."""

    def __init__(self, schedule: Schedule) -> None:
        torch.manual_seed(4)
        super().__init__(nn.Linear(1, 1), schedule)

    def loss(self, batch: Any) -> dict[str, Tensor]:
        return {"total": (self.run(batch) - 3 * batch).square().mean()}

    def validation_step(self, batch: Any, batch_index: int) -> None:
        self.log("val/error", (self.average.network(batch) - 3 * batch).abs().mean())


def noisy(batch: Batch, rng: np.random.Generator) -> Tensor:
    x = batch["x"].astype(np.float32)
    return torch.from_numpy(x + 0.01 * rng.standard_normal(x.shape).astype(np.float32))


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    folder = tmp_path / "shards" / "crops-000000"
    folder.mkdir(parents=True)
    np.save(folder / "x.npy", np.linspace(-1, 1, 16)[:, None])
    return folder.parent


def fit(shards: Path, out: Path, steps: int, resume: bool, stop: int | None = None) -> nn.Module:
    module = Line(Schedule(steps=steps, learning_rate=0.05, warmup=2))
    stream = ShardStream(shards, 4, seed=0)
    settings = RunSettings(out, stop or steps, resume=resume, validate_every=5, accelerator="cpu")
    checkpoint = train(module, stream, stream, noisy, noisy, settings)
    return load_averaged(Line(Schedule(steps=steps)), checkpoint)


def test_stopped_and_resumed_is_the_same_as_uninterrupted(shards: Path, tmp_path: Path) -> None:
    whole = fit(shards, tmp_path / "whole", 20, resume=False)
    fit(shards, tmp_path / "pieces", 20, resume=False, stop=10)
    resumed = fit(shards, tmp_path / "pieces", 20, resume=True)
    for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_training_descends(shards: Path, tmp_path: Path) -> None:
    network = fit(shards, tmp_path / "out", 120, resume=False)
    assert abs(float(network.state_dict()["weight"]) - 3) < 0.3


@pytest.mark.parametrize(("step", "expected"), [(0, 0.1), (9, 1.0), (59, 1.0), (80, 0.5), (100, 0.02), (500, 0.02)])
def test_schedule(step: int, expected: float) -> None:
    assert Schedule(steps=100, warmup=10).factor(step) == pytest.approx(expected)


def test_the_average_follows_the_weights() -> None:
    network = nn.BatchNorm1d(2)
    average = WeightAverage(network, decay=0.9)
    with torch.no_grad():
        network.weight.fill_(2.0)
    network.num_batches_tracked += 7
    average.update(network, step=10_000)
    assert torch.allclose(average.network.weight, torch.tensor(1.1))
    assert int(average.network.num_batches_tracked) == 7
    assert not any(parameter.requires_grad for parameter in average.parameters())


def test_a_training_can_start_from_saved_weights(shards: Path, tmp_path: Path) -> None:
    first = fit(shards, tmp_path / "first", 60, resume=False)
    save_weights(first, tmp_path / "first.pt")
    module = Line(Schedule(steps=1, learning_rate=0.0))
    stream = ShardStream(shards, 4, seed=0)
    settings = RunSettings(tmp_path / "second", 1, initial=tmp_path / "first.pt", accelerator="cpu")
    train(module, stream, stream, noisy, noisy, settings)
    for a, b in zip(first.state_dict().values(), module.average.network.state_dict().values(), strict=True):
        assert torch.allclose(a, b)
    with pytest.raises(RuntimeError, match="Unexpected key"):
        module.start_from({"other": torch.zeros(1)})
