"""Pictures and films become frames with metric depth and the given camera."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from hand_pose_ros.sources.errors import SourceError
from hand_pose_ros.sources.images import (
    VideoReader,
    image_frame,
    image_frames,
    picture_files,
    read_color,
    read_depth,
)

PINHOLE = (60.0, 61.0, 31.5, 23.5)
COLOR = np.zeros((48, 64, 3), dtype=np.uint8) + np.array([250, 120, 10], dtype=np.uint8)
DEPTH = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for index in (1, 2, 10):
        cv2.imwrite(str(tmp_path / f"color_{index}.png"), COLOR[..., ::-1] - index)
        cv2.imwrite(str(tmp_path / f"depth_{index}.png"), DEPTH)
    return tmp_path


def test_one_picture(pictures: Path) -> None:
    np.testing.assert_array_equal(read_color(pictures / "color_1.png"), COLOR - 1)
    np.testing.assert_array_equal(read_depth(pictures / "depth_1.png", 0.000125), DEPTH * np.float32(0.000125))
    frame = image_frame(pictures / "color_1.png", pictures / "depth_1.png", 0.001, PINHOLE, 5)
    assert (frame.stamp_ns, frame.intrinsics.fy, frame.intrinsics.width) == (5, 61.0, 64)
    assert image_frame(None, pictures / "depth_1.png", 0.001, PINHOLE).color is None


def test_float_depth(tmp_path: Path) -> None:
    depth = np.array([[0.5, np.nan], [-1.0, np.inf]], dtype=np.float32)
    cv2.imwrite(str(tmp_path / "d.tiff"), depth)
    np.testing.assert_array_equal(read_depth(tmp_path / "d.tiff", 1.0), [[0.5, 0.0], [0.0, 0.0]])


@pytest.mark.parametrize("pattern", ["*color*.png", "color_*"])
def test_sequences_are_in_the_order_of_their_numbers(pictures: Path, pattern: str) -> None:
    files = picture_files(pictures / pattern)
    assert [file.stem for file in files] == ["color_1", "color_2", "color_10"]
    frames = list(image_frames(files, picture_files(pictures / "depth_*.png"), 0.001, PINHOLE, rate=10.0))
    assert [frame.stamp_ns for frame in frames] == [0, 100_000_000, 200_000_000]
    assert len(picture_files(pictures)) == 6


def test_errors(pictures: Path) -> None:
    small = pictures / "small.png"
    cv2.imwrite(str(small), DEPTH[:10])
    (pictures / "text.png").write_text("no picture")
    color, depth = pictures / "color_1.png", pictures / "depth_1.png"
    for call, message in (
        (lambda: read_color(pictures / "missing.png"), "no such picture"),
        (lambda: read_color(pictures / "text.png"), "not a picture"),
        (lambda: read_depth(color), "expected a depth picture of one 16-bit or float32 channel, got uint8"),
        (lambda: read_depth(depth, 0.0), "above 0"),
        (lambda: image_frame(color, small, 0.001, PINHOLE), "of one size.*64x48.*64x10"),
        (lambda: image_frame(None, None, 0.001, PINHOLE), "none"),
        (lambda: list(image_frames([], [], 0.001, PINHOLE)), "got none"),
        (
            lambda: list(image_frames([color] * 2, [depth], 0.001, PINHOLE)),
            "as many depth as colour pictures, got 1 and 2",
        ),
        (lambda: picture_files(pictures / "*.exr"), "found none"),
    ):
        with pytest.raises(SourceError, match=message):
            call()


def test_a_film(tmp_path: Path) -> None:
    path = tmp_path / "film.avi"
    film = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 20.0, (64, 48))
    for level in (20, 120, 220):
        film.write(np.full((48, 64, 3), (level, 30, 40), dtype=np.uint8))
    film.release()
    with VideoReader(path, PINHOLE) as video:
        frames = list(video)
        assert (video.expected_frames, video.rate) == (3, 20.0)
        assert len(list(video)) == 3
    assert [frame.stamp_ns for frame in frames] == [0, 50_000_000, 100_000_000]
    # RGB: the level was written to blue.
    np.testing.assert_allclose([frame.color.mean((0, 1))[2] for frame in frames], [20, 120, 220], atol=4)  # type: ignore[union-attr]
    with VideoReader(path) as video:
        assert video.intrinsics.fx == pytest.approx(32 / np.tan(np.radians(32.5)))


def test_no_film(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no film")
    for name, message in (("missing.mp4", "no such film"), ("text.mp4", "cannot decode")):
        with pytest.raises(SourceError, match=message), VideoReader(tmp_path / name):
            pass


def test_real_pictures(shared_dir: Path) -> None:
    folder = shared_dir / "data"
    with VideoReader(folder / "hand_video" / "human_hand_video.mp4") as video:
        frame = next(iter(video))
    assert frame.color is not None
    assert frame.color.std() > 10
    box = image_frame(
        folder / "azure_kinect_box" / "box.png", folder / "azure_kinect_box" / "box_d.png", 0.001, PINHOLE
    )
    assert box.depth is not None
    assert 0.3 < np.median(box.depth[box.depth > 0]) < 3.0
