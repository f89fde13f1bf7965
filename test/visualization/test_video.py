"""Films, read back."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from hand_pose_ros.visualization.plots import plot_curves
from hand_pose_ros.visualization.video import VideoError, VideoWriter


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".avi"])
def test_a_film_reads_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "new" / f"film{suffix}"
    with VideoWriter(path, 10.0) as film:
        for red in (0, 60, 120, 180, 240):
            picture = np.zeros((65, 96, 3), dtype=np.uint8)  # an odd height loses its last row
            picture[..., 0] = red
            film.write(picture)
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(10.0)
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1])
    assert [frame.shape for frame in frames] == [(64, 96, 3)] * 5
    reds = [frame[..., 2].mean() for frame in frames]
    np.testing.assert_allclose(reds, [0, 60, 120, 180, 240], atol=12)


def test_without_pictures_there_is_no_file(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "film.mp4", 10.0):
        pass
    assert not (tmp_path / "film.mp4").exists()


def test_wrong_use_is_named(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"expected a suffix among \.mp4"):
        VideoWriter(tmp_path / "film.mov", 10.0)
    with pytest.raises(VideoError, match="positive frame rate"):
        VideoWriter(tmp_path / "film.mp4", 0.0)
    with VideoWriter(tmp_path / "film.avi", 10.0) as film:
        film.write(np.zeros((48, 64, 3), dtype=np.uint8))
        with pytest.raises(VideoError, match="one size"):
            film.write(np.zeros((64, 64, 3), dtype=np.uint8))


def test_a_curve_passes_through_its_points() -> None:
    x = np.linspace(0, 50, 101)
    picture = plot_curves({"PCK": (x, x / 50)}, "title", "mm", (0.0, 50.0), (0.0, 1.0), size=(560, 380))
    # The plot area is 56..544 by 34..340, so the middle of the line y = x / 50 is at (300, 187).
    red, _, blue = picture[187, 300].astype(int)
    assert blue - red > 100
    assert (picture[80, 100] == 255).all()
    gap = plot_curves({"PCK": (x, np.where(x < 25, np.nan, x / 50))}, "", "mm", (0.0, 50.0), (0.0, 1.0))
    assert (gap[260, 170] == 255).all()
