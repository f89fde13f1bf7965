"""Points spread evenly over the surface of a known object, with their normals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hand_pose_ros.types import DoubleArray, FloatArray, InvalidData

POINTS: Final = 160
# Corners (8, 3) of the unit cube about its middle, and the two triangles of each face, seen from outside against the
# clock.
UNIT_BOX: Final = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
_BOX_FACES: Final = np.array(
    [
        *((0, 1, 3), (0, 3, 2), (4, 6, 7), (4, 7, 5), (0, 4, 5), (0, 5, 1)),
        *((2, 3, 7), (2, 7, 6), (0, 2, 6), (0, 6, 4), (1, 5, 7), (1, 7, 3)),
    ]
)


@dataclass(frozen=True, eq=False)
class Surface:
    """N points of an object's surface in its own frame, each of which stands for as much of it.

    Attributes:
        points: (N, 3) metres.
        normals: (N, 3) unit, outwards.
        area: of all of it, square metres.
    """

    points: FloatArray
    normals: FloatArray
    area: float


def box_surface(extent: FloatArray | DoubleArray, count: int = POINTS) -> Surface:
    """Of a box of `extent` (3,) metres about its middle."""
    return mesh_surface(UNIT_BOX * np.asarray(extent, dtype=np.float64), _BOX_FACES, count)


def mesh_surface(vertices: FloatArray | DoubleArray, faces: NDArray[np.integer[Any]], count: int = POINTS) -> Surface:
    """Of a mesh: (V, 3) metres, triangles (F, 3) seen from outside against the clock.

    Points lie on the R2 sequence within a square that is laid over the triangles one after the other: evenly, without
    chance.

    Raises:
        InvalidData: no triangle has an area.
    """
    a, b, c = (np.asarray(vertices, dtype=np.float64)[faces[:, k]] for k in range(3))
    across = np.cross(b - a, c - a)
    doubled = np.linalg.norm(across, axis=1)
    ends = np.cumsum(doubled)
    if not (len(ends) and np.isfinite(ends[-1]) and ends[-1] > 0):
        raise InvalidData("mesh: expected triangles with an area, found none; export it with its faces")
    index = np.arange(count) + 0.5
    chosen = np.searchsorted(ends, ends[-1] * index / count, side="right").clip(max=len(faces) - 1)
    # Roberts' R2 sequence, folded from the square into the triangle.
    u, v = np.mod(index * 0.7548776662466927, 1.0), np.mod(index * 0.5698402909980532, 1.0)
    over = u + v > 1.0
    u, v = np.where(over, 1.0 - u, u)[:, None], np.where(over, 1.0 - v, v)[:, None]
    points = a[chosen] + u * (b - a)[chosen] + v * (c - a)[chosen]
    normals = across[chosen] / doubled[chosen, None]
    return Surface(points.astype(np.float32), normals.astype(np.float32), 0.5 * float(ends[-1]))
