"""What two looks at one place, as it is and mirrored, tell of the side: numbers for `hand_pose_ros.pipeline.sides`.

A network that knows right hands only shows a left one as the right hand that fits best: joints that bend the wrong way,
a thumb on the wrong side of the palm, votes that scatter where they contradict each other. Each look gives its joints
in the palm's own axes, how that palm stands to the line of sight, and its deviations; the pair, the deviations' ratios.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from hand_pose_ros.skeleton import MCPS, NUM_JOINTS, WRIST
from hand_pose_ros.types import DoubleArray, FloatArray

# Of one look: joints in palm axes, line of sight in palm axes, palm axes in the camera's, deviations.
LOOK_FEATURES: Final = 3 * NUM_JOINTS + 3 + 9 + NUM_JOINTS
# Of a pair as seen from one look: its own, the other's, the ratios per joint and of the means.
PAIR_FEATURES: Final = 2 * LOOK_FEATURES + NUM_JOINTS + 1

_INDEX, _MIDDLE, _LITTLE = MCPS[0], MCPS[1], MCPS[3]
_PALM: Final = [WRIST, *MCPS]
# Brings the numbers near one: a hand's half length (m), and a usual deviation (m).
_LENGTH: Final = 0.05
_DEVIATION: Final = 0.011
_TINY: Final = 1e-9


def pair_features(joints: FloatArray, std: FloatArray) -> FloatArray:
    """Features (N, PAIR_FEATURES) float32 of N pairs of looks, as seen from the first look of each.

    Args:
        joints: (N, 2, 21, 3) metres, of each look in its own camera (of a look for a left hand: the mirrored one), so
            that both looks show right hands. The same pairs with the looks swapped are what a mirror shows.
        std: (N, 2, 21) metres, above 0.
    """
    shape = look_features(joints.reshape(-1, NUM_JOINTS, 3), std.reshape(-1, NUM_JOINTS)).reshape(len(joints), -1)
    per_joint = np.log(std[:, 1] / std[:, 0])
    whole = np.log(std[:, 1].mean(axis=1) / std[:, 0].mean(axis=1))[:, None]
    return np.concatenate([shape, per_joint, whole], axis=1).astype(np.float32)


def look_features(joints: FloatArray, std: FloatArray) -> FloatArray:
    """Features (N, LOOK_FEATURES) float32 of looks: joints (N, 21, 3) metres, std (N, 21) metres."""
    count = len(joints)
    points = joints.astype(np.float64)
    axes = palm_axes(points)
    local = (points - points[:, _PALM].mean(axis=1, keepdims=True)) @ axes / _LENGTH
    sight = _unit(points.mean(axis=1))
    seen = np.einsum("nji,nj->ni", axes, sight)
    parts = [local.reshape(count, -1), seen, axes.reshape(count, -1), np.log(std / _DEVIATION)]
    return np.concatenate(parts, axis=1).astype(np.float32)


def palm_axes(joints: DoubleArray) -> DoubleArray:
    """Axes (N, 3, 3) of palms as columns: across, wrist to middle finger's base, out of the palm's plane."""
    along = _unit(joints[:, _MIDDLE] - joints[:, WRIST])
    normal = _unit(np.cross(joints[:, _INDEX] - joints[:, WRIST], joints[:, _LITTLE] - joints[:, WRIST]))
    across = _unit(np.cross(along, normal))
    return np.stack([across, along, np.cross(across, along)], axis=-1)


def _unit(vectors: DoubleArray) -> DoubleArray:
    unit: DoubleArray = vectors / (np.linalg.norm(vectors, axis=-1, keepdims=True) + _TINY)
    return unit
