"""Depth images of boxes, cast ray by ray."""

from __future__ import annotations

import numpy as np

from hand_pose_ros.types import DoubleArray, FloatArray, Intrinsics


def box_depth(camera: Intrinsics, extent: DoubleArray, rotation: DoubleArray, place: DoubleArray) -> FloatArray:
    """(H, W) metres along the optical axis to a box about `place`; 0 beside it."""
    x = (np.arange(camera.width) - camera.cx) / camera.fx
    y = (np.arange(camera.height) - camera.cy) / camera.fy
    rays = np.stack([*np.meshgrid(x, y), np.ones((camera.height, camera.width))], axis=-1) @ rotation
    start = -place @ rotation
    with np.errstate(divide="ignore", invalid="ignore"):
        slabs = np.stack([(side * extent / 2 - start) / rays for side in (-1.0, 1.0)])
    enter, leave = slabs.min(axis=0).max(axis=-1), slabs.max(axis=0).min(axis=-1)
    return np.where((enter < leave) & (enter > 0), enter, 0.0).astype(np.float32)
