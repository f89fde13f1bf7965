"""A made-up hand for drawing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hand_pose_ros.geometry.wrist import wrist_pose
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import BoundingBox, HandEstimate, Intrinsics, TrackingState


@pytest.fixture
def camera() -> Intrinsics:
    return Intrinsics(500.0, 500.0, 160.0, 120.0, 320, 240)


@pytest.fixture
def make_hand() -> Callable[..., HandEstimate]:
    """Five fingers side by side in a plane of constant depth, 2 cm apart; the wrist 6 cm below the middle."""

    def make(center: tuple[float, float, float] = (0.0, 0.0, 0.5), **changes: Any) -> HandEstimate:
        joints = np.zeros((21, 3), dtype=np.float32)
        joints[0] = (0.0, 0.06, 0.0)
        for finger in range(5):
            for phalanx in range(4):
                joints[1 + 4 * finger + phalanx] = (0.02 * (finger - 2), -0.02 * phalanx, 0.0)
        joints += np.array(center, dtype=np.float32)
        values: dict[str, Any] = {
            "side": Side.RIGHT,
            "joints": joints,
            "joint_std": np.full(21, 0.001, dtype=np.float32),
            "joint_valid": np.ones(21, dtype=np.bool_),
            "score": 0.9,
            "track_id": 7,
            "state": TrackingState.TRACKED,
            "roi": BoundingBox(120, 60, 80, 120),
            "wrist": wrist_pose(joints, Side.RIGHT),
        }
        return HandEstimate(**{**values, **changes})

    return make
