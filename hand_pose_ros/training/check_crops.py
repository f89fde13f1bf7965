"""Crops for the hand check: turned, moved and mirrored on the image plane, many at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hand_pose_ros.geometry.crop import CROP_SIZE
from hand_pose_ros.networks.keypoint_fusion.preprocess import normalise_depth
from hand_pose_ros.training.shards import Batch

MARGIN = 1.25  # shards show 1.25 times the cube


@dataclass(frozen=True)
class CheckAugmentation:
    """How crops are varied: largest turn (radians), centre error (m, per axis), size factors, and probabilities.

    A turn in the image plane keeps a hand's side, a mirror changes it. (Away from the optical axis a turned picture is
    not quite a turned hand; for telling sides that does not matter.)
    """

    cube_size: float = 0.25
    turn: float = np.pi
    center_std: float = 0.015
    scale: tuple[float, float] = (0.85, 1.15)
    mirror: float = 0.5
    no_color: float = 0.35
    color_gain: float = 0.3


class CheckBatch(NamedTuple):
    """rgb (B, 3, 128, 128), depth (B, 1, 128, 128) normalised, is_hand (B,) and expected_side (B,) bool."""

    rgb: Tensor
    depth: Tensor
    is_hand: Tensor
    expected_side: Tensor


def check_batch(batch: Batch, rng: np.random.Generator, augmentation: CheckAugmentation) -> CheckBatch:
    """Tensors of a batch of crop shards (see `hand_crops.crop_batch` for what it expects)."""
    count = len(batch["color"])
    wrong_side = batch["wrong_side"].astype(bool)
    is_hand = ~batch["negative"].astype(bool) | wrong_side
    mirror = rng.random(count) < augmentation.mirror
    grid = _grid(rng, count, mirror, augmentation)
    color = torch.from_numpy(np.ascontiguousarray(batch["color"])).permute(0, 3, 1, 2).float() / 255
    metres = torch.from_numpy(batch["depth"].astype(np.float32) * np.float32(1e-4))[:, None]
    rgb = functional.grid_sample(color, grid, "bilinear", align_corners=False)
    depth = functional.grid_sample(metres, grid, "nearest", align_corners=False)
    center = torch.from_numpy(batch["center"].astype(np.float32).copy())
    center[:, 2] += torch.from_numpy(rng.normal(0, augmentation.center_std, count).astype(np.float32))
    cube = torch.full((count, 3), augmentation.cube_size)
    gain = rng.uniform(1 - augmentation.color_gain, 1 + augmentation.color_gain, (count, 3, 1, 1))
    rgb = (rgb * torch.from_numpy(gain.astype(np.float32))).clamp(0, 1)
    rgb[torch.from_numpy(rng.random(count) < augmentation.no_color)] = 0.0
    return CheckBatch(
        rgb,
        normalise_depth(depth[:, 0], center, cube),
        torch.from_numpy(is_hand),
        torch.from_numpy(wrong_side == mirror),
    )


def _grid(rng: np.random.Generator, count: int, mirror: np.ndarray, augmentation: CheckAugmentation) -> Tensor:
    """Sampling places (B, 128, 128, 2) in the shards' pictures, whose borders are -1 and 1."""
    angle = rng.uniform(-augmentation.turn, augmentation.turn, count)
    size = rng.uniform(*augmentation.scale, count) / MARGIN
    flip = np.where(mirror, -1.0, 1.0)
    shift = rng.normal(0, augmentation.center_std, (count, 2)).clip(-0.03, 0.03) * 2 / (MARGIN * augmentation.cube_size)
    affine = np.zeros((count, 2, 3), dtype=np.float32)
    affine[:, 0, 0], affine[:, 0, 1] = size * np.cos(angle) * flip, -size * np.sin(angle)
    affine[:, 1, 0], affine[:, 1, 1] = size * np.sin(angle) * flip, size * np.cos(angle)
    affine[:, :, 2] = shift
    return functional.affine_grid(torch.from_numpy(affine), [count, 1, CROP_SIZE, CROP_SIZE], align_corners=False)
