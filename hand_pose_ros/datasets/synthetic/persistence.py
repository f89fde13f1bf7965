"""Depth that stays as it was where nothing moves, as a camera's temporal filter gives it."""

from __future__ import annotations

import numpy as np

from hand_pose_ros.types import FloatArray, check_array


def still_noise(
    measured: FloatArray,
    ideal: FloatArray,
    previous_measured: FloatArray,
    previous_ideal: FloatArray,
    tolerance: float = 0.0005,
) -> FloatArray:
    """`measured` with the previous reading wherever the true surface has not moved, as persistence filters do.

    Args:
        measured: (H, W) metres, what the sensor gives now.
        ideal: (H, W) metres, the true depth now.
        previous_measured: what this function gave for the frame before.
        previous_ideal: the true depth of the frame before.
        tolerance: metres by which a surface may move and count as still.
    """
    for name, image in (("ideal", ideal), ("previous_measured", previous_measured), ("previous_ideal", previous_ideal)):
        check_array(name, image, measured.shape, np.float32)
    still = np.abs(ideal - previous_ideal) <= tolerance
    return np.where(still, previous_measured, measured).astype(np.float32)
