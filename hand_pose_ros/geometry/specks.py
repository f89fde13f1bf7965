"""Specks of depth: small patches in front of a hand that no surface holds, as structured light leaves them.

Beside fingers an SR305 gives patches of some readings 50 to 80 mm nearer than the hand. A network that sums up readings
is drawn towards them. What lies behind the hand, or hardly before it, is left alone: networks have learnt from such
noise, and it may be a part of the hand.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from hand_pose_ros.types import FloatArray

# Metres: how far in front of the hand's middle a speck begins, and the step that parts it from what is beside it.
_IN_FRONT: Final = 0.04
_STEP: Final = 0.03
# Square metres: 24 pixels of 2 mm. A fingertip that points at the camera has twice that.
_LARGEST: Final = 92e-6
# What OpenCV compares: quarters of a millimetre, up to 8 m.
_PER_METRE: Final = 4000.0
_FARTHEST: Final = 8.0


def remove_specks(depth: FloatArray, middle: float, reach: float) -> int:
    """Set the readings of specks to 0, in place.

    Args:
        depth: (S, S) float32 metres, 0 = no reading, of a crop as `geometry.crop` makes it.
        middle: depth of the hand's middle in metres.
        reach: half the edge of the crop's cube in metres; nothing nearer matters.

    Returns:
        how many readings there were.
    """
    front = cv2.inRange(depth, max(middle - reach, 1e-3), middle - _IN_FRONT)
    if middle > _FARTHEST or cv2.countNonZero(front) == 0:
        return 0
    steps = np.minimum(_PER_METRE * depth, np.float32(np.iinfo(np.int16).max)).astype(np.int16)
    pixel = 2 * reach / len(depth)
    cv2.filterSpeckles(steps, 0, int(_LARGEST / pixel**2), _PER_METRE * _STEP)
    gone = (steps == 0) & (front > 0)
    depth[gone] = 0
    return int(np.count_nonzero(gone))
