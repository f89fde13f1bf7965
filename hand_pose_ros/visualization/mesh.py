"""A hand's surface drawn into a picture: shaded triangles, far ones first (painter's algorithm)."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hand_pose_ros.geometry.camera import project
from hand_pose_ros.types import ByteArray, FloatArray, Intrinsics
from hand_pose_ros.visualization.palette import Color

# Points given to cv2 in 1/16 pixel.
_SHIFT = 4


def draw_mesh(
    image: ByteArray,
    vertices: FloatArray,
    faces: NDArray[Any],
    intrinsics: Intrinsics,
    color: Color,
    opacity: float = 0.6,
) -> None:
    """Blend the surface `vertices` (V, 3) metres, `faces` (F, 3) counter-clockwise from outside into `image`, in place.

    Lit from the camera. A surface with a vertex behind the camera is not drawn.
    """
    if not (vertices[:, 2] > 0.01).all():
        return
    triangles = vertices[faces]
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    centres = triangles.mean(axis=1)
    length = np.linalg.norm(normals, axis=1) * np.linalg.norm(centres, axis=1)
    facing = -np.einsum("fc,fc->f", normals, centres) / np.maximum(length, 1e-12)
    seen = np.flatnonzero(facing > 0)
    seen = seen[np.argsort(-centres[seen, 2], kind="stable")]
    pixels = project(vertices, intrinsics)
    window = _window(pixels, image)
    if window is None:
        return
    x0, y0, x1, y1 = window
    region = image[y0:y1, x0:x1]
    layer = region.copy()
    points = np.round((pixels - (x0, y0)) * (1 << _SHIFT)).astype(np.int32)[faces[seen]]
    shades = np.outer(0.25 + 0.75 * facing[seen], color).tolist()
    for triangle, shade in zip(points, shades, strict=True):
        cv2.fillConvexPoly(layer, triangle, shade, cv2.LINE_8, _SHIFT)
    # Outside the hand both are equal, so blending changes nothing there.
    cv2.addWeighted(layer, opacity, region, 1.0 - opacity, 0.0, dst=layer)
    image[y0:y1, x0:x1] = layer


def _window(pixels: NDArray[Any], image: ByteArray) -> tuple[int, int, int, int] | None:
    """The part of the image that the pixels (N, 2) touch, or None."""
    height, width = image.shape[:2]
    low = np.maximum(np.floor(pixels.min(axis=0)) - 1, 0).astype(int)
    high = np.minimum(np.ceil(pixels.max(axis=0)) + 2, (width, height)).astype(int)
    if (high <= low).any():
        return None
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])
