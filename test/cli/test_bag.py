"""`hand_pose bag` on a small recording, with a pipeline that is off by a known 5 mm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from hand_pose_ros.cli.main import main
from hand_pose_ros.sources.bag import read_scenes


@pytest.fixture
def out(
    tmp_path: Path,
    recording: Path,
    knowing: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],  # set up before the command runs
) -> Path:
    monkeypatch.setattr("hand_pose_ros.cli.bag.Pipeline", knowing)
    folder = tmp_path / "out"
    assert main(["bag", str(recording), "--out", str(folder), "--quiet", "--pictures", "2", "--film", ".avi"]) == 0
    return folder


def test_the_figures(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = json.loads((out / "report.json").read_text())
    summary = {row["what"]: row["value"] for row in report["tables"]["Summary"]}
    assert summary["frames"] == 12
    assert summary["hands found"] == 11
    assert summary["MPJPE absolute (mm)"] == pytest.approx(5.0, abs=1e-3)
    assert summary["MPJPE root-relative (mm)"] == pytest.approx(0.0, abs=1e-3)
    assert summary["PA-MPJPE (mm)"] == pytest.approx(0.0, abs=1e-3)
    assert summary["of these found with the right side (%)"] == pytest.approx(100 * 11 / 12)
    assert summary["latency p50 (ms)"] == summary["latency p95 (ms)"] == 20.0
    assert summary["frames/s, pipeline"] == pytest.approx(50.0)
    assert 20 < summary["peak memory (MB)"] < 10_000
    assert report["dropped_hands"] == {"low_score": 1}
    assert report["about"]["topics"]["truth"] == "/truth/hands"


def test_the_table_says_where_to_look(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = capsys.readouterr().out
    assert "MPJPE absolute (mm)" in text
    assert "hands: low_score" in text
    for item in ("report.md", "report.json", "overlay.avi", "hands", "pck.png"):
        assert str(out / item) in text
        assert (out / item).exists()


def test_the_hands_are_in_the_output_recording(out: Path) -> None:
    scenes = read_scenes(out / "hands")
    assert len(scenes) == 12
    assert [len(scene.hands) for scene in scenes] == [1] * 7 + [0] + [1] * 4
    # The wrist of frame 3: 6 mm of motion and the 3 and 4 mm of error.
    np.testing.assert_allclose(scenes[3].hands[0].joints[0], [0.009, 0.05, 0.504], atol=1e-6)


def test_pictures_and_film(out: Path) -> None:
    pictures = sorted(out.glob("overlay_*.jpg"))
    assert [picture.name for picture in pictures] == ["overlay_00004.jpg", "overlay_00007.jpg"]
    assert cv2.imread(str(pictures[0])).shape == (48, 96, 3)
    film = cv2.VideoCapture(str(out / "overlay.avi"))
    assert film.get(cv2.CAP_PROP_FPS) == pytest.approx(25.0)
    count = 0
    while film.read()[0]:
        count += 1
    assert count == 12


def test_fewer_frames_no_film_no_truth(
    tmp_path: Path, recording: Path, knowing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hand_pose_ros.cli.bag.Pipeline", knowing)
    arguments = ["bag", str(recording), "--out", str(tmp_path / "o"), "--quiet", "--film", "none"]
    assert main([*arguments, "--max-frames", "3", "--truth", "", "--pictures", "0", "--images"]) == 0
    report = json.loads((tmp_path / "o" / "report.json").read_text())
    assert report["frames"] == 3
    assert report["accuracy"] is None
    assert not list((tmp_path / "o").glob("overlay*"))


@pytest.mark.parametrize("below", ["", "deeper"])
def test_an_output_that_is_a_file_is_refused_before_the_work(
    tmp_path: Path, recording: Path, capsys: pytest.CaptureFixture[str], below: str
) -> None:
    (tmp_path / "taken").write_text("mine")
    assert main(["bag", str(recording), "--out", str(tmp_path / "taken" / below)]) == 2
    assert "expected a folder" in capsys.readouterr().err
    assert (tmp_path / "taken").read_text() == "mine"
