"""`hand_pose train` hands its options on; the training itself is tested in test/training."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hand_pose_ros.cli.main import main


class ShardError(ValueError):
    pass


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Calls of `run_recipe`, which stands in for the real one; torch is not needed."""
    made: list[tuple[Any, ...]] = []

    def run_recipe(*arguments: Any) -> Path:
        made.append(arguments)
        if arguments[0] == "empty":
            raise ShardError("no shards")
        return Path("last.ckpt")

    modules = {
        "hand_pose_ros.training.recipes": SimpleNamespace(
            RECIPES=("hand_finder", "empty"), batch_size=lambda name: 32, run_recipe=run_recipe
        ),
        "hand_pose_ros.training.run": SimpleNamespace(RunSettings=SimpleNamespace),
        "hand_pose_ros.training.shards": SimpleNamespace(ShardError=ShardError),
    }
    monkeypatch.setattr("hand_pose_ros.cli.train.load", modules.__getitem__)
    return made


def folders(tmp_path: Path) -> list[str]:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    return ["--data", str(tmp_path / "a"), "--validation", str(tmp_path / "b"), "--out", str(tmp_path / "o")]


def test_options_reach_the_training(tmp_path: Path, calls: list[tuple[Any, ...]]) -> None:
    more = ["--minutes", "1.5", "--depth-steps", "70"]
    assert main(["train", "hand_finder", *folders(tmp_path), "--samples", "6400", "--resume", *more]) == 0
    ((name, data, validation, rate, settings, depth_steps),) = calls
    assert (name, [d.name for d in data], validation.name, rate, depth_steps) == ("hand_finder", ["a"], "b", 8e-4, 70)
    assert (settings.steps, settings.minutes, settings.resume) == (200, 1.5, True)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["nonsense"], "expected a recipe among hand_finder"),
        (["empty"], "no shards"),
        (["hand_finder", "--samples", "0"], "at least 1"),
        (["hand_finder", "--data", "/nowhere"], "/nowhere: expected a folder"),
    ],
)
def test_mistakes(
    tmp_path: Path, calls: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str], argv: list[str], says: str
) -> None:
    assert main(["train", *folders(tmp_path), *argv]) == 2
    assert says in capsys.readouterr().err
