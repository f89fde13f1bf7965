"""Depth as a network of two hands reads it beside colour: how far things lie behind the nearest of the crop's middle.

Hands are what is nearest in the middle of a crop that was cut around them. Depths from there on say how they are
turned, which is in front, and where they end, at any distance from the camera.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from hand_pose_ros.types import FloatArray

# Its maps: depth behind the reference, and where there is a reading.
RELIEF_MAPS: Final = 2
# What the metadata of a model file says of such an input.
RELIEF_MEANING: Final = (
    "of the crop's depth: (depth - r - 0.1 m) / 0.15 m within -2 and 2, r nearer than 90 % of the readings of the "
    "middle three fifths; and 1 where there is a reading; all 0 without depth"
)
# The middle is what is left without this part of the side all around.
_BORDER: Final = 0.2
# The reference is nearer than all but this share of the middle's readings: not the one that is nearest of all, which
# may be a flying pixel.
_NEAREST: Final = 0.1
_FEWEST: Final = 20
# Metres behind the reference that are shown as 0, and per unit; cut at two units on either side.
_MIDDLE: Final = 0.1
RELIEF_UNIT: Final = 0.15
RELIEF_LIMIT: Final = 2.0
# What the metadata says of the input that goes with it.
VIEW_MEANING: Final = "of the relief: focal length over the crop's side, and metres that are shown as 0; 0, 0 without"


def relief(depth: FloatArray, out: FloatArray, behind: float = 0.0) -> float:
    """Write the relief of a crop; returns the depth in metres that is shown as 0 (0.0 where all is).

    Args:
        depth: (S, S) float32 metres, 0 = no reading.
        out: (2, S, S) float32: (depth - reference - 0.1 m) / 0.15 m, between -2 and 2, 0 without a reading; and 1 where
            there is one. All 0 where the crop's middle has too few readings, as without a depth camera.
        behind: metres that the reference is moved back (training varies it).
    """
    side = depth.shape[0]
    border = int(_BORDER * side)
    middle = depth[border : side - border, border : side - border]
    readings = middle[middle > 0]
    if len(readings) < _FEWEST:
        out.fill(0.0)
        return 0.0
    rank = int(_NEAREST * len(readings))
    reference = float(np.partition(readings, rank)[rank]) + behind
    shown, there = out
    zero = reference + _MIDDLE
    np.subtract(depth, np.float32(zero), out=shown)
    shown *= np.float32(1.0 / RELIEF_UNIT)
    np.clip(shown, -RELIEF_LIMIT, RELIEF_LIMIT, out=shown)
    np.greater(depth, 0, out=there, casting="unsafe")
    shown *= there
    return zero


def sloping(side: int) -> FloatArray:
    """A relief (2, side, side) to try a network on: a plane that slopes away to the right and, less, downwards."""
    across = np.linspace(-0.5, 0.5, side, dtype=np.float32)
    slope = 0.6 * across[None] + 0.3 * across[:, None]
    return np.stack((slope, np.ones_like(slope)))


def view_of(focal: float, zero: float) -> tuple[float, float]:
    """What tells how large things are that a relief shows: (focal length over the crop's side, metres that are shown as
    0), or (0, 0) where no depth is known (`zero` is 0)."""
    return (focal, zero) if zero > 0 else (0.0, 0.0)
