"""A pipeline that knows the answer, and a small recording with truth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hand_pose_ros.geometry.wrist import wrist_pose
from hand_pose_ros.skeleton import Side
from hand_pose_ros.sources.bag_writer import BagWriter
from hand_pose_ros.types import BoundingBox, Frame, HandEstimate, Intrinsics, Scene, TrackingState

CAMERA = Intrinsics(80.0, 80.0, 31.5, 23.5, 64, 48)
# What the fake pipeline adds to the true joints (m): 5 mm in all.
OFFSET = np.array([0.003, 0.0, 0.004], dtype=np.float32)
FRAMES = 12
# In this frame it overlooks the hand.
BLIND = 7


def true_hand(index: int) -> HandEstimate:
    joints = np.zeros((21, 3), dtype=np.float32)
    joints[0] = (0.0, 0.05, 0.5)
    for finger in range(5):
        for phalanx in range(4):
            joints[1 + 4 * finger + phalanx] = (0.02 * (finger - 2), -0.02 * phalanx, 0.5)
    joints[:, 0] += 0.002 * index
    return HandEstimate(
        Side.RIGHT,
        joints,
        np.full(21, 0.005, dtype=np.float32),
        np.ones(21, dtype=np.bool_),
        0.9,
        1,
        TrackingState.TRACKED,
        BoundingBox(20, 10, 20, 20),
        wrist_pose(joints, Side.RIGHT),
    )


def stamp(index: int) -> int:
    return 1_000_000_000 + index * 40_000_000


class KnowingPipeline:
    """Stands in for `Pipeline`: the truth of the frame's stamp, shifted by `OFFSET`."""

    def __init__(self, config: Any) -> None:
        self.config = config
        self.resets = 0

    def process(self, frame: Frame) -> Scene:
        index = (frame.stamp_ns - stamp(0)) // 40_000_000
        timings = {"total": 20.0, "infer": 15.0}
        if index == BLIND:
            return Scene(frame.stamp_ns, frame.frame_id, (), (), timings, {"low_score": 1})
        truth = true_hand(index)
        joints = truth.joints + OFFSET
        hand = HandEstimate(**{**vars(truth), "joints": joints, "wrist": wrist_pose(joints, truth.side)})
        return Scene(frame.stamp_ns, frame.frame_id, (hand,), (), timings)

    def reset(self) -> None:
        self.resets += 1

    def describe(self) -> dict[str, str]:
        return {"model": self.config.model}


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """12 frames at 25 Hz, 64x48, with truth."""
    path = tmp_path / "small.mcap"
    color = np.full((48, 64, 3), 120, dtype=np.uint8)
    depth = np.full((48, 64), 0.55, dtype=np.float32)
    with BagWriter(path) as writer:
        for index in range(FRAMES):
            writer.write_frame(Frame(stamp(index), "camera", CAMERA, color, depth))
            writer.write_truth(Scene(stamp(index), "camera", (true_hand(index),)), (64, 48))
    return path


@pytest.fixture
def knowing() -> Callable[[Any], KnowingPipeline]:
    return KnowingPipeline
