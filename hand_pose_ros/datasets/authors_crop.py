"""What Keypoint-Fusion's published loaders make of a sample: the input of `variant="authors"`, slips included.

Millimetres, BGR, a crop box of whole pixels, nearest-neighbour scaling, and left hands mirrored without moving the
principal point. Facts from the authors' code (fact sheet, section 10); our own networks use `geometry.crop` instead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import ByteArray, DoubleArray, FloatArray, Frame, Intrinsics

SIZE: Final = 128
NUM_POINTS: Final = 1024


@dataclass(frozen=True)
class AuthorsInput:
    """One sample as the published network takes it.

    Attributes:
        rgb: (3, 128, 128) float32 in 0..1, **blue, green, red**.
        depth: (1, 128, 128) float32 in [-1, 1] of the cube, 1 = background.
        points: (1024, 3) float32, (xyz - center) / (cube / 2).
        center: (3,) float32 **millimetres**, of the mirrored hand where it was mirrored.
        crop_matrix: (3, 3) float32, full-image pixel -> crop pixel.
        cube: (3,) float32 millimetres.
        intrinsics: (4,) float32 fx, fy, cx, cy.
    """

    rgb: FloatArray
    depth: FloatArray
    points: FloatArray
    center: FloatArray
    crop_matrix: FloatArray
    cube: FloatArray
    intrinsics: FloatArray


def mirror_points_authors(points: FloatArray, camera: Intrinsics) -> FloatArray:
    """Camera points (..., 3) of the flipped image under the *same* intrinsics; its own inverse."""
    mirrored = points.astype(np.float64)
    mirrored[..., 0] = -mirrored[..., 0] + (camera.width - 1 - 2 * camera.cx) / camera.fx * mirrored[..., 2]
    return mirrored.astype(np.float32)


def authors_input(
    frame: Frame,
    center: FloatArray,
    cube_size: float,
    side: Side,
    rng: np.random.Generator,
    *,
    whole_millimetres: bool = True,
    clamp_points: bool = False,
) -> AuthorsInput:
    """Crop, normalise and sample.

    Args:
        frame: with colour and depth.
        center: (3,) metres, real camera frame, in front of the camera.
        cube_size: edge in metres.
        side: left hands are mirrored.
        rng: chooses the points.
        whole_millimetres: the depth file holds whole millimetres (DexYCB); so does then the cut at the cube's face.
        clamp_points: cut the points to [-1, 1] (HO-3D's loader and the demo).

    Raises:
        ValueError: no colour, no depth, or the centre is not in front of the camera.
    """
    if frame.color is None or frame.depth is None:
        raise ValueError("the published network needs colour and depth, got only one of them")
    if not center[2] > 0:
        raise ValueError(f"expected a centre in front of the camera (z > 0), got {center}")
    camera, color, depth = frame.intrinsics, frame.color, frame.depth
    if side is Side.LEFT:
        color, depth, center = color[:, ::-1], depth[:, ::-1], mirror_points_authors(center, camera)
    middle = center.astype(np.float64) * 1000
    cube = cube_size * 1000
    window = _window(camera, middle, cube)
    depth_mm = _cut(_slice(depth, window).astype(np.float64) * 1000, float(middle[2]), cube, whole_millimetres)
    crop, matrix = _fit(depth_mm.astype(np.float32), window)
    picture, _ = _fit(_slice(color, window), window)
    normalised = _normalise(crop, float(middle[2]), cube)
    points = _points(normalised, matrix, camera, middle, cube)
    chosen = _sample(points, rng)
    return AuthorsInput(
        rgb=np.ascontiguousarray(picture[:, :, ::-1].transpose(2, 0, 1), dtype=np.float32) / np.float32(255),
        depth=normalised[None],
        points=np.clip(chosen, -1, 1) if clamp_points else chosen,
        center=middle.astype(np.float32),
        crop_matrix=matrix.astype(np.float32),
        cube=np.full(3, cube, dtype=np.float32),
        intrinsics=np.array([camera.fx, camera.fy, camera.cx, camera.cy], dtype=np.float32),
    )


def to_real_camera(joints_mm: FloatArray, side: Side, camera: Intrinsics) -> FloatArray:
    """The network's joints (21, 3) millimetres back in the real camera frame, in metres."""
    joints = (joints_mm / np.float32(1000)).astype(np.float32)
    return mirror_points_authors(joints, camera) if side is Side.LEFT else joints


def _window(camera: Intrinsics, middle: DoubleArray, cube: float) -> tuple[int, int, int, int]:
    """Left, right, top, bottom pixel borders of the cube's cross-section at its centre."""
    u = middle[0] / middle[2] * camera.fx + camera.cx
    v = middle[1] / middle[2] * camera.fy + camera.cy
    half_u, half_v = cube / 2 * camera.fx / middle[2], cube / 2 * camera.fy / middle[2]
    left, right = math.floor(u - half_u + 0.5), math.floor(u + half_u + 0.5)
    top, bottom = math.floor(v - half_v + 0.5), math.floor(v + half_v + 0.5)
    return left, max(right, left + 1), top, max(bottom, top + 1)


def _slice(image: ByteArray | FloatArray, window: tuple[int, int, int, int]) -> ByteArray | FloatArray:
    """The window with zeros outside the image."""
    left, right, top, bottom = window
    height, width = image.shape[:2]
    out = np.zeros((bottom - top, right - left, *image.shape[2:]), dtype=image.dtype)
    rows = slice(max(top, 0), max(min(bottom, height), 0))
    columns = slice(max(left, 0), max(min(right, width), 0))
    part = image[rows, columns]
    if part.size:
        out[rows.start - top : rows.start - top + part.shape[0], columns.start - left :][:, : part.shape[1]] = part
    return out


def _cut(depth: DoubleArray, z: float, cube: float, whole: bool) -> DoubleArray:
    """Readings in front of the cube are moved to its face, those behind it count as none."""
    near, far = z - cube / 2, z + cube / 2
    cut = depth.copy()
    cut[(depth != 0) & (depth < near)] = math.trunc(near) if whole else near
    cut[depth > far] = 0
    return cut


def _fit(
    image: ByteArray | FloatArray, window: tuple[int, int, int, int]
) -> tuple[ByteArray | FloatArray, DoubleArray]:
    """The window scaled into the middle of a 128x128 canvas, and the map (3, 3) full-image pixel -> canvas pixel."""
    left, right, top, bottom = window
    rows, columns = bottom - top, right - left
    size = (SIZE, int(rows * SIZE / columns)) if columns > rows else (int(columns * SIZE / rows), SIZE)
    size = (max(size[0], 1), max(size[1], 1))
    scaled = cv2.resize(np.ascontiguousarray(image), size, interpolation=cv2.INTER_NEAREST)
    x, y = math.floor(SIZE / 2 - size[0] / 2), math.floor(SIZE / 2 - size[1] / 2)
    canvas = np.zeros((SIZE, SIZE, *image.shape[2:]), dtype=image.dtype)
    canvas[y : y + size[1], x : x + size[0]] = scaled
    scale = size[0] / columns if rows <= columns else size[1] / rows
    matrix = np.array([[scale, 0.0, x - scale * left], [0.0, scale, y - scale * top], [0.0, 0.0, 1.0]])
    return canvas, matrix


def _normalise(depth: ByteArray | FloatArray, z: float, cube: float) -> FloatArray:
    """Millimetres (128, 128) -> [-1, 1]; the crop's largest value counts as background too (so the published code)."""
    values = depth.astype(np.float64)
    background = (values == values.max()) | (values == 0)
    values = np.where(background, z + cube / 2, values).clip(z - cube / 2, z + cube / 2)
    return ((values - z) / (cube / 2)).astype(np.float32)


def _points(depth: FloatArray, matrix: DoubleArray, camera: Intrinsics, middle: DoubleArray, cube: float) -> FloatArray:
    """All foreground pixels as points (N, 3) of the cube; here a pixel's centre is half a pixel in."""
    rows, columns = np.nonzero(~np.isclose(depth, 1.0))
    z = depth[rows, columns].astype(np.float64) * cube / 2 + middle[2]
    u = (columns + 0.5 - matrix[0, 2]) / matrix[0, 0]
    v = (rows + 0.5 - matrix[1, 2]) / matrix[1, 1]
    xyz = np.stack([(u - camera.cx) * z / camera.fx, (v - camera.cy) * z / camera.fy, z], axis=1)
    return ((xyz - middle) / (cube / 2)).astype(np.float32)


def _sample(points: FloatArray, rng: np.random.Generator) -> FloatArray:
    """1024 of the points in random order; where there are fewer, each is repeated; none gives zeros."""
    count = len(points)
    if not count:
        return np.zeros((NUM_POINTS, 3), dtype=np.float32)
    if count >= NUM_POINTS:
        few: FloatArray = points[rng.choice(count, NUM_POINTS, replace=False)]
        return few
    whole, rest = divmod(NUM_POINTS, count)
    index = np.concatenate([np.tile(np.arange(count), whole), rng.choice(count, rest, replace=False)])
    repeated: FloatArray = points[rng.permutation(index)]
    return repeated
