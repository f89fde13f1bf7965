"""How large a person's hand is, learnt while there is depth, so that its distance stays right when there is none."""

from __future__ import annotations

from typing import Final

import numpy as np

from hand_pose_ros.geometry.lifting import Root

# Frames that are remembered: hands do not grow, but a wrong start must fade.
MEMORY: Final = 90
# Fewer joints with depth say too little; other ratios are no hand's.
LEAST_SUPPORT: Final = 10
RATIOS: Final = (0.65, 1.5)
# Frames after which a size is believed.
SETTLED: Final = 3
# What a learnt size leaves open: bones are not longer or shorter alike in every pose (as a part of the distance).
KNOWN_SPREAD: Final = 0.02


class HandSize:
    """The ratio of a hand's measured distance to the one that its assumed size tells."""

    def __init__(self) -> None:
        self._ratio, self._variance, self._frames = 1.0, 0.0, 0

    @property
    def ratio(self) -> float:
        """How much larger the hand is than assumed; 1 until it is known."""
        return self._ratio if self._frames >= SETTLED else 1.0

    def learn(self, told: Root, measured: Root) -> None:
        """Take a frame in which the distance is measured by depth and told by size."""
        ratio = measured.z / told.z
        if measured.support < LEAST_SUPPORT or not RATIOS[0] <= ratio <= RATIOS[1]:
            return
        self._frames = min(self._frames + 1, MEMORY)
        error = ratio - self._ratio
        self._ratio += error / self._frames
        # Welford's: the first frame has no scatter.
        self._variance += (error * (ratio - self._ratio) - self._variance) / self._frames

    def corrected(self, told: Root) -> Root:
        """What the size tells, as far as this hand's own size is known; its deviation shrinks as that is learnt."""
        if not self._frames:
            return told
        # Its own scatter about the mean is what the next frame's ratio will be off by.
        learnt = np.hypot(KNOWN_SPREAD, np.sqrt(self._variance)) + (0.1 if self._frames < SETTLED else 0.0)
        std = min(told.std * self._ratio, float(learnt) * told.z * self._ratio)
        return Root(told.z * self._ratio, std, told.support)
