"""Places where hands were lost or doubted, which are held in view for a while."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from hand_pose_ros.types import FloatArray

# Hands of one side nearer than this are one; a change of side costs a followed hand as much as so far a move (m).
OTHER_SIDE: Final = 0.08
# Frames for which the window of a followed hand still holds the place of another that was lost there (and is looked at
# whole), or doubted.
PATIENCE: Final = 5
# Frames after that for which a thing that is doubted again at this place is not waited for again.
WARNED: Final = 30


@dataclass
class MissedHand:
    """Where (21, 3) a hand was lost, or `doubted` before it was one, and for how many frames it is waited for."""

    joints: FloatArray
    doubted: bool = False
    frames: int = PATIENCE

    def near(self, joints: FloatArray) -> bool:
        """Whether these (21, 3) are at this place."""
        return float(np.linalg.norm(self.joints.mean(axis=0) - joints.mean(axis=0))) < OTHER_SIDE


class MissedHands:
    """Those of the last frames, in their order."""

    def __init__(self) -> None:
        self._hands: list[MissedHand] = []

    def lose(self, joints: FloatArray) -> None:
        """A followed hand, last seen with these joints (21, 3), was lost."""
        self._hands.append(MissedHand(joints))

    def doubt(self, joints: FloatArray) -> None:
        """What was found with these joints (21, 3) may be no hand; it is waited for once."""
        if not any(missed.near(joints) for missed in self._hands):
            self._hands.append(MissedHand(joints, doubted=True))

    def waited(self, room: int) -> list[MissedHand]:
        """The next frame's: the last ones that are still waited for, at most `room`."""
        for missed in self._hands:
            missed.frames -= 1
        self._hands = [missed for missed in self._hands if missed.frames >= -WARNED]
        waited = [missed for missed in self._hands if missed.frames >= 0]
        return waited[-room:] if room else []

    def clear(self) -> None:
        """Forget all of them."""
        self._hands.clear()
