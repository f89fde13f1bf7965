"""`hand_pose synth`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hand_pose_ros.cli.main import main


def test_shards_with_options(tmp_path: Path) -> None:
    pytest.importorskip("moderngl")
    arguments = ["synth", "crops", "--count", "3", "--workers", "1", "--seed", "5", "--negatives", "1.0"]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    (shard,) = tmp_path.iterdir()
    assert np.load(shard / "color.npy").shape[0] == 3
    assert np.load(shard / "negative.npy").all()


@pytest.mark.parametrize("option", [["--count", "0"], ["--count", "3", "--sensor", "ideal", "--negatives", "7"]])
def test_impossible_requests(tmp_path: Path, option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["synth", "crops", "--out", str(tmp_path), *option]) == 2
    assert "expected" in capsys.readouterr().err
