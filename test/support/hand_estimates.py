"""Hands as the pipeline gives them, of which only side and joints matter."""

from __future__ import annotations

import numpy as np

from hand_pose_ros.hand_model.model import HandModel
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import BoundingBox, FloatArray, HandEstimate, TrackingState, WristPose

F = np.float32


def estimate(side: Side, joints: FloatArray) -> HandEstimate:
    """With these joints (21, 3)."""
    wrist = WristPose(joints[0], np.array([0, 0, 0, 1], F))
    std, box = np.full(21, 0.005, F), BoundingBox(0, 0, 10, 10)
    return HandEstimate(side, joints, std, std < 1, 0.9, 1, TrackingState.TRACKED, box, wrist)


def resting() -> FloatArray:
    """Joints (21, 3) of a right hand at rest, half a metre away."""
    model = HandModel.bundled(Side.RIGHT)
    return model.forward(np.zeros(3, F), model.hand_mean, np.zeros(10, F), np.array([0, 0, 0.5], F)).joints
