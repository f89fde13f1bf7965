"""Normals of a mesh."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hand_pose_ros.types import FloatArray


def vertex_normals(vertices: FloatArray, faces: NDArray[np.int64]) -> FloatArray:
    """Area-weighted unit normals (V, 3) of a triangle mesh (V, 3), (F, 3)."""
    a, b, c = vertices[faces[:, 0]], vertices[faces[:, 1]], vertices[faces[:, 2]]
    p, q = b - a, c - a
    face_normals = np.empty_like(p)
    face_normals[:, 0] = p[:, 1] * q[:, 2] - p[:, 2] * q[:, 1]
    face_normals[:, 1] = p[:, 2] * q[:, 0] - p[:, 0] * q[:, 2]
    face_normals[:, 2] = p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]
    corner = faces.T.reshape(-1)
    summed = np.stack(
        [np.bincount(corner, np.tile(face_normals[:, axis], 3), minlength=len(vertices)) for axis in range(3)], axis=1
    )
    length = np.sqrt((summed * summed).sum(axis=1, keepdims=True))
    normals: FloatArray = (summed / np.maximum(length, 1e-12)).astype(np.float32)
    return normals
