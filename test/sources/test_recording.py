"""Recordings made to be shipped: small, whole, and with their truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import toy_recordings as toy

from hand_pose_ros.sources.bag import BagReader
from hand_pose_ros.sources.bag_writer import BagWriter
from hand_pose_ros.sources.recording import write_recording
from hand_pose_ros.types import InvalidData

FRAMES = toy.frames(6)
TRUTHS = toy.scenes(6)


def test_a_recording_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "sample.mcap"
    written = write_recording(path, FRAMES, [*TRUTHS[:-1], None])
    assert (written.frames, written.size) == (6, path.stat().st_size)
    with BagReader(path) as bag:
        frames = list(bag)
        assert sorted(bag.truths) == [frame.stamp_ns for frame in FRAMES[:-1]]
        assert bag.topics.color.endswith("/compressed")  # type: ignore[union-attr]
        assert bag.topics.depth == "/camera/camera/aligned_depth_to_color/image_raw"
        assert bag.problems == []
    for frame, original in zip(frames, FRAMES, strict=True):
        np.testing.assert_array_equal(frame.depth, original.depth)
        assert np.abs(frame.color.astype(int) - original.color).mean() < 4  # type: ignore[union-attr]


def test_truth_must_belong_to_its_frame(tmp_path: Path) -> None:
    for number, (frames, truths, message) in enumerate(
        (
            (FRAMES[:2], TRUTHS[1:3], "expected the truth of"),
            (FRAMES[:1], [replace(TRUTHS[0], frame_id="map")], "in 'map'"),
            (FRAMES[1::-1], [None, None], "stamps that grow"),
        )
    ):
        with pytest.raises(InvalidData, match=message):
            write_recording(tmp_path / f"{number}.mcap", frames, truths)


def test_dense_chunks_store_a_still_picture_once(tmp_path: Path) -> None:
    """rosbags' own chunks hold two of these frames and cannot see that nothing changes."""
    noise = np.random.default_rng(0).integers(300, 3000, (480, 640)).astype(np.float32) * np.float32(0.001)
    noise[60:] = 0.0
    still = [replace(frame, color=None, depth=noise) for frame in toy.frames(8, 640, 480)]
    sizes = []
    for dense in (False, True):
        with BagWriter(tmp_path / f"{dense}.mcap", dense=dense) as bag:
            for frame in still:
                bag.write_frame(frame)
        sizes.append((tmp_path / f"{dense}.mcap").stat().st_size)
    assert sizes[1] < 0.3 * sizes[0]
    with BagReader(tmp_path / "True.mcap") as bag:
        assert len(list(bag)) == 8
