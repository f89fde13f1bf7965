"""Which windows of the image a network of two hands is shown: hands near each other share one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from hand_pose_ros.geometry.camera import project
from hand_pose_ros.geometry.scene_crop import Window, window_around
from hand_pose_ros.pipeline.outside import box_of
from hand_pose_ros.types import DoubleArray, FloatArray, Intrinsics

# Both hands share a window when it is at most so many times as wide as the larger one's own: each is then seen large
# enough. Hands that shared one stay together a little longer, so that the framing does not flicker.
TOGETHER: Final = 2.5
STAY_TOGETHER: Final = 1.15


def hand_pixels(joints: FloatArray, camera: Intrinsics) -> DoubleArray:
    """Where joints (21, 3) metres, in front of the camera, are seen: (21, 2)."""
    return project(np.maximum(joints, (-np.inf, -np.inf, 0.05)), camera)


def place_pixels(center: FloatArray, camera: Intrinsics) -> DoubleArray:
    """Corners (2, 2) of the box in which a hand at a centre (3,) metres may be seen."""
    box = box_of(center, camera)
    return np.array([[box.x, box.y], [box.x + box.width, box.y + box.height]])


def group(pixels: Sequence[DoubleArray], margin: float, together: bool = False) -> list[tuple[Window, list[int]]]:
    """Windows that hold every hand, and which hands each one holds; the first hands come first.

    Args:
        pixels: of each hand (N, 2), best hand first.
        margin: of a window, see `window_around`.
        together: these hands shared a window before.
    """
    limit = TOGETHER * (STAY_TOGETHER if together else 1.0)
    groups: list[tuple[Window, list[int]]] = []
    for index, places in enumerate(pixels):
        own = window_around(places, margin)
        for position, (_, members) in enumerate(groups):
            if len(members) > 1:
                continue
            first = pixels[members[0]]
            both = window_around(np.concatenate([first, places]), margin)
            if both.side <= limit * max(own.side, window_around(first, margin).side):
                groups[position] = (both, [*members, index])
                break
        else:
            groups.append((own, [index]))
    return groups
