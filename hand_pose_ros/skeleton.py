"""The 21 joints of a hand: names, bones, and the orders other people use.

Canonical order (MediaPipe, OpenPose, DexYCB, FreiHAND): wrist, then thumb, index, middle, ring, little, each
from base to tip. Every dataset and checkpoint is converted at its door with the permutations below, always as
`ours = theirs[X_TO_CANONICAL]` and `theirs = ours[CANONICAL_TO_X]`.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

import numpy as np
from numpy.typing import NDArray

IndexArray = NDArray[np.intp]

NUM_JOINTS: Final = 21
FINGERS: Final = ("thumb", "index", "middle", "ring", "little")


class Side(str, Enum):
    """Which hand: the person's own left or right."""

    LEFT = "left"
    RIGHT = "right"

    @property
    def other(self) -> Side:
        """The opposite side."""
        return Side.RIGHT if self is Side.LEFT else Side.LEFT


JOINT_NAMES: Final[tuple[str, ...]] = (
    "wrist",
    "thumb_cmc",
    "thumb_mcp",
    "thumb_ip",
    "thumb_tip",
    "index_mcp",
    "index_pip",
    "index_dip",
    "index_tip",
    "middle_mcp",
    "middle_pip",
    "middle_dip",
    "middle_tip",
    "ring_mcp",
    "ring_pip",
    "ring_dip",
    "ring_tip",
    "little_mcp",
    "little_pip",
    "little_dip",
    "little_tip",
)
WRIST: Final = 0
TIPS: Final = (4, 8, 12, 16, 20)
MCPS: Final = (5, 9, 13, 17)

# Parent of each joint in the canonical order; -1 marks the root.
PARENTS: Final[tuple[int, ...]] = (-1, 0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11, 0, 13, 14, 15, 0, 17, 18, 19)
# The 20 bones as (parent, child).
BONES: Final[tuple[tuple[int, int], ...]] = tuple((PARENTS[j], j) for j in range(1, NUM_JOINTS))


def _permutation(*indices: int) -> IndexArray:
    array = np.array(indices, dtype=np.intp)
    if sorted(indices) != list(range(NUM_JOINTS)):
        raise ValueError(f"expected a permutation of 0..{NUM_JOINTS - 1}, got {indices}")
    array.setflags(write=False)
    return array


def invert(permutation: IndexArray) -> IndexArray:
    """The permutation that undoes `permutation`."""
    inverse = np.argsort(permutation).astype(np.intp)
    inverse.setflags(write=False)
    return inverse


# InterHand2.6M and Keypoint Transformer, one hand: tips first, wrist last.
INTERHAND_TO_CANONICAL: Final = _permutation(20, 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12, 19, 18, 17, 16)
CANONICAL_TO_INTERHAND: Final = invert(INTERHAND_TO_CANONICAL)

# HO-3D and H2O-3D: the 16 MANO joints (index, middle, little, ring, thumb), then tips thumb..little. This is
# also "MANO native plus tips" here: tips are appended in the order thumb, index, middle, ring, little.
# HO-3D's camera is OpenGL's: negate y and z as well (see `OPENGL_TO_OPTICAL`).
HO3D_TO_CANONICAL: Final = _permutation(0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20)
CANONICAL_TO_HO3D: Final = invert(HO3D_TO_CANONICAL)
MANO_TO_CANONICAL: Final = HO3D_TO_CANONICAL
CANONICAL_TO_MANO: Final = CANONICAL_TO_HO3D

# Keypoint-Fusion's own order: the 16 MANO joints, then tips index, middle, little, ring, thumb.
CANONICAL_TO_KPT_FUSION: Final = _permutation(0, 5, 6, 7, 9, 10, 11, 17, 18, 19, 13, 14, 15, 1, 2, 3, 8, 12, 20, 16, 4)
KPT_FUSION_TO_CANONICAL: Final = invert(CANONICAL_TO_KPT_FUSION)

# RHD, one hand: wrist, then each finger from tip to base. Its own inverse.
RHD_TO_CANONICAL: Final = _permutation(0, 4, 3, 2, 1, 8, 7, 6, 5, 12, 11, 10, 9, 16, 15, 14, 13, 20, 19, 18, 17)
CANONICAL_TO_RHD: Final = invert(RHD_TO_CANONICAL)

# Multiply OpenGL camera coordinates (x right, y up, z backward) by this for the optical frame (and back).
OPENGL_TO_OPTICAL: Final = np.array([1.0, -1.0, -1.0])
OPENGL_TO_OPTICAL.setflags(write=False)
