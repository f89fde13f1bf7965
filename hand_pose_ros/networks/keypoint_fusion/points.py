"""The crop's depth as a small set of points, and how they lie about the joints."""

from __future__ import annotations

import torch
from torch import Tensor

from hand_pose_ros.networks.keypoint_fusion.config import BACKGROUND, CROP_SIZE, KERNEL, MAP_SIZE

CELL = CROP_SIZE // MAP_SIZE
# Readings within this of a cell's nearest one are its front surface (cube-normalised: 12 mm of a 250 mm cube).
FRONT_LAYER = 0.1
# A cell needs this many readings; a single one is likely to be a speckle.
MIN_READINGS = 2


def front_surface(depth: Tensor) -> Tensor:
    """(B, 1, 128, 128) normalised depth -> (B, 1, 32, 32), 1 where a cell has no surface.

    Each 4x4 cell gives the mean of its front layer: holes do not count, noise averages, and a flying pixel between
    a finger and what lies behind is never nearer than the finger.
    """
    cells = depth.reshape(depth.shape[0], MAP_SIZE, CELL, MAP_SIZE, CELL).transpose(2, 3)
    cells = cells.reshape(depth.shape[0], MAP_SIZE, MAP_SIZE, CELL * CELL)
    front = (cells < BACKGROUND) & (cells <= cells.amin(dim=3, keepdim=True) + FRONT_LAYER)
    weights = front.to(depth.dtype)
    count = weights.sum(dim=3)
    mean = (cells * weights).sum(dim=3) / count.clamp(min=1)
    return torch.where(count >= MIN_READINGS, mean, torch.ones_like(mean))[:, None]


def squared_distances(joints: Tensor, points: Tensor) -> Tensor:
    """(B, 21, 3) and (B, 3, P) -> (B, 21, P). As |a|^2 - 2ab + |b|^2: good to 1e-6 of a cube, far below the radii."""
    lengths = joints.square().sum(dim=2)[..., None] + points.square().sum(dim=1)[:, None]
    return (lengths - 2 * (joints @ points)).clamp(min=0)


def offsets(points: Tensor, joints: Tensor, squared: Tensor, valid: Tensor) -> Tensor:
    """How joints (B, 21, 3) lie seen from points (B, 3, P), both xyz_nl, with valid (B, 1, P) 0 or 1.

    Returns (B, 84, P): unit vectors to the joints (63, joint-major) and closeness (K - distance) / K (21), both 0
    beyond K and at invalid points. `squared` is `squared_distances(joints, points)`.
    """
    distance = torch.sqrt(squared + 1e-8)
    closeness = (KERNEL - distance) / KERNEL
    mask = (closeness >= 0).to(points.dtype) * valid
    unit = (joints[..., None] - points[:, None]) * (mask / distance)[:, :, None]
    return torch.cat((unit.flatten(1, 2), closeness * mask), dim=1)
