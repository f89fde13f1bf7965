"""A training that was stopped, killed or run in several processes ends where an uninterrupted one ends."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from toy_training import EVERY, Line, Stopped, data, fit, fit_on

from hand_pose_ros.datasets.synthetic.stream import CropStream
from hand_pose_ros.training import checkpoints
from hand_pose_ros.training.average import WeightAverage
from hand_pose_ros.training.checkpoints import CheckpointError, read
from hand_pose_ros.training.errors import TrainingError
from hand_pose_ros.training.journal import Journal
from hand_pose_ros.training.optimisation import Schedule
from hand_pose_ros.training.run import Data, RunSettings, load_averaged, save_weights, train

PROGRAM = Path(__file__).parents[1] / "support" / "toy_training.py"


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    folder = tmp_path / "shards" / "crops-000000"
    folder.mkdir(parents=True)
    np.save(folder / "x.npy", np.linspace(-1, 1, 16)[:, None])
    return folder.parent


def same(first: Path, second: Path) -> None:
    """Both folders' last checkpoints are equal to the bit: weights, averages, moments, best error."""
    one, other = read(first / checkpoints.LAST), read(second / checkpoints.LAST)
    for a, b in zip(one["state_dict"].values(), other["state_dict"].values(), strict=True):
        assert torch.equal(a, b)
    moments, others = (c["optimizer_states"][0]["state"] for c in (one, other))
    assert all(torch.equal(moments[k][n], others[k][n]) for k in moments for n in moments[k])
    assert (one["global_step"], one["best"]) == (other["global_step"], other["best"])
    assert (first / "log.csv").read_text() == (second / "log.csv").read_text()


@pytest.mark.parametrize("stop", [EVERY, 13])
def test_a_training_that_broke_off_goes_on_as_if_it_had_not(shards: Path, tmp_path: Path, stop: int) -> None:
    fit(shards, tmp_path / "whole", 40)
    with pytest.raises(Stopped):
        fit(shards, tmp_path / "pieces", 40, until=stop)
    fit(shards, tmp_path / "pieces", 40, resume=True)
    same(tmp_path / "whole", tmp_path / "pieces")


def test_a_training_that_was_killed_while_crops_are_rendered_goes_on_as_if_it_had_not(
    shards: Path, tmp_path: Path
) -> None:
    steps = 10
    # Not as a script: the drawing process would import it, and torch with it.
    command = [sys.executable, "-c", "import toy_training; toy_training.main()"]
    arguments = [str(shards), str(tmp_path / "pieces"), str(steps), "--killed", "7"]
    assert subprocess.run([*command, *arguments], env=environment(), timeout=120).returncode == -signal.SIGKILL
    assert read(tmp_path / "pieces" / checkpoints.LAST)["global_step"] == EVERY
    given = data(shards, 2, rendered_by=1)
    fit_on(given, tmp_path / "pieces", steps, resume=True)
    fit_on(given, tmp_path / "whole", steps)
    assert isinstance(given.training, CropStream)
    given.training.close()
    same(tmp_path / "whole", tmp_path / "pieces")


