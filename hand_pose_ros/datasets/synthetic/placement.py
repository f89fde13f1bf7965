"""Rotations and transforms for laying out scenes."""

from __future__ import annotations

import math

import numpy as np

from hand_pose_ros.types import DoubleArray, FloatArray

# Vectors of three are taken apart into plain numbers: numpy's own operations take ten times as long on so few.


def unit(vector: DoubleArray) -> DoubleArray:
    """The vector (3,) with length 1."""
    return np.array(_unit(*vector.tolist()))


def _unit(x: float, y: float, z: float) -> tuple[float, float, float]:
    scale = 1.0 / max(math.sqrt(x * x + y * y + z * z), 1e-9)
    return x * scale, y * scale, z * scale


def cross(a: DoubleArray, b: DoubleArray) -> DoubleArray:
    """The cross product of two vectors (3,)."""
    return np.array(_cross(*a.tolist(), *b.tolist()))


def _cross(ax: float, ay: float, az: float, bx: float, by: float, bz: float) -> tuple[float, float, float]:
    return ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx


def frame_along(direction: DoubleArray, roll: float) -> DoubleArray:
    """A rotation (3, 3) whose third column is `direction` (3,), turned by `roll` radians about it."""
    z = _unit(*direction.tolist())
    x = _unit(*_cross(*((1.0, 0.0, 0.0) if abs(z[0]) < 0.8 else (0.0, 1.0, 0.0)), *z))
    y = _cross(*z, *x)
    cos, sin = math.cos(roll), math.sin(roll)
    return np.array([(cos * a + sin * b, cos * b - sin * a, c) for a, b, c in zip(x, y, z, strict=True)])


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
    ax, ay, az = start.tolist()
    bx, by, bz = end.tolist()
    sx, sy, sz = side_axis.tolist()
    along = (bx - ax, by - ay, bz - az)
    zx, zy, zz = _unit(*along)
    dot = sx * zx + sy * zy + sz * zz
    x = _unit(sx - dot * zx, sy - dot * zy, sz - dot * zz)
    y = _cross(zx, zy, zz, *x)
    wide, thick = radii.tolist()
    columns = zip(x, y, along, (ax, ay, az), strict=True)
    return np.array([(a * wide, b * thick, c, d) for a, b, c, d in columns], dtype=np.float32)
