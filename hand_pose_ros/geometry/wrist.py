"""The wrist frame, defined once.

Origin at the wrist joint. From the palm points (wrist, index, middle and little MCP joints):
z points from the wrist to the middle finger's MCP joint, x is the normal of the palm (wrist, index MCP, little MCP)
and leaves the palm on its inner (flexing) side for the right hand and for the left hand alike, and y = z × x
completes the right-handed frame: it points to the thumb's side on a right hand, to the little finger's on a left.
"""

from __future__ import annotations

import numpy as np

from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import DoubleArray, FloatArray, WristPose

_WRIST, _INDEX, _MIDDLE, _LITTLE = 0, 5, 9, 17


def wrist_rotation(joints: FloatArray | DoubleArray, side: Side) -> DoubleArray:
    """Rotation (3, 3) whose columns are the wrist frame's axes, from joints (21, 3) in canonical order.

    Raises:
        ValueError: the palm points lie on a line, so that there is no palm plane.
    """
    return palm_frame(np.asarray(joints, dtype=np.float64), side, _LITTLE)


def palm_frame(points: DoubleArray, side: Side, edge: int) -> DoubleArray:
    """The same with the palm's plane through the wrist, the index MCP and the joint `edge` on the little finger's side.

    Raises:
        ValueError: these lie on a line.
    """
    to_index = points[_INDEX] - points[_WRIST]
    to_little = points[edge] - points[_WRIST]
    forward = points[_MIDDLE] - points[_WRIST]
    # Seen from the palm's inner side with the fingers up, a right hand's index finger is right of its little finger.
    normal = np.cross(to_index, to_little) if side is Side.RIGHT else np.cross(to_little, to_index)
    z = forward / max(float(np.linalg.norm(forward)), 1e-12)
    x = normal - (normal @ z) * z
    length = float(np.linalg.norm(x))
    if length < 1e-7:
        raise ValueError("wrist frame: the palm joints lie on a line; the estimate is degenerate")
    x = x / length
    return np.stack([x, np.cross(z, x), z], axis=1)


def wrist_pose(joints: FloatArray | DoubleArray, side: Side) -> WristPose:
    """The wrist frame of joints (21, 3) metres as position and quaternion (x, y, z, w)."""
    quaternion = matrix_to_quaternion(wrist_rotation(joints, side))
    position = np.asarray(joints[_WRIST], dtype=np.float32)
    return WristPose(position, quaternion.astype(np.float32))


def matrix_to_quaternion(rotation: DoubleArray) -> DoubleArray:
    """Rotation matrix (3, 3) -> unit quaternion (x, y, z, w) with w >= 0 (Shepperd 1978)."""
    r = np.asarray(rotation, dtype=np.float64)
    diagonal = np.array([r[0, 0], r[1, 1], r[2, 2], np.trace(r)])
    k = int(np.argmax(diagonal))
    if k == 3:
        q = np.array([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], 1.0 + diagonal[3]])
    else:
        i, j, m = k, (k + 1) % 3, (k + 2) % 3
        q = np.empty(4)
        q[i] = 1.0 + r[i, i] - r[j, j] - r[m, m]
        q[j] = r[i, j] + r[j, i]
        q[m] = r[i, m] + r[m, i]
        q[3] = r[m, j] - r[j, m]
    q /= np.linalg.norm(q)
    return q if q[3] >= 0 else -q


def quaternion_to_matrix(quaternion: FloatArray | DoubleArray) -> DoubleArray:
    """Unit quaternions (..., 4), x, y, z, w -> rotation matrices (..., 3, 3)."""
    x, y, z, w = np.moveaxis(np.asarray(quaternion, dtype=np.float64), -1, 0)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    )
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
