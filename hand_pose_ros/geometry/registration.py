"""Depth of one camera as another one beside it would see it: what RealSense calls "aligned depth".

Every reading becomes a point, is moved into the colour camera and covers as many of its pixels as the depth pixel is
wide there, so that a finer colour camera gets no holes; of several readings the nearest wins. Where the depth camera
could not look (the shadow beside a near thing) there is no reading, and none is made up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from hand_pose_ros.geometry.lens import rays
from hand_pose_ros.types import DoubleArray, FloatArray, Intrinsics, InvalidData

# A point nearer (m) to the plane of the colour camera has no pixel there.
_NEAREST: Final = 1e-3


@dataclass(frozen=True, eq=False)
class Extrinsics:
    """From the depth camera's frame to the colour camera's: p_color = rotation (3, 3) @ p_depth + translation (3,)."""

    rotation: DoubleArray
    translation: DoubleArray


class DepthRegistration:
    """Depth images of one camera into another one; tables are made once.

    Args:
        depth_camera: its lens may bend.
        color_camera: a pinhole camera, without distortion.
        extrinsics: from the depth camera's frame to the colour camera's.

    Raises:
        InvalidData: a distortion that cannot be taken out.
    """

    def __init__(self, depth_camera: Intrinsics, color_camera: Intrinsics, extrinsics: Extrinsics) -> None:
        self.depth_camera = depth_camera
        self.color_camera = color_camera
        self.extrinsics = extrinsics
        turned = rays(depth_camera).astype(np.float64) @ np.asarray(extrinsics.rotation, dtype=np.float64).T
        # Homogeneous pixels per metre of depth, and what the translation adds: no division but the one by z.
        k = color_camera.matrix
        self._slope = np.ascontiguousarray((turned @ k.T).T.astype(np.float32))
        self._offset = (k @ np.asarray(extrinsics.translation, dtype=np.float64)).astype(np.float32)
        # Colour pixels per depth pixel where both are equally far away.
        wide = max(color_camera.fx / depth_camera.fx, color_camera.fy / depth_camera.fy)
        self._cover = max(1, math.ceil(wide - 1e-3))
        self._pad = self._cover // 2  # readings just outside cover pixels inside

    def __call__(self, depth: FloatArray) -> FloatArray:
        """(H, W) float32 metres of the depth camera -> (H, W) of the colour camera, 0 where there is no reading.

        Raises:
            InvalidData: an image of another size than the depth camera's.
        """
        if depth.shape != (self.depth_camera.height, self.depth_camera.width):
            camera = self.depth_camera
            raise InvalidData(
                f"depth image: expected {camera.width}x{camera.height}, got {depth.shape[1]}x{depth.shape[0]}"
            )
        pad, cover = self._pad, self._cover
        height, width = self.color_camera.height, self.color_camera.width
        nearest = np.full((height + 2 * pad) * (width + 2 * pad), np.inf, dtype=np.float32)
        _keep_nearest(nearest, *self._project(depth))
        image = nearest.reshape(height + 2 * pad, width + 2 * pad)
        if cover > 1:
            # Each pixel takes the nearest reading of the window that would cover it: the splat of all readings at once.
            image = cv2.erode(image, np.ones((cover, cover), dtype=np.uint8), anchor=(cover // 2, cover // 2))
        image = image[pad : pad + height, pad : pad + width]
        return np.where(np.isfinite(image), image, np.float32(0)).astype(np.float32, copy=False)

    def _project(self, depth: FloatArray) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], FloatArray]:
        """Flat pixels (N,) of the padded colour image in which readings fall, and their z (N,)."""
        flat = depth.ravel()
        seen = np.flatnonzero(flat)
        readings = flat[seen]
        x, y, z = (self._slope[row, seen] * readings + self._offset[row] for row in range(3))
        ahead = z > _NEAREST
        if not ahead.all():
            x, y, z = x[ahead], y[ahead], z[ahead]
        # Windows of an even size have no middle pixel: theirs is the one left of and above the middle.
        shift = np.float32(self._pad - (0.0 if self._cover % 2 else 0.5))
        np.divide(x, z, out=x)
        np.divide(y, z, out=y)
        u, v = np.rint(np.add(x, shift, out=x), out=x), np.rint(np.add(y, shift, out=y), out=y)
        width, height = self.color_camera.width + 2 * self._pad, self.color_camera.height + 2 * self._pad
        inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
        if not inside.all():
            u, v, z = u[inside], v[inside], z[inside]
        # float32 counts to 16.7 million exactly, which is more than the pixels of any depth that we align.
        return (v * np.float32(width) + u).astype(np.int64), z


def _keep_nearest(image: FloatArray, pixels: np.ndarray[tuple[int], np.dtype[np.int64]], z: FloatArray) -> None:
    """image[pixels] = min(image[pixels], z), also where a pixel is named several times.

    (`np.minimum.at` takes 100 times as long before numpy 1.25.) Of several values for one pixel an assignment leaves
    one; those that are still nearer are assigned again, which rarely takes more than three rounds.
    """
    while len(pixels):
        image[pixels] = z
        nearer = z < image[pixels]
        pixels, z = pixels[nearer], z[nearer]
