"""`hand_pose images` with a pipeline that knows the answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from hand_pose_ros.cli.main import main
from hand_pose_ros.sources.images import image_frame


def test_depth_pictures(tmp_path: Path, knowing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hand_pose_ros.cli.images.Pipeline", knowing)
    seen = []

    def noted(*arguments: Any) -> Any:
        frame = image_frame(*arguments)
        seen.append(frame)
        return frame

    monkeypatch.setattr("hand_pose_ros.cli.images.image_frame", noted)
    paths = []
    for index in range(2):
        paths.append(str(tmp_path / f"{index}.png"))
        cv2.imwrite(paths[-1], np.full((48, 64), 4000 + index, dtype=np.uint16))
    camera = ["--intrinsics", "80", "80", "31.5", "23.5"]
    out = tmp_path / "out"
    assert main(["images", "--depth", *paths, *camera, "--depth-unit", "0.000125", "--out", str(out)]) == 0
    assert [float(frame.depth[0, 0]) for frame in seen] == pytest.approx([0.5, 0.500125])
    assert (seen[0].intrinsics.fx, seen[0].intrinsics.width, seen[0].color) == (80.0, 64, None)
    result = json.loads((out / "hands.json").read_text())
    assert len(result["pictures"]) == 2
    assert np.shape(result["pictures"][0]["hands"][0]["joints_m"]) == (21, 3)
    assert cv2.imread(result["pictures"][1]["overlay"]).shape == (48, 96, 3)


@pytest.mark.parametrize(
    ("pixels", "says"),
    [
        (np.zeros((48, 64), dtype=np.uint8), "got uint8"),
        (np.zeros((48, 64, 3), dtype=np.uint16), "got uint16 (48, 64, 3)"),
    ],
)
def test_pictures_that_are_no_depth(
    tmp_path: Path,
    knowing: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    pixels: np.ndarray,
    says: str,
) -> None:
    monkeypatch.setattr("hand_pose_ros.cli.images.Pipeline", knowing)
    cv2.imwrite(str(tmp_path / "d.png"), pixels)
    arguments = ["images", "--depth", str(tmp_path / "d.png"), "--intrinsics", "80", "80", "31.5", "23.5"]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 2
    assert says in capsys.readouterr().err
