"""Depth noise stays where nothing moves."""

from __future__ import annotations

import numpy as np
import pytest

from hand_pose_ros.datasets.synthetic.persistence import still_noise
from hand_pose_ros.types import InvalidData


def test_noise_stays_where_nothing_moves() -> None:
    before, now = np.array([[1.0, 1.0, 1.0]], np.float32), np.array([[1.0, 1.0004, 1.01]], np.float32)
    measured = still_noise(now + np.float32(0.005), now, before - np.float32(0.003), before)
    np.testing.assert_allclose(measured, [[0.997, 0.997, 1.015]], atol=1e-6)
    with pytest.raises(InvalidData, match="previous_ideal: expected shape"):
        still_noise(now, now, now, now[:, :2])
