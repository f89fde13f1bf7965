"""Where a frame becomes a crop: the cube around a hand as a 128x128 colour and depth image.

The crop of a cube of edge `size` metres centred at `center` maps the cube's cross-section at the centre's depth onto
the whole square: u_crop = (u - u_center) * 128 z / (size fx) + 63.5, likewise v (integer pixels are pixel centres). A
left hand is mirrored on the way: its crop is what a mirror-image camera would see, so that one network serves both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from hand_pose_ros.geometry.camera import mirror_intrinsics, project
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import ByteArray, DoubleArray, FloatArray, Frame, Intrinsics

CROP_SIZE = 128


@dataclass(frozen=True)
class Crop:
    """What a network sees of one hand. All in the (for left hands: mirrored) camera frame.

    Attributes:
        rgb: (128, 128, 3) uint8, all zero when the frame has no colour.
        depth: (128, 128) float32 metres, 0 = no reading or no depth image.
        center: (3,) float32 metres.
        matrix: (3, 3) float64, pixel of the (mirrored) full image -> crop pixel.
        cube: (3,) float32 metres, edge lengths.
        intrinsics: of the (mirrored) full image.
        mirrored: whether x was negated.
    """

    rgb: ByteArray
    depth: FloatArray
    center: FloatArray
    matrix: DoubleArray
    cube: FloatArray
    intrinsics: Intrinsics
    mirrored: bool

    def to_camera(self, points: FloatArray) -> FloatArray:
        """Points (..., 3) of the crop's camera frame in the real camera frame."""
        return mirror_points(points) if self.mirrored else points


def mirror_points(points: FloatArray) -> FloatArray:
    """Camera points (..., 3) as a mirror-image camera sees them: x negated."""
    mirrored = points.copy()
    mirrored[..., 0] *= -1
    return mirrored


def crop_matrix(camera: Intrinsics, center: FloatArray, size: float, pixels: int = CROP_SIZE) -> DoubleArray:
    """The affine map (3, 3) full-image pixel -> crop pixel for a cube of edge `size` metres at `center` (z > 0)."""
    u, v = project(center, camera)
    scale = pixels * float(center[2]) / size
    half = (pixels - 1) / 2
    ku, kv = scale / camera.fx, scale / camera.fy
    return np.array([[ku, 0.0, half - ku * u], [0.0, kv, half - kv * v], [0.0, 0.0, 1.0]])


class CropBuffers(NamedTuple):
    """Where crops go that are used up before the next one is cut: rgb (S, S, 3) uint8 and depth (S, S) float32."""

    rgb: ByteArray
    depth: FloatArray


def crop_hand(
    frame: Frame,
    center: FloatArray,
    size: float,
    side: Side = Side.RIGHT,
    pixels: int = CROP_SIZE,
    into: CropBuffers | None = None,
) -> Crop:
    """Cut the cube of edge `size` metres around `center` (3,) (real camera frame, z > 0) out of a frame.

    Colour is sampled bilinearly, depth by the nearest pixel (mixing depths invents surfaces). Outside the image both
    are 0. Left hands come out mirrored. With `into` the crop's images are those buffers.

    Raises:
        ValueError: the centre is not in front of the camera.
    """
    if not center[2] > 0:
        raise ValueError(f"crop: expected a centre in front of the camera (z > 0), got {center}")
    mirrored = side is Side.LEFT
    camera = mirror_intrinsics(frame.intrinsics) if mirrored else frame.intrinsics
    middle = mirror_points(center) if mirrored else center
    matrix = crop_matrix(camera, middle, size, pixels)
    warp = matrix @ flip_pixels(camera.width) if mirrored else matrix
    rgb, depth = sample_crop(frame, warp, pixels, into)
    cube = np.full(3, size, dtype=np.float32)
    return Crop(rgb, depth, middle.astype(np.float32), matrix, cube, camera, mirrored)


def flip_pixels(width: int) -> DoubleArray:
    """The affine map (3, 3) of pixels when an image of this width is flipped left to right."""
    return np.array([[-1.0, 0.0, width - 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])


def sample_crop(
    frame: Frame, warp: DoubleArray, pixels: int = CROP_SIZE, into: CropBuffers | None = None
) -> tuple[ByteArray, FloatArray]:
    """Colour (pixels, pixels, 3) and depth (pixels, pixels) of a frame; `warp` (3, 3) takes image to crop pixels."""
    square = (pixels, pixels)
    rgb, depth = into or (np.empty((*square, 3), dtype=np.uint8), np.empty(square, dtype=np.float32))
    for image, target, way in ((frame.color, rgb, cv2.INTER_LINEAR), (frame.depth, depth, cv2.INTER_NEAREST)):
        if image is None:
            target.fill(0)
        else:
            cv2.warpAffine(image, warp[:2], square, dst=target, flags=way)
    return rgb, depth
