"""Depth images as pictures."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from hand_pose_ros.types import ByteArray, FloatArray, Intrinsics


def depth_range(depth: FloatArray) -> tuple[float, float]:
    """A range (near, far) in metres that shows most readings of (H, W) depth; (0, 1) when there are none."""
    # Every fourth pixel says enough about percentiles.
    sample = depth[::4, ::4]
    readings = sample[sample > 0]
    if readings.size < 2:
        return 0.0, 1.0
    near, far = np.percentile(readings, (1, 97))
    return float(near), float(max(far, near + 0.01))


def colorize_depth(depth: FloatArray, near: float, far: float, colormap: int = cv2.COLORMAP_TURBO) -> ByteArray:
    """(H, W) metres -> (H, W, 3) RGB: the map's end is near; black where there is no reading, clamped to near..far."""
    # Readings take the table's entries 1 (far) to 255 (near); entry 0 is left for "no reading".
    gain = 254.0 / max(far - near, 1e-6)
    index = cv2.addWeighted(depth, -gain, depth, 0.0, 255.0 + near * gain, dtype=cv2.CV_8U)
    index = np.maximum(index, 1)
    index[depth <= 0] = 0
    return np.asarray(cv2.applyColorMap(index, _table(colormap)), dtype=np.uint8)


def shade_depth(depth: FloatArray, intrinsics: Intrinsics) -> ByteArray:
    """(H, W) metres as a surface lit from the camera, (H, W, 3) RGB: slopes are darker, near is warm, far is cold."""
    smooth = cv2.blur(depth, (5, 5))
    distance = np.maximum(smooth, 0.05)
    # Slopes in metres per metre: a pixel is distance / f wide. Sobel's kernel of size 3 sums to 8.
    slope_x = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=3) * (intrinsics.fx / 8.0) / distance
    slope_y = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=3) * (intrinsics.fy / 8.0) / distance
    facing = 1.0 / np.sqrt(1.0 + slope_x * slope_x + slope_y * slope_y)
    near, far = depth_range(depth)
    nearness = np.clip((far - depth) / max(far - near, 1e-6), 0.0, 1.0)
    light = (50.0 + 190.0 * facing) * (0.45 + 0.55 * nearness)
    light[depth <= 0] = 0
    warm = np.float32(0.75) + np.float32(0.25) * nearness
    return np.dstack([light * warm, light * np.float32(0.92), light * (np.float32(1.6) - warm)]).astype(np.uint8)


@lru_cache(maxsize=8)
def _table(colormap: int) -> ByteArray:
    """A colour map as (256, 1, 3) RGB with black at 0."""
    ramp = np.arange(256, dtype=np.uint8).reshape(256, 1)
    table = cv2.cvtColor(cv2.applyColorMap(ramp, colormap), cv2.COLOR_BGR2RGB)
    table[0] = 0
    return np.asarray(table, dtype=np.uint8)
