"""From a network's joints to the hand that leaves the pipeline: validity, region of interest, wrist frame."""

from __future__ import annotations

from typing import Final

import numpy as np

from hand_pose_ros.geometry.box import box_around
from hand_pose_ros.geometry.camera import project
from hand_pose_ros.geometry.wrist import wrist_pose
from hand_pose_ros.pipeline.estimator import DroppedHand
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import BoolArray, BoundingBox, DoubleArray, FloatArray, Intrinsics, WristPose

# A joint this far outside the image, as a part of its width, may still be told from its neighbours.
FRUSTUM_MARGIN: Final = 0.05


def joint_pixels(joints: FloatArray, camera: Intrinsics) -> DoubleArray:
    """Pixels (21, 2) of joints (21, 3) metres.

    Raises:
        DroppedHand: a joint is not in front of the camera ("behind_camera").
    """
    if not (joints[:, 2] > 0).all():
        raise DroppedHand("behind_camera")
    return project(joints, camera)


def valid_joints(pixels: DoubleArray, joint_std: FloatArray, camera: Intrinsics, max_std: float) -> BoolArray:
    """Which joints (21,) are to be relied on: certain enough (metres) and inside the image, give or take 5 %."""
    margin = FRUSTUM_MARGIN * camera.width
    last = np.array([camera.width - 1, camera.height - 1])
    inside = np.all((pixels >= -margin) & (pixels <= last + margin), axis=1)
    return np.logical_and(inside, joint_std <= max_std)


def region_of_interest(pixels: DoubleArray, camera: Intrinsics) -> BoundingBox:
    """The box around pixels (21, 2) with a margin, cut to the image.

    Raises:
        DroppedHand: it lies outside the image ("outside_image").
    """
    box = box_around(pixels, camera)
    if box is None:
        raise DroppedHand("outside_image")
    return box


def wrist_of(joints: FloatArray, side: Side) -> WristPose:
    """The wrist frame of joints (21, 3) metres.

    Raises:
        DroppedHand: the palm has no plane ("degenerate").
    """
    try:
        return wrist_pose(joints, side)
    except ValueError as error:
        raise DroppedHand("degenerate") from error