def test_two_processes_share_the_work_and_go_on_as_well(shards: Path, tmp_path: Path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    arguments = [str(PROGRAM), str(shards), str(tmp_path / "whole"), "20", "--interrupted", "13"]
    done = subprocess.run([*torchrun, *arguments], env=environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    same(tmp_path / "whole", tmp_path / "pieces")
    # What both saw together is what one process alone would have seen in a batch of twice the size.
    values = rows(tmp_path / "whole")
    assert values["val/error"][-1] < values["val/error"][0]
    fit(shards, tmp_path / "alone", 20)
    alone = rows(tmp_path / "alone")
    assert values["rate"] == alone["rate"] and len(values["val/error"]) == len(alone["val/error"])


def environment() -> dict[str, str]:
    root = str(PROGRAM.parents[2])
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([root, *sys.path])}


def rows(folder: Path) -> dict[str, list[float]]:
    values: dict[str, list[float]] = {}
    with (folder / "log.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            values.setdefault(row["name"], []).append(float(row["value"]))
    return values


def test_training_descends_and_the_best_weights_are_kept(shards: Path, tmp_path: Path) -> None:
    fit(shards, tmp_path / "out", 200)
    errors = rows(tmp_path / "out")["val/error"]
    best = read(tmp_path / "out" / checkpoints.BEST)
    assert errors[-1] < 0.3 * errors[0]
    assert best["best"] == pytest.approx(min(errors), rel=1e-5)
    assert best["global_step"] == EVERY * (1 + int(np.argmin(errors)))


def test_minutes_end_a_piece_with_a_checkpoint(shards: Path, tmp_path: Path) -> None:
    fit(shards, tmp_path / "out", 50, minutes=1.0, started=time.monotonic() - 60)
    assert read(tmp_path / "out" / checkpoints.LAST)["global_step"] == 1
    fit(shards, tmp_path / "out", 50, minutes=1.0, resume=True)
    fit(shards, tmp_path / "whole", 50)
    same(tmp_path / "whole", tmp_path / "out")


def test_a_checkpoint_is_never_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.ckpt"
    checkpoints.write({"state_dict": {}, "global_step": 1}, path)

    def broken(state: object, file: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", broken)
    with pytest.raises(OSError, match="no space"):
        checkpoints.write({"state_dict": {}, "global_step": 2}, path)
    assert read(path)["global_step"] == 1


def test_checkpoints_of_earlier_versions_are_gone_on_with(shards: Path, tmp_path: Path) -> None:
    """PyTorch Lightning's files have more in them, and no best error."""
    fit(shards, tmp_path / "whole", 40)
    with pytest.raises(Stopped):
        fit(shards, tmp_path / "old", 40, until=EVERY)
    path = tmp_path / "old" / checkpoints.LAST
    state = read(path)
    kept = {name: state[name] for name in ("global_step", "state_dict", "optimizer_states")}
    for group in kept["optimizer_states"][0]["param_groups"]:
        group["initial_lr"] = 0.05
    checkpoints.write({**kept, "epoch": 0, "lr_schedulers": [{"last_epoch": EVERY}], "loops": {}}, path)
    fit(shards, tmp_path / "old", 40, resume=True)
    whole, old = (read(tmp_path / name / checkpoints.LAST)["state_dict"] for name in ("whole", "old"))
    assert all(torch.equal(whole[name], old[name]) for name in whole)


def test_another_network_s_checkpoint_is_refused(shards: Path, tmp_path: Path) -> None:
    fit(shards, tmp_path / "out", EVERY)
    other = Line(Schedule(steps=EVERY))
    other.network = nn.Linear(3, 3)
    with pytest.raises(CheckpointError, match="another network"):
        train(other, data(shards), RunSettings(tmp_path / "out", EVERY, resume=True, accelerator="cpu"))
    (tmp_path / "other.ckpt").write_bytes((tmp_path / "out" / checkpoints.LAST).read_bytes())
    with pytest.raises(CheckpointError, match="no such file"):
        read(tmp_path / "nowhere.ckpt")
    torch.save({"weights": 1}, tmp_path / "other.ckpt")
    with pytest.raises(CheckpointError, match="expected a checkpoint of `hand_pose train`"):
        read(tmp_path / "other.ckpt")
    torch.save({str(name): name for name in range(600)}, tmp_path / "other.ckpt")
    with pytest.raises(CheckpointError, match=r"got 0, 1, 2 and 597 more$"):
        read(tmp_path / "other.ckpt")


def test_the_journal_is_taken_up_where_the_checkpoint_is(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("step,name,value\n5,loss,1\n10,loss,2\n15,loss,3\n20,lo")
    for step, value in ((10, 0.5), (11, 0.75), (11, 0.25)):
        journal = Journal(tmp_path, step - 1, tensorboard=True)
        journal.write(step, {"loss": value})
        journal.close()
    assert rows(tmp_path) == {"loss": [1, 0.5, 0.25]}
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload().Scalars("loss")
    assert [(event.step, event.value) for event in events] == [(10, 0.5), (11, 0.25)]


def test_an_error_in_the_data_ends_the_training(shards: Path, tmp_path: Path) -> None:
    def torn(batch: object, rng: object) -> object:
        raise OSError("unreadable shard")

    given = data(shards)
    broken = Data(given.training, given.validation, 4, torn, given.assemble_validation)
    with pytest.raises(OSError, match="unreadable shard"):
        train(Line(Schedule(steps=4)), broken, RunSettings(tmp_path / "out", 4, accelerator="cpu"))


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"precision": "16-mixed"}, "needs a CUDA device"), ({"precision": "bf16-mixed"}, "expected '32' for Line")],
)
def test_what_cannot_be_had_is_refused(shards: Path, tmp_path: Path, settings: dict[str, str], says: str) -> None:
    with pytest.raises(TrainingError, match=says):
        fit(shards, tmp_path / "out", 4, **settings)


@pytest.mark.parametrize(("step", "expected"), [(0, 0.1), (9, 1.0), (59, 1.0), (80, 0.5), (100, 0.02), (500, 0.02)])
def test_schedule(step: int, expected: float) -> None:
    assert Schedule(steps=100, warmup=10).factor(step) == pytest.approx(expected)


@pytest.mark.parametrize(("step", "expected"), [(0, 1.0), (73, 1.0), (74, 0.1), (99, 0.1)])
def test_the_published_schedule(step: int, expected: float) -> None:
    assert Schedule(steps=100, falls=(11 / 15,)).factor(step) == pytest.approx(expected)


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
    assert not average.train().network.training


def test_a_training_can_start_from_saved_weights(shards: Path, tmp_path: Path) -> None:
    fit(shards, tmp_path / "first", 60)
    first = load_averaged(Line(Schedule(steps=1)), tmp_path / "first" / checkpoints.LAST)
    save_weights(first, tmp_path / "first.pt")
    module = Line(Schedule(steps=1, learning_rate=0.0))
    train(module, data(shards), RunSettings(tmp_path / "second", 1, initial=tmp_path / "first.pt", accelerator="cpu"))
    for a, b in zip(first.state_dict().values(), module.average.network.state_dict().values(), strict=True):
        assert torch.allclose(a, b)
    alone = load_averaged(Line(Schedule(steps=1)), tmp_path / "first.pt")
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), alone.parameters(), strict=True))
    with pytest.raises(RuntimeError, match="Unexpected key"):
        module.start_from({"other": torch.zeros(1)})
    save_weights(nn.Linear(3, 3), tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="expected the weights of this network"):
        checkpoints.load_weights(module, tmp_path / "other.pt")
