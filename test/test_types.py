from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import (
    BoundingBox,
    Frame,
    HandDetection,
    HandEstimate,
    Intrinsics,
    InvalidData,
    ManoParameters,
    ObjectEstimate,
    Scene,
    TrackingState,
    WristPose,
    check_array,
)

F = np.float32
CAMERA = Intrinsics(500, 500, 3.5, 2.5, 8, 6)
COLOR, DEPTH = np.zeros((6, 8, 3), np.uint8), np.zeros((6, 8), F)


def hand(**changes: Any) -> HandEstimate:
    wrist = WristPose(np.zeros(3, F), np.array([0, 0, 0, 1], F))
    fields: dict[str, Any] = {
        "side": Side.LEFT, "joints": np.zeros((21, 3), F), "joint_std": np.zeros(21, F), "score": 1.0,
        "joint_valid": np.ones(21, np.bool_), "track_id": 1, "state": TrackingState.TRACKED,
        "roi": BoundingBox(0, 0, 1, 1), "wrist": wrist,
    }  # fmt: skip
    return HandEstimate(**{**fields, **changes})


def mano(**changes: Any) -> ManoParameters:
    sizes = {"global_orient": 3, "hand_pose": 45, "betas": 10, "transl": 3}
    return ManoParameters(**{**{name: np.zeros(size, F) for name, size in sizes.items()}, **changes})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Intrinsics(0, 0, 0, 0, 640, 480), "positive focal lengths.*is camera_info calibrated"),
        (lambda: Intrinsics(500, float("nan"), 0, 0, 640, 480), "expected finite values"),
        (lambda: Intrinsics(500, 500, 0, 0, 0, 480), "positive image size, got 0x480"),
        (lambda: Frame(0, "", CAMERA), "expected a colour or a depth image, got neither"),
        (lambda: Frame(0, "", CAMERA, COLOR[:5]), r"frame.color: expected shape \(6, 8, 3\), got \(5, 8, 3\)"),
        (lambda: Frame(0, "", CAMERA, COLOR.astype(F)), "frame.color: expected dtype uint8, got float32"),
        (lambda: Frame(0, "", CAMERA, None, DEPTH.astype(np.uint16)), "frame.depth: expected dtype float32, got uint"),
        (lambda: Frame(0, "", CAMERA, None, DEPTH.tolist()), "expected a numpy array, got list"),  # type: ignore[arg-type]
        (lambda: HandDetection(Side.LEFT, np.array([0, 0, np.nan], F), 1.0), "detection.center: holds NaN"),
        (lambda: hand(joints=np.zeros((20, 3), F)), r"hand.joints: expected shape \(21, 3\)"),
        (lambda: hand(joints=np.full((21, 3), np.inf, F)), "hand.joints: holds NaN or infinite"),
        (lambda: hand(joint_valid=np.ones(21, np.uint8)), "hand.joint_valid: expected dtype bool"),
        (lambda: hand(vertices=np.zeros((778, 2), F)), r"hand.vertices: expected shape \('any', 3\)"),
        (lambda: mano(hand_pose=np.zeros(48, F)), r"mano.hand_pose: expected shape \(45,\), got \(48,\)"),
        (lambda: WristPose(np.zeros(3, F), np.zeros(3, F)), r"wrist.quaternion: expected shape \(4,\)"),
        (lambda: ObjectEstimate("cup", np.zeros((3, 2), F), np.zeros(3, F), np.ones(3, F), 1.0), "object.rotation"),
    ],
)  # fmt: skip
def test_bad_data_is_named_at_construction(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InvalidData, match=message):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Frame(0, "", CAMERA, COLOR, DEPTH),
        lambda: Frame(0, "", CAMERA, None, DEPTH),
        lambda: Frame(0, "", CAMERA, COLOR),
        lambda: hand(mano=mano(), vertices=np.zeros((778, 3), F)),
        lambda: Scene(0, ""),
    ],
)
def test_good_data_raises_nothing(make: Callable[[], object]) -> None:
    make()


def test_integers_are_not_asked_for_finiteness() -> None:
    check_array("x", np.zeros(3, np.int64), (3,), np.int64)
    check_array("x", np.full(3, np.nan), (3,), np.float64, finite=False)


def test_the_intrinsic_matrix() -> None:
    np.testing.assert_array_equal(CAMERA.matrix, [[500, 0, 3.5], [0, 500, 2.5], [0, 0, 1]])


def test_scenes_are_frozen() -> None:
    with pytest.raises(AttributeError):
        Scene(0, "").stamp_ns = 1  # type: ignore[misc]
