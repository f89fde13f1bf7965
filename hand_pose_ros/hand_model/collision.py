"""A cheap test whether a hand passes through itself: capsules along the bones."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from hand_pose_ros.skeleton import BONES, TIPS

Array = NDArray[np.float32]

# Bones as joints of the 21 in MANO's order with tips (thumb 16, index 17, middle 18, ring 19, little 20), and radii in
# metres (the bundled hand's half breadths less about 1.5 mm of soft tissue). The last four are the palm.
_CHAINS: Final = ((13, 14, 15, 16), (1, 2, 3, 17), (4, 5, 6, 18), (10, 11, 12, 19), (7, 8, 9, 20))
_RADII: Final = (
    (0.0095, 0.0090, 0.0072),
    (0.0080, 0.0072, 0.0058),
    (0.0080, 0.0073, 0.0060),
    (0.0076, 0.0068, 0.0056),
    (0.0068, 0.0060, 0.0050),
)
_PALM: Final = ((0, 1), (0, 4), (0, 10), (0, 7))
_PALM_RADIUS: Final = 0.0105
_PALM_DROP: Final = 0.003  # the palm's middle lies this far in front of the metacarpals, metres


def _tables() -> tuple[NDArray[np.intp], Array, NDArray[np.intp]]:
    bones = [(chain[k], chain[k + 1]) for chain in _CHAINS for k in range(3)] + list(_PALM)
    radii = [r for row in _RADII for r in row] + [_PALM_RADIUS] * 4
    pairs = []
    for i in range(15):
        for j in range(i + 1, 15):
            # Neighbours' proximal phalanges are joined by the web; the thumb's metacarpal lies in the palm.
            both_proximal = i % 3 == 0 and j % 3 == 0
            if i // 3 != j // 3 and not both_proximal:
                pairs.append((i, j))
        if i % 3 == 2 or i == 1:
            pairs += [(i, palm) for palm in range(15, 19)]
    return np.array(bones, dtype=np.intp), np.array(radii, dtype=np.float32), np.array(pairs, dtype=np.intp)


_BONES, _BONE_RADII, _PAIRS = _tables()


def penetration(joints: Array) -> Array:
    """How deep the worst pair of bones' capsules overlap, metres, (N,): 0 where the hand is free of itself.

    joints (N, 21, 3): as from `anatomy.joints_of_poses`, wrist frame of a right hand.
    """
    starts, ends = joints[:, _BONES[:, 0]].copy(), joints[:, _BONES[:, 1]].copy()
    # A fingertip is skin; its capsule's axis ends one radius before it.
    last = np.arange(2, 15, 3)
    along = ends[:, last] - starts[:, last]
    along /= np.linalg.norm(along, axis=-1, keepdims=True)
    ends[:, last] -= along * _BONE_RADII[last, None]
    starts[:, 15:, 1] -= _PALM_DROP
    ends[:, 15:, 1] -= _PALM_DROP
    first, second = _PAIRS[:, 0], _PAIRS[:, 1]
    distance = segment_distance(starts[:, first], ends[:, first], starts[:, second], ends[:, second])
    overlap = _BONE_RADII[first] + _BONE_RADII[second] - distance
    return np.asarray(np.maximum(overlap.max(axis=1), 0.0))


def segment_distance(a: Array, b: Array, c: Array, d: Array) -> Array:
    """Distance between the segments a-b and c-d, (..., 3) each (Ericson 2005, section 5.1.9)."""
    u, v, w = b - a, d - c, a - c
    uu, vv, uv = (u * u).sum(-1), (v * v).sum(-1), (u * v).sum(-1)
    uw, vw = (u * w).sum(-1), (v * w).sum(-1)
    determinant = uu * vv - uv * uv
    parallel = determinant < 1e-12
    s = np.clip(np.where(parallel, 0.0, (uv * vw - uw * vv) / np.where(parallel, 1.0, determinant)), 0.0, 1.0)
    t = np.clip((uv * s + vw) / np.maximum(vv, 1e-12), 0.0, 1.0)
    s = np.clip((uv * t - uw) / np.maximum(uu, 1e-12), 0.0, 1.0)
    gap = w + s[..., None] * u - t[..., None] * v
    return np.asarray(np.sqrt((gap * gap).sum(-1)))


# Balls along a bone, 8 mm apart at most.
_STEPS: Final = 5
_FROM, _TO = np.array(BONES).T
# Bone j - 1 ends at joint j; the first of each finger lies in the palm.
_BALL_RADII: Final = np.array([r for row in _RADII for r in (_PALM_RADIUS, *row)], dtype=np.float32)


def balls(joints: Array) -> tuple[Array, Array]:
    """A hand as balls along its bones: centres (N, 3) and radii (N,) for joints (21, 3) in canonical order.

    For tests against other things; of the palm only what lies along its bones.
    """
    start, end = joints[_FROM], joints[_TO].copy()
    tips = np.asarray(TIPS) - 1
    along = end[tips] - start[tips]
    end[tips] -= along * (_BALL_RADII[tips, None] / np.linalg.norm(along, axis=-1, keepdims=True))
    share = np.linspace(0.0, 1.0, _STEPS, dtype=np.float32)[:, None, None]
    centres = start + share * (end - start)
    return np.asarray(centres.reshape(-1, 3)), np.tile(_BALL_RADII, _STEPS)
