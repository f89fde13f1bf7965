"""Lenses that bend straight lines: rays of their pixels, and images as a pinhole camera would have taken them.

Models are those of `sensor_msgs/distortion_models.h`: plumb_bob (Brown-Conrady, 4 or 5 coefficients) and
rational_polynomial (8, 12 or 14), which OpenCV computes alike, and equidistant (4, Kannala and Brandt 2006), OpenCV's
fisheye model.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from hand_pose_ros.types import ByteArray, DoubleArray, FloatArray, Intrinsics, InvalidData

# Model names as drivers write them -> numbers of coefficients.
MODELS: Final = {
    "": (4, 5, 8, 12, 14),
    "plumb_bob": (4, 5),
    "rational_polynomial": (8, 12, 14),
    "equidistant": (4,),
    "fisheye": (4,),
}
_FISHEYE: Final = ("equidistant", "fisheye")
# The inverse has no formula; OpenCV's five rounds leave tenths of a pixel with a strong lens, so we go on.
_ROUNDS: Final = 20
_PRECISE: Final = 1e-4  # pixels


def pinhole(camera: Intrinsics) -> Intrinsics:
    """The same camera without its lens: what `Rectifier` gives images of."""
    return dataclasses.replace(camera, distortion=(), distortion_model="") if camera.distortion else camera


def check_lens(camera: Intrinsics) -> None:
    """Raises `InvalidData` for a distortion that cannot be taken out."""
    if not camera.distortion:
        return
    if camera.distortion_model not in MODELS:
        raise InvalidData(
            "camera_info: expected distortion model plumb_bob, rational_polynomial or equidistant, got "
            f"{camera.distortion_model!r}; rectify the images (image_proc) and use the rectified topic"
        )
    if len(camera.distortion) not in MODELS[camera.distortion_model]:
        wanted = " or ".join(map(str, MODELS[camera.distortion_model]))
        raise InvalidData(
            f"camera_info: expected {wanted} coefficients of {camera.distortion_model or 'plumb_bob'}, got "
            f"{len(camera.distortion)}; calibrate the camera anew"
        )
    if not np.isfinite(camera.distortion).all():
        raise InvalidData("camera_info: expected finite distortion coefficients, got others; calibrate the camera anew")


def rays(camera: Intrinsics) -> FloatArray:
    """The direction (H * W, 3) of every pixel, z = 1, row by row.

    Raises:
        InvalidData: a distortion that cannot be taken out.
    """
    check_lens(camera)
    u, v = np.meshgrid(np.arange(camera.width, dtype=np.float64), np.arange(camera.height, dtype=np.float64))
    if camera.distortion:
        xy = undistort_pixels(np.stack([u, v], axis=-1).reshape(-1, 2), camera)
        x, y = (xy[:, 0] - camera.cx) / camera.fx, (xy[:, 1] - camera.cy) / camera.fy
    else:
        x, y = (u.ravel() - camera.cx) / camera.fx, (v.ravel() - camera.cy) / camera.fy
    return np.stack([x, y, np.ones_like(x)], axis=1).astype(np.float32)


def undistort_pixels(pixels: FloatArray | DoubleArray, camera: Intrinsics) -> DoubleArray:
    """Pixels (N, 2) of the image as it is -> pixels (N, 2) of the rectified image."""
    points = np.ascontiguousarray(pixels, dtype=np.float64).reshape(-1, 1, 2)
    lens = np.array(camera.distortion)
    if camera.distortion_model in _FISHEYE:
        straight = cv2.fisheye.undistortPoints(points, camera.matrix, lens, P=camera.matrix)
    else:
        straight = cv2.undistortPoints(points, camera.matrix, lens, P=camera.matrix)
    return _refined(np.asarray(straight, dtype=np.float64).reshape(-1, 2), points.reshape(-1, 2), camera)


def _refined(straight: DoubleArray, bent: DoubleArray, camera: Intrinsics) -> DoubleArray:
    """Rectified pixels (N, 2), moved until the lens takes them to `bent`."""
    for _ in range(_ROUNDS):
        error = _bend(straight, camera) - bent
        if np.abs(error).max(initial=0.0) < _PRECISE:
            break
        straight = straight - error
    return straight


def _bend(pixels: DoubleArray, camera: Intrinsics) -> DoubleArray:
    """Rectified pixels (N, 2) -> pixels (N, 2) of the image as it is."""
    points = np.ones((len(pixels), 1, 3))
    points[:, 0, :2] = (pixels - (camera.cx, camera.cy)) / (camera.fx, camera.fy)
    given = (points, np.zeros(3), np.zeros(3), camera.matrix, np.array(camera.distortion))
    module = cv2.fisheye if camera.distortion_model in _FISHEYE else cv2
    return np.asarray(module.projectPoints(*given)[0], dtype=np.float64).reshape(-1, 2)


class Rectifier:
    """Images of one lens as the pinhole camera `camera` (same focal length, centre and size) would take them.

    Without distortion images pass through as they are.

    Raises:
        InvalidData: a distortion that cannot be taken out.
    """

    def __init__(self, lens: Intrinsics) -> None:
        check_lens(lens)
        self.lens = lens
        self.camera = pinhole(lens)
        self._maps: tuple[NDArray[Any], NDArray[Any]] | None = None
        self._nearest: tuple[NDArray[Any], NDArray[Any]] | None = None
        if lens.distortion:
            given = (lens.matrix, np.array(lens.distortion), np.eye(3), lens.matrix, (lens.width, lens.height))
            maps = cv2.fisheye if lens.distortion_model in _FISHEYE else cv2
            x, y = maps.initUndistortRectifyMap(*given, cv2.CV_32FC1)
            # Fixed point: remap of colour takes a third of the time.
            self._maps = cv2.convertMaps(x, y, cv2.CV_16SC2)
            self._nearest = cv2.convertMaps(x, y, cv2.CV_16SC2, nninterpolation=True)

    def color(self, image: ByteArray) -> ByteArray:
        """(H, W, 3) uint8; black where the lens did not see."""
        if self._maps is None:
            return image
        return np.asarray(cv2.remap(image, *self._maps, cv2.INTER_LINEAR), dtype=np.uint8)

    def depth(self, image: FloatArray) -> FloatArray:
        """(H, W) float32 metres along z, which a lens does not change; 0 where the lens did not see.

        The nearest reading is taken: a mean over an edge would be a place where nothing is.
        """
        if self._nearest is None:
            return image
        return np.asarray(cv2.remap(image, *self._nearest, cv2.INTER_NEAREST), dtype=np.float32)
