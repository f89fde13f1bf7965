"""The part of the image that a hand covers."""

from __future__ import annotations

from typing import Final

import numpy as np

from hand_pose_ros.types import BoundingBox, DoubleArray, Intrinsics

# Around the joints' own box, as a part of its longer edge: joints lie inside the skin.
MARGIN: Final = 0.15


def box_around(pixels: DoubleArray, camera: Intrinsics) -> BoundingBox | None:
    """The box around pixels (N, 2) with a margin, cut to the image; None where it lies outside."""
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    margin = MARGIN * float((high - low).max())
    left, top = np.maximum(low - margin, 0.0)
    right, bottom = np.minimum(high + margin, (camera.width - 1.0, camera.height - 1.0))
    if right <= left or bottom <= top:
        return None
    return BoundingBox(float(left), float(top), float(right - left), float(bottom - top))
