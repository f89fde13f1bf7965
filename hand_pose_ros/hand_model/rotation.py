"""Axis-angles and rotation matrices, vectorised over leading axes; the dtype is kept."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def axis_angle_to_matrix(axis_angle: Array) -> Array:
    """Rodrigues' formula, (..., 3) radians -> (..., 3, 3)."""
    x, y, z = axis_angle[..., 0], axis_angle[..., 1], axis_angle[..., 2]
    square = x * x + y * y + z * z
    angle = np.sqrt(square)
    small = square < 1e-8
    safe = np.where(small, 1.0, square)
    s = np.where(small, 1.0 - square / 6.0, np.sin(angle) / np.sqrt(safe))
    c = np.where(small, 0.5 - square / 24.0, (1.0 - np.cos(angle)) / safe)
    matrix = np.empty((*axis_angle.shape[:-1], 3, 3), dtype=axis_angle.dtype)
    matrix[..., 0, 0] = 1.0 - c * (y * y + z * z)
    matrix[..., 1, 1] = 1.0 - c * (x * x + z * z)
    matrix[..., 2, 2] = 1.0 - c * (x * x + y * y)
    matrix[..., 0, 1] = c * x * y - s * z
    matrix[..., 1, 0] = c * x * y + s * z
    matrix[..., 0, 2] = c * x * z + s * y
    matrix[..., 2, 0] = c * x * z - s * y
    matrix[..., 1, 2] = c * y * z - s * x
    matrix[..., 2, 1] = c * y * z + s * x
    return matrix


def compose_axis_angles(first: Array, second: Array) -> Array:
    """The axis-angle of R(first) R(second), by quaternions: (..., 3) each, angles in [0, pi]."""
    wa, va = _half(first)
    wb, vb = _half(second)
    ax, ay, az = va[..., 0], va[..., 1], va[..., 2]
    bx, by, bz = vb[..., 0], vb[..., 1], vb[..., 2]
    w = wa * wb - ax * bx - ay * by - az * bz
    v = np.empty(np.broadcast(va, vb).shape, dtype=first.dtype)
    v[..., 0] = wa * bx + wb * ax + ay * bz - az * by
    v[..., 1] = wa * by + wb * ay + az * bx - ax * bz
    v[..., 2] = wa * bz + wb * az + ax * by - ay * bx
    return _quaternion_to_axis_angle(w, v)


def _half(axis_angle: Array) -> tuple[Array, Array]:
    """Scalar and vector part of the unit quaternion."""
    half = 0.5 * np.sqrt((axis_angle * axis_angle).sum(-1))
    # numpy's sinc is sin(pi x) / (pi x).
    return np.cos(half), axis_angle * (0.5 * np.sinc(half / np.pi))[..., None]


def _quaternion_to_axis_angle(w: Array, v: Array) -> Array:
    sine = np.sqrt((v * v).sum(-1))
    angle = 2.0 * np.arctan2(sine, np.abs(w))
    small = sine < 1e-6
    scale = np.where(small, 2.0, angle / np.where(small, 1.0, sine))
    return np.asarray(v * np.where(w < 0, -scale, scale)[..., None], dtype=v.dtype)


def matrix_to_axis_angle(matrix: Array) -> Array:
    """The inverse, angles in [0, pi]: (..., 3, 3) -> (..., 3). Goes through the quaternion (stable near pi too)."""
    m = matrix
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    # The four squared quaternion entries (times 4); start from the largest (Shepperd 1978).
    squares = np.stack([1 + xx + yy + zz, 1 + xx - yy - zz, 1 - xx + yy - zz, 1 - xx - yy + zz], axis=-1)
    a, b, c = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    d, e, f = m[..., 1, 0] + m[..., 0, 1], m[..., 0, 2] + m[..., 2, 0], m[..., 2, 1] + m[..., 1, 2]
    s = squares
    rows = np.stack(
        [
            np.stack([s[..., 0], a, b, c], axis=-1),
            np.stack([a, s[..., 1], d, e], axis=-1),
            np.stack([b, d, s[..., 2], f], axis=-1),
            np.stack([c, e, f, s[..., 3]], axis=-1),
        ],
        axis=-2,
    )
    best = np.argmax(squares, axis=-1)[..., None, None]
    quaternion = np.take_along_axis(rows, best, axis=-2)[..., 0, :]
    quaternion = quaternion / np.linalg.norm(quaternion, axis=-1, keepdims=True)
    return _quaternion_to_axis_angle(quaternion[..., 0], quaternion[..., 1:])
