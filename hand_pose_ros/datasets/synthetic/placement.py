"""Rotations and transforms for laying out scenes."""

from __future__ import annotations

import math

import numpy as np

from hand_pose_ros.types import DoubleArray, FloatArray


def unit(vector: DoubleArray) -> DoubleArray:
    """The vector (3,) with length 1."""
    x, y, z = vector
    return np.asarray(vector / max(math.sqrt(x * x + y * y + z * z), 1e-9))


def cross(a: DoubleArray, b: DoubleArray) -> DoubleArray:
    """The cross product of two vectors (3,): numpy's own is made for arrays and ten times slower here."""
    return np.array([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])


def frame_along(direction: DoubleArray, roll: float) -> DoubleArray:
    """A rotation (3, 3) whose third column is `direction` (3,), turned by `roll` radians about it."""
    z = unit(direction)
    helper = np.array([1.0, 0.0, 0.0]) if abs(z[0]) < 0.8 else np.array([0.0, 1.0, 0.0])
    x = unit(cross(helper, z))
    y = cross(z, x)
    cos, sin = np.cos(roll), np.sin(roll)
    return np.array([cos * x + sin * y, cos * y - sin * x, z]).T


def rotation_about(axis: int, angle: float) -> DoubleArray:
    """(3, 3) rotation by `angle` radians about coordinate axis 0, 1 or 2."""
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.eye(3)
    a, b = (axis + 1) % 3, (axis + 2) % 3
    matrix[a, a] = matrix[b, b] = cos
    matrix[a, b], matrix[b, a] = -sin, sin
    return matrix


def random_rotation(rng: np.random.Generator) -> DoubleArray:
    """Uniform over all rotations."""
    return frame_along(rng.standard_normal(3), float(rng.uniform(0.0, 2.0 * np.pi)))


def affine(rotation: DoubleArray, scale: DoubleArray, translation: DoubleArray) -> FloatArray:
    """(3, 4) float32: scale the local axes, rotate, translate."""
    matrix = np.empty((3, 4), dtype=np.float32)
    matrix[:, :3] = rotation * scale
    matrix[:, 3] = translation
    return matrix


def between(start: DoubleArray, end: DoubleArray, radii: DoubleArray, side_axis: DoubleArray) -> FloatArray:
    """(3, 4) that lays local z = 0..1 from `start` to `end`; local x (half size radii[0]) is near `side_axis`."""
    along = end - start
    z = unit(along)
    x = unit(side_axis - z * float(side_axis @ z))
    y = cross(z, x)
    return np.array([x * radii[0], y * radii[1], along, start], dtype=np.float32).T
