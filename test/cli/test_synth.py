"""`hand_pose synth`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hand_pose_ros.cli.main import main
from hand_pose_ros.sources.bag import BagReader


def test_shards_with_options(tmp_path: Path) -> None:
    pytest.importorskip("moderngl")
    arguments = ["synth", "crops", "--count", "3", "--workers", "1", "--seed", "5", "--negatives", "1.0"]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    (shard,) = tmp_path.iterdir()
    assert np.load(shard / "color.npy").shape[0] == 3
    assert np.load(shard / "negative.npy").all()


def test_scenes_of_pairs_only(tmp_path: Path) -> None:
    pytest.importorskip("moderngl")
    arguments = ["synth", "scenes", "--count", "6", "--workers", "1", "--two-hands", "1.0"]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    (shard,) = tmp_path.iterdir()
    present = np.load(shard / "present.npy")
    assert present.shape == (6, 2)
    assert present.all(axis=1).sum() >= 5  # 3 % are empty


@pytest.mark.parametrize("option", [["--count", "0"], ["--count", "3", "--sensor", "ideal", "--negatives", "7"]])
def test_impossible_requests(tmp_path: Path, option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["synth", "crops", "--out", str(tmp_path), *option]) == 2
    assert "expected" in capsys.readouterr().err


def test_a_recording_with_its_truth(tmp_path: Path) -> None:
    pytest.importorskip("moderngl")
    path = tmp_path / "hands.mcap"
    arguments = [
        "synth",
        "bag",
        "--seed",
        "1",
        "--frames",
        "3",
        "--width",
        "160",
        "--height",
        "120",
        "--exposures",
        "1",
    ]
    assert main([*arguments, "--out", str(path)]) == 0
    with BagReader(path) as bag:
        frames, truths = list(bag.frames()), bag.truths
    assert len(frames) == 3
    assert set(truths) == {frame.stamp_ns for frame in frames}
    # Not replaced unless asked.
    assert main([*arguments, "--out", str(path)]) == 2
    assert main([*arguments, "--out", str(path), "--overwrite"]) == 0


@pytest.mark.parametrize("option", [["--out", "hands.bag"], ["--out", "a.mcap", "--quality", "0"]])
def test_impossible_recordings(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["synth", "bag", *option]) == 2
    assert "expected" in capsys.readouterr().err
