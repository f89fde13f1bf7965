"""From synthetic hand pictures to what Keypoint-Fusion learns: crops with the errors a hand finder makes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hand_pose_ros.geometry.camera import mirror_intrinsics
from hand_pose_ros.geometry.crop import CROP_SIZE, crop_matrix, flip_pixels, mirror_points, sample_crop
from hand_pose_ros.skeleton import NUM_JOINTS
from hand_pose_ros.training.shards import Batch
from hand_pose_ros.types import DoubleArray, FloatArray, Frame, Intrinsics


@dataclass(frozen=True)
class CropAugmentation:
    """How crops are varied; lengths in metres, probabilities per crop.

    The centre is displaced by a normal error of `center_std` per axis (cut at twice that), as a finder or a moving
    track displaces it; the cube's edge is `cube_size` times a factor within `scale`. `wrong_side` of the crops are
    mirrored, so that they show a hand of the side that is not expected. The camera is rolled about its optical axis by
    a normal angle of `roll_std` (radians), which is exact: the joints turn with the image and keep their depths.
    """

    cube_size: float = 0.25
    wrong_side: float = 0.12
    roll_std: float = 0.5
    center_std: float = 0.012
    scale: tuple[float, float] = (0.88, 1.15)
    no_color: float = 0.35
    color_gain: float = 0.25
    color_noise: float = 0.02
    hole: float = 0.15
    depth_noise: float = 0.0015


# For validation: a centre as coarse as a finder's, nothing else.
VALIDATION = CropAugmentation(
    wrong_side=0.0,
    roll_std=0.0,
    center_std=0.008,
    scale=(1.0, 1.0),
    no_color=0.0,
    color_gain=0.0,
    color_noise=0.0,
    hole=0.0,
    depth_noise=0.0,
)


class CropBatch(NamedTuple):
    """rgb (B, 3, 128, 128) 0..1, depth (B, 128, 128) m with 0 = none, center (B, 3) m, crop_matrix (B, 3, 3),
    cube (B, 3) m, intrinsics (B, 4), joints (B, 21, 3) m, is_hand (B,) and expected_side (B,) bool."""

    rgb: Tensor
    depth: Tensor
    center: Tensor
    crop_matrix: Tensor
    cube: Tensor
    intrinsics: Tensor
    joints: Tensor
    is_hand: Tensor
    expected_side: Tensor

    @property
    def joints_nl(self) -> Tensor:
        """Joints (B, 21, 3) normalised: (xyz - center) / (cube / 2)."""
        return (self.joints - self.center[:, None]) / (self.cube[:, None] / 2)


def crop_batch(batch: Batch, rng: np.random.Generator, augmentation: CropAugmentation) -> CropBatch:
    """Crops of a batch of crop shards.

    Expects `color` (B, S, S, 3) uint8, `depth` (B, S, S) uint16 in 0.1 mm, `intrinsics` (B, 4), `joints` (B, 21, 3) m,
    `center` (B, 3) m, `negative` and `wrong_side` (B,) bool.
    """
    count = len(batch["color"])
    rgb = np.empty((count, CROP_SIZE, CROP_SIZE, 3), dtype=np.uint8)
    depth = np.empty((count, CROP_SIZE, CROP_SIZE), dtype=np.float32)
    center = np.empty((count, 3), dtype=np.float32)
    cube = np.empty((count, 3), dtype=np.float32)
    matrix = np.empty((count, 3, 3), dtype=np.float32)
    joints = batch["joints"].astype(np.float32).reshape(count, NUM_JOINTS, 3)
    intrinsics = batch["intrinsics"].astype(np.float32)
    wrong_side = batch["wrong_side"].astype(bool)
    # A hand of the other side counts as a negative in the data, but it is a hand.
    is_hand = ~batch["negative"].astype(bool) | wrong_side
    mirrored = (rng.random(count) < augmentation.wrong_side) & is_hand & ~wrong_side
    for n in range(count):
        frame = _as_frame(batch, n)
        middle = _displaced(batch["center"][n].astype(np.float32), rng, augmentation)
        size = augmentation.cube_size * rng.uniform(*augmentation.scale)
        camera, flip = frame.intrinsics, np.eye(3)
        if mirrored[n]:
            camera, flip = mirror_intrinsics(camera), flip_pixels(camera.width)
            joints[n], middle, intrinsics[n, 2] = mirror_points(joints[n]), mirror_points(middle), camera.cx
        turn, turn_pixels = _roll(camera, rng.normal() * augmentation.roll_std)
        joints[n], middle = joints[n] @ turn.T, (turn @ middle).astype(np.float32)
        matrix[n] = crop_matrix(camera, middle, size)
        rgb[n], depth[n] = sample_crop(frame, matrix[n] @ turn_pixels @ flip)
        center[n], cube[n] = middle, size
    _vary_depth(depth, rng, augmentation)
    return CropBatch(
        rgb=_vary_color(rgb, rng, augmentation),
        depth=torch.from_numpy(depth),
        center=torch.from_numpy(center),
        crop_matrix=torch.from_numpy(matrix),
        cube=torch.from_numpy(cube),
        intrinsics=torch.from_numpy(intrinsics),
        joints=torch.from_numpy(joints),
        is_hand=torch.from_numpy(is_hand),
        expected_side=torch.from_numpy(~(wrong_side | mirrored)),
    )


def _roll(camera: Intrinsics, angle: float) -> tuple[DoubleArray, DoubleArray]:
    """A turn about the optical axis: of camera points (3, 3), and of pixels (3, 3)."""
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    k = np.array([[camera.fx, 0.0, camera.cx], [0.0, camera.fy, camera.cy], [0.0, 0.0, 1.0]])
    return turn, k @ turn @ np.linalg.inv(k)


def _as_frame(batch: Batch, n: int) -> Frame:
    height, width = batch["depth"][n].shape
    fx, fy, cx, cy = (float(value) for value in batch["intrinsics"][n])
    depth = batch["depth"][n].astype(np.float32) * np.float32(1e-4)
    color = batch["color"][n].astype(np.uint8, copy=False)
    return Frame(0, "synthetic", Intrinsics(fx, fy, cx, cy, width, height), color, depth)


def _displaced(center: FloatArray, rng: np.random.Generator, augmentation: CropAugmentation) -> FloatArray:
    error = rng.normal(size=3).clip(-2, 2) * augmentation.center_std
    return (center + error).astype(np.float32)


def _vary_depth(depth: FloatArray, rng: np.random.Generator, augmentation: CropAugmentation) -> None:
    """Holes where a sensor sees nothing, and a little noise, in place."""
    for n in np.flatnonzero(rng.random(len(depth)) < augmentation.hole):
        size = rng.integers(6, 36, 2)
        top, left = rng.integers(0, CROP_SIZE - size)
        depth[n, top : top + size[0], left : left + size[1]] = 0.0
    if augmentation.depth_noise > 0:
        sigma = rng.uniform(0, augmentation.depth_noise, (len(depth), 1, 1)).astype(np.float32)
        depth += (depth > 0) * sigma * rng.standard_normal(depth.shape, dtype=np.float32)


def _vary_color(rgb: np.ndarray, rng: np.random.Generator, augmentation: CropAugmentation) -> Tensor:
    color = torch.from_numpy(rgb).permute(0, 3, 1, 2).to(torch.float32) / 255.0
    count = len(rgb)
    low, high = 1 - augmentation.color_gain, 1 + augmentation.color_gain
    color *= torch.from_numpy(rng.uniform(low, high, (count, 3, 1, 1)).astype(np.float32))
    if augmentation.color_noise > 0:
        color += augmentation.color_noise * torch.from_numpy(rng.standard_normal(color.shape, dtype=np.float32))
    color.clamp_(0.0, 1.0)
    color[torch.from_numpy(rng.random(count) < augmentation.no_color)] = 0.0
    return color
