from __future__ import annotations

import numpy as np
import pytest
from toy_models import toy_hand
from toy_scenes import CAMERA

from hand_pose_ros.pipeline.assembly import joint_pixels, region_of_interest, valid_joints, wrist_of
from hand_pose_ros.pipeline.estimator import DroppedHand
from hand_pose_ros.skeleton import Side


def at(x: float, y: float, z: float) -> np.ndarray:
    return toy_hand() + np.array([x, y, z], dtype=np.float32)


def test_the_region_holds_the_joints_and_a_margin() -> None:
    pixels = joint_pixels(at(0, 0, 0.6), CAMERA)
    roi = region_of_interest(pixels, CAMERA)
    margins = [*(pixels.min(axis=0) - (roi.x, roi.y)), *((roi.x + roi.width, roi.y + roi.height) - pixels.max(axis=0))]
    np.testing.assert_allclose(margins, 0.15 * np.ptp(pixels, axis=0).max())


@pytest.mark.parametrize("x", [-0.33, 0.33])
def test_the_region_is_cut_to_the_image(x: float) -> None:
    roi = region_of_interest(joint_pixels(at(x, 0, 0.6), CAMERA), CAMERA)
    assert roi.x >= 0 and roi.x + roi.width <= 639


@pytest.mark.parametrize("x", [-0.8, 0.8])
def test_a_hand_outside_the_image_is_dropped(x: float) -> None:
    with pytest.raises(DroppedHand, match="outside_image"):
        region_of_interest(joint_pixels(at(x, 0, 0.6), CAMERA), CAMERA)


def test_a_joint_behind_the_camera_drops_the_hand() -> None:
    with pytest.raises(DroppedHand, match="behind_camera"):
        joint_pixels(at(0, 0, 0.01), CAMERA)


def test_joints_are_valid_inside_the_image_and_when_certain() -> None:
    pixels = np.full((21, 2), 100.0)
    pixels[1:5] = [(-33, 100), (-31, 100), (100, 512), (100, 510)]
    std = np.full(21, 0.01, dtype=np.float32)
    std[5:7] = 0.051, 0.049
    invalid = set(np.flatnonzero(~valid_joints(pixels, std, CAMERA, 0.05)))
    assert invalid == {1, 3, 5}


def test_a_palm_on_a_line_drops_the_hand() -> None:
    joints = np.linspace([0, 0, 0.5], [0, 0.2, 0.5], 21).astype(np.float32)
    with pytest.raises(DroppedHand, match="degenerate"):
        wrist_of(joints, Side.RIGHT)
