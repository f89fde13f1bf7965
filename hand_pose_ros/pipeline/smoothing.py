"""The One-Euro filter (Casiez, Roussel and Vogel, CHI 2012) on all joints of a hand at once."""

from __future__ import annotations

import math

import numpy as np

from hand_pose_ros.config import SmoothingConfig
from hand_pose_ros.types import DoubleArray, FloatArray


class OneEuroFilter:
    """Low-pass filter of points (N, 3) metres whose cut-off rises with each point's speed.

    The speed is the length of a point's filtered velocity, so the result does not depend on the axes' directions.
    """

    def __init__(self, config: SmoothingConfig) -> None:
        self.config = config
        self._stamp_ns = 0
        self._points: DoubleArray | None = None
        self._velocity: DoubleArray | None = None

    def __call__(self, points: FloatArray, stamp_ns: int) -> FloatArray:
        """The filtered points (N, 3) at this stamp; the first call gives its own points back.

        Raises:
            ValueError: the stamp is before the last one; make a new filter when time jumps.
        """
        raw = points.astype(np.float64)
        if self._points is None or self._velocity is None:
            self._points, self._velocity = raw, np.zeros_like(raw)
            self._stamp_ns = stamp_ns
            return points
        dt = (stamp_ns - self._stamp_ns) * 1e-9
        if dt < 0:
            raise ValueError(f"One-Euro filter: expected a stamp from {self._stamp_ns} ns on, got {stamp_ns} ns")
        if dt > 0:
            self._step(raw, dt)
            self._stamp_ns = stamp_ns
        return self._points.astype(np.float32)

    def _step(self, raw: DoubleArray, dt: float) -> None:
        assert self._points is not None and self._velocity is not None
        # The derivative is taken against the filtered value, as in the authors' reference implementation.
        velocity = (raw - self._points) / dt
        self._velocity = self._velocity + _alpha(self.config.derivative_cutoff, dt) * (velocity - self._velocity)
        speed = np.linalg.norm(self._velocity, axis=1, keepdims=True)
        cutoff = self.config.min_cutoff + self.config.beta * speed
        self._points = self._points + _alpha(cutoff, dt) * (raw - self._points)


def _alpha(cutoff: DoubleArray | float, dt: float) -> DoubleArray | float:
    # Eq. 3 of the paper: alpha = 1 / (1 + tau / dt), tau = 1 / (2 pi fc), written so that it holds for arrays.
    rate = 2 * math.pi * cutoff * dt
    return rate / (1.0 + rate)
