"""The pinhole camera: projecting metres to pixels and back, and what happens to K when an image is changed.

Integer pixel coordinates are pixel centres (OpenCV, ROS): the top left pixel's centre is (0, 0).
"""

from __future__ import annotations

import dataclasses
from typing import Final

import numpy as np

from hand_pose_ros.types import DoubleArray, FloatArray, Intrinsics, InvalidData

# Sizes are rounded, and 848x480 shows what 1280x720 does.
SAME_ASPECT: Final = 0.01


def project(points: FloatArray | DoubleArray, camera: Intrinsics) -> DoubleArray:
    """Camera points (..., 3) in metres -> pixels (..., 2), without distortion. Points must have z > 0."""
    xyz = np.asarray(points, dtype=np.float64)
    u = xyz[..., 0] / xyz[..., 2] * camera.fx + camera.cx
    v = xyz[..., 1] / xyz[..., 2] * camera.fy + camera.cy
    return np.stack([u, v], axis=-1)


def back_project(pixels: FloatArray | DoubleArray, z: FloatArray | DoubleArray, camera: Intrinsics) -> DoubleArray:
    """Pixels (..., 2) at depth z (...) metres -> camera points (..., 3) metres."""
    uv = np.asarray(pixels, dtype=np.float64)
    depth = np.asarray(z, dtype=np.float64)
    x = (uv[..., 0] - camera.cx) / camera.fx * depth
    y = (uv[..., 1] - camera.cy) / camera.fy * depth
    return np.stack([x, y, depth], axis=-1)


def scale_intrinsics(camera: Intrinsics, width: int, height: int) -> Intrinsics:
    """K for the same view resized to width x height (pixel centres stay pixel centres)."""
    sx, sy = width / camera.width, height / camera.height
    return dataclasses.replace(
        camera,
        fx=camera.fx * sx,
        fy=camera.fy * sy,
        cx=(camera.cx + 0.5) * sx - 0.5,
        cy=(camera.cy + 0.5) * sy - 0.5,
        width=width,
        height=height,
    )


def fit_intrinsics(camera: Intrinsics, width: int, height: int) -> Intrinsics:
    """K for an image of this size that shows the whole of the camera's view, calibrated at another size.

    Raises:
        InvalidData: another aspect ratio: which part of the view the image shows cannot be known.
    """
    if (camera.width, camera.height) == (width, height):
        return camera
    sx, sy = width / camera.width, height / camera.height
    if abs(sx - sy) > SAME_ASPECT * max(sx, sy):
        raise InvalidData(
            f"camera_info: expected the image's size {width}x{height} or its aspect ratio, got {camera.width}x"
            f"{camera.height}; use the camera_info that is published with the image"
        )
    return scale_intrinsics(camera, width, height)


def crop_intrinsics(camera: Intrinsics, x: int, y: int, width: int, height: int) -> Intrinsics:
    """K for the window of size width x height whose top left pixel is (x, y)."""
    return dataclasses.replace(camera, cx=camera.cx - x, cy=camera.cy - y, width=width, height=height)


def mirror_intrinsics(camera: Intrinsics) -> Intrinsics:
    """K for the image flipped left to right; camera points then have x negated."""
    return dataclasses.replace(camera, cx=camera.width - 1 - camera.cx)
