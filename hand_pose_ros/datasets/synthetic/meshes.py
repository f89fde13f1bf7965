"""Unit meshes of the primitives, made once.

A vertex is (position 3, normal 3, t). The shader places it at `position * (1, 1, cap) * s(t) + (0, 0, t)` with
s(t) = 1 + (taper - 1) t + bulge sin(pi t), then applies the primitive's affine transform. So boxes and spheres (t = 0)
are centred on the origin with half size 1; cylinders, capsules and cups run from local z = 0 to 1 with radius 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hand_pose_ros.datasets.synthetic.spec import Shape
from hand_pose_ros.types import FloatArray

IndexArray = NDArray[np.int32]
SEGMENTS = 20


@dataclass(frozen=True)
class UnitMesh:
    """vertices (N, 7) float32: position, normal, t; indices (M, 3) int32."""

    vertices: FloatArray
    indices: IndexArray


def _grid_indices(rows: int, columns: int) -> IndexArray:
    """Triangles of a grid of rows x columns vertices."""
    first = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).reshape(-1)
    quads = np.stack([first, first + columns, first + columns + 1, first, first + columns + 1, first + 1], axis=1)
    return quads.reshape(-1, 3).astype(np.int32)


def _revolved(profile: list[tuple[float, float, float, float, float]]) -> UnitMesh:
    """Turn a profile of (radius, z, normal radial, normal z, t) around z."""
    angle = np.linspace(0.0, 2.0 * np.pi, SEGMENTS + 1)
    rows = []
    for radius, z, normal_radial, normal_z, t in profile:
        ones = np.ones_like(angle)
        columns = [radius * np.cos(angle), radius * np.sin(angle), z * ones]
        normals = [normal_radial * np.cos(angle), normal_radial * np.sin(angle), normal_z * ones]
        rows.append(np.stack([*columns, *normals, t * ones], axis=1))
    vertices = np.concatenate(rows).astype(np.float32)
    return UnitMesh(vertices, _grid_indices(len(profile), SEGMENTS + 1))


def _box() -> UnitMesh:
    vertices: list[NDArray[np.float64]] = []
    indices: list[tuple[int, int, int]] = []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            normal = np.zeros(3)
            normal[axis] = sign
            u, v = np.roll(np.eye(3), 1, axis=0)[axis], np.roll(np.eye(3), 2, axis=0)[axis]
            base = len(vertices)
            for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
                vertices.append(np.concatenate([normal + a * u + b * v, normal, [0.0]]))
            indices += [(base, base + 1, base + 2), (base, base + 2, base + 3)]
    return UnitMesh(np.array(vertices, dtype=np.float32), np.array(indices, dtype=np.int32))


def _sphere() -> UnitMesh:
    polar = np.linspace(0.0, np.pi, 13)
    return _revolved([(float(np.sin(a)), -float(np.cos(a)), float(np.sin(a)), -float(np.cos(a)), 0.0) for a in polar])


def _cylinder() -> UnitMesh:
    return _revolved(
        [(0, 0, 0, -1, 0), (1, 0, 0, -1, 0), (1, 0, 1, 0, 0), (1, 0, 1, 0, 1), (1, 0, 0, 1, 1), (0, 0, 0, 1, 1)]
    )


def _capsule() -> UnitMesh:
    lower = [(float(np.cos(a)), float(np.sin(a))) for a in np.linspace(-np.pi / 2, 0.0, 6)]
    profile = [(radial, z, radial, z, 0.0) for radial, z in lower]
    profile += [(1.0, 0.0, 1.0, 0.0, float(t)) for t in np.linspace(0.0, 1.0, 8)[1:-1]]
    profile += [(radial, -z, radial, -z, 1.0) for radial, z in reversed(lower)]
    return _revolved(profile)


def _cup() -> UnitMesh:
    wall = 0.88
    outside = [
        (0, 0, 0, -1, 0),
        (1, 0, 0, -1, 0),
        (1, 0, 1, 0, 0),
        (1, 0, 1, 0, 1),
        (1, 0, 0, 1, 1),
        (wall, 0, 0, 1, 1),
    ]
    inside = [(wall, 0, -1, 0, 1), (wall, 0, -1, 0, 0.06), (wall, 0, 0, 1, 0.06), (0, 0, 0, 1, 0.06)]
    return _revolved([*outside, *inside])


def _plane() -> UnitMesh:
    corners = [(-1, -1, 0), (1, -1, 0), (1, 1, 0), (-1, 1, 0)]
    vertices = np.array([[*corner, 0, 0, -1, 0] for corner in corners], dtype=np.float32)
    return UnitMesh(vertices, np.array([[0, 1, 2], [0, 2, 3]], dtype=np.int32))


def unit_meshes() -> dict[Shape, UnitMesh]:
    """One mesh per shape."""
    return {
        Shape.BOX: _box(),
        Shape.SPHERE: _sphere(),
        Shape.CYLINDER: _cylinder(),
        Shape.CAPSULE: _capsule(),
        Shape.CUP: _cup(),
        Shape.PLANE: _plane(),
    }


def vertex_fans(faces: NDArray[np.int64], count: int) -> IndexArray:
    """(count, N, 2): for each vertex the other two corners of its faces, in the faces' order; twice itself where a
    vertex has fewer than N faces. The sum of the corners' cross products about the vertex is its normal."""
    corner = faces.T.reshape(-1)
    others = np.concatenate([faces[:, [1, 2]], faces[:, [2, 0]], faces[:, [0, 1]]])
    order = np.argsort(corner, kind="stable")
    sizes = np.bincount(corner, minlength=count)
    place = np.arange(len(corner)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    fans = np.repeat(np.arange(count, dtype=np.int32), 2 * int(sizes.max())).reshape(count, -1, 2)
    fans[corner[order], place] = others[order]
    return fans
