"""How long the bones of human hands are: the range a believable estimate falls into."""

from __future__ import annotations

from typing import Final

import numpy as np

from hand_pose_ros.skeleton import FINGERS
from hand_pose_ros.types import DoubleArray

# Mean and standard deviation in mm: Buryanov and Kotiuk 2010, "Proportions of hand segments", Int. J. Morphol. 28(3),
# adults. Per finger the bones from base to tip; the thumb's metacarpal moves and is its first finger bone here.
_METACARPALS_MM: Final = {
    "index": (68.12, 6.27),
    "middle": (64.60, 5.38),
    "ring": (58.00, 5.06),
    "little": (53.69, 4.36),
}
_PHALANGES_MM: Final = {
    "thumb": ((46.22, 3.94), (31.57, 3.13), (21.67, 1.60)),
    "index": ((39.78, 4.94), (22.38, 2.51), (15.82, 2.26)),
    "middle": ((44.63, 3.81), (26.33, 3.00), (17.40, 1.85)),
    "ring": ((41.37, 3.87), (25.65, 3.29), (17.30, 2.22)),
    "little": ((32.74, 2.77), (18.11, 2.54), (15.96, 2.45)),
}
# Soft tissue beyond the last bone.
_TIP_MM: Final = (3.0, 5.0)
# From the wrist joint to the metacarpals' bases. Wide, because the "wrist" of hand models lies anywhere between the
# radius and the capitate; the thumb's base joint is beside the carpus.
_CARPUS_MM: Final = (18.0, 38.0)
_THUMB_BASE_MM: Final = (18.0, 48.0)
_SIGMAS: Final = 3.0


def bone_ranges() -> DoubleArray:
    """(20, 2) lowest and highest plausible length in metres of the bones in `skeleton.BONES`.

    Three standard deviations around the mean of adults.
    """
    ranges: list[tuple[float, float]] = []
    for finger in FINGERS:
        if finger == "thumb":
            ranges.append(_THUMB_BASE_MM)
        else:
            low, high = _around(_METACARPALS_MM[finger])
            ranges.append((low + _CARPUS_MM[0], high + _CARPUS_MM[1]))
        *inner, (low, high) = (_around(bone) for bone in _PHALANGES_MM[finger])
        ranges += [*inner, (low + _TIP_MM[0], high + _TIP_MM[1])]
    return np.array(ranges) / 1000.0


def _around(bone: tuple[float, float]) -> tuple[float, float]:
    mean, std = bone
    return mean - _SIGMAS * std, mean + _SIGMAS * std
