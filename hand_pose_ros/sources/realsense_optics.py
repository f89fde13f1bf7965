"""The RealSense SDK's intrinsics as ours, which are those of ROS' camera_info."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from hand_pose_ros.sources.realsense_sdk import CameraError, sdk
from hand_pose_ros.types import DoubleArray, Intrinsics

# Points of the image, per axis, through which plumb_bob is laid.
_GRID: Final = 12


def intrinsics_from(told: Any) -> Intrinsics:
    """Of an `rs.intrinsics`.

    Brown-Conrady's coefficients are plumb_bob's; to the inverse model (the colour of D400 cameras) plumb_bob is fitted.

    Raises:
        CameraError: a fisheye's or another model that camera_info's plumb_bob cannot hold.
    """
    name = str(told.model).rpartition(".")[2].partition(":")[0]
    coefficients = np.asarray(told.coeffs, dtype=np.float64)
    if not coefficients.any() or name in ("none", "brown_conrady", "modified_brown_conrady"):
        distortion = coefficients
    elif name == "inverse_brown_conrady":
        distortion = plumb_bob_of(told)
    else:
        raise CameraError(
            f"camera: expected the distortion model brown_conrady or inverse_brown_conrady, got {name}; use a "
            "pinhole camera's stream (D400, L500)"
        )
    given = tuple(distortion.tolist()) if distortion.any() else ()
    return Intrinsics(told.fx, told.fy, told.ppx, told.ppy, told.width, told.height, given)


def plumb_bob_of(told: Any) -> DoubleArray:
    """plumb_bob's k1, k2, p1, p2, k3 (5,) of a camera whose pixels the SDK can turn into rays.

    What the coefficients of the inverse model mean has changed between versions of the SDK, so it is asked. With known
    rays plumb_bob is linear in its coefficients: least squares over a grid of pixels.
    """
    rs = sdk()
    pixels = [(u, v) for v in np.linspace(0, told.height - 1, _GRID) for u in np.linspace(0, told.width - 1, _GRID)]
    rays = [rs.rs2_deproject_pixel_to_point(told, [float(u), float(v)], 1.0) for u, v in pixels]
    x, y = np.array(rays, dtype=np.float64)[:, :2].T
    xd, yd = ((np.array(pixels) - (told.ppx, told.ppy)) / (told.fx, told.fy)).T
    s = x * x + y * y
    columns_x = (x * s, x * s**2, 2 * x * y, s + 2 * x * x, x * s**3)
    columns_y = (y * s, y * s**2, s + 2 * y * y, 2 * x * y, y * s**3)
    equations = np.concatenate([np.stack(columns_x, axis=1), np.stack(columns_y, axis=1)])
    found: DoubleArray = np.linalg.lstsq(equations, np.concatenate([xd - x, yd - y]), rcond=None)[0]
    return found
