"""Smooth made-up frames and hands, small enough that many bags can be written."""

from __future__ import annotations

import numpy as np

from hand_pose_ros.geometry.wrist import wrist_pose
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import (
    BoundingBox,
    Frame,
    HandEstimate,
    Intrinsics,
    ManoParameters,
    ObjectEstimate,
    Scene,
    TrackingState,
)

FRAME_ID = "camera_color_optical_frame"
START_NS = 1_700_000_000_000_000_000
PERIOD_NS = 33_333_333


def camera(width: int = 64, height: int = 48) -> Intrinsics:
    return Intrinsics(0.95 * width, 0.95 * width, width / 2 - 0.5, height / 2 - 0.5, width, height)


def frames(count: int, width: int = 64, height: int = 48) -> list[Frame]:
    """A bright near ball that moves before a far wall; depth in whole millimetres, with a hole."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    result = []
    for index in range(count):
        x, y, radius = width * (0.3 + 0.4 * index / max(count, 1)), height * 0.5, height * 0.3
        ball = np.maximum(0.0, 1.0 - ((columns - x) ** 2 + (rows - y) ** 2) / radius**2)
        depth = np.where(ball > 0, 0.5 - 0.04 * np.sqrt(ball), 1.2 + 0.0005 * rows)
        depth[:3, :3] = 0.0
        depth = (np.rint(depth * 1000).astype(np.uint16) * np.float32(0.001)).astype(np.float32)
        color = np.stack([60 + 190 * ball, 80 + rows * 0.5, 90 + columns * 0.3], axis=2).astype(np.uint8)
        result.append(Frame(START_NS + index * PERIOD_NS, FRAME_ID, camera(width, height), color, depth))
    return result


def hand(side: Side = Side.RIGHT, *, track_id: int = 7, full: bool = True, seed: int = 0) -> HandEstimate:
    """A hand-like fan of joints; with hand-model parameters and a small mesh if `full`."""
    random = np.random.default_rng(seed)
    joints = np.zeros((21, 3), dtype=np.float32)
    for finger in range(5):
        angle = 0.35 * (finger - 2) * (1 if side is Side.RIGHT else -1)
        for joint in range(4):
            reach = 0.09 + 0.03 * joint
            joints[1 + 4 * finger + joint] = (reach * np.sin(angle), -reach * np.cos(angle), 0.005 * joint)
    joints += np.array([0.02, 0.05, 0.5], dtype=np.float32) + random.normal(0, 0.001, (21, 3)).astype(np.float32)
    numbers = random.normal(0, 0.3, 61).astype(np.float32)
    return HandEstimate(
        side=side,
        joints=joints,
        joint_std=np.linspace(0.002, 0.01, 21, dtype=np.float32),
        joint_valid=np.arange(21) % 5 != 0,
        score=0.75,
        track_id=track_id,
        state=TrackingState.TRACKED,
        roi=BoundingBox(10.0, 12.0, 20.0, 24.0),
        wrist=wrist_pose(joints, side),
        mano=ManoParameters(numbers[:3], numbers[3:48], numbers[48:58], numbers[58:]) if full else None,
        vertices=random.normal(0, 0.05, (12, 3)).astype(np.float32) if full else None,
    )


def scenes(count: int) -> list[Scene]:
    """Two hands, one and none in turn, with an object in every second scene."""
    result = []
    for index in range(count):
        hands = (hand(Side.LEFT, seed=index), hand(Side.RIGHT, track_id=8, full=False, seed=index))[index % 3 :]
        box = ObjectEstimate(
            "box/1",
            np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=np.float32),
            np.array([0, 0, 0.5], dtype=np.float32),
            np.array([0.1, 0.2, 0.3], dtype=np.float32),
            0.5,
        )
        stamp = START_NS + index * PERIOD_NS
        result.append(Scene(stamp, FRAME_ID, hands, (box,) if index % 2 else ()))
    return result
