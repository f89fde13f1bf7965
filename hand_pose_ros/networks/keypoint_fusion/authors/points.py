"""The published point cloud's ties to the feature map and to the joints."""

from __future__ import annotations

import torch
from torch import Tensor

from hand_pose_ros.networks.keypoint_fusion.config import BACKGROUND, KERNEL

NEIGHBOURS = 4


def look_up(points: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """For each point (B, N, 3) its four nearest pixels (B, P, 3), background included, all xyz_nl.

    Returns closeness (B, N, 4), which sums to one, and pixel indices (B, N, 4).
    """
    # Differences, not the expanded square: its rounding swaps near ties (sheet section 5).
    squared = (points[:, :, None] - pixels[:, None]).square().sum(dim=3)
    distance, index = squared.topk(NEIGHBOURS, dim=2, largest=False)
    inverse = 1 / (distance + 1e-8)
    return inverse / (inverse.sum(dim=2, keepdim=True) + 1e-8), index


def gather(maps: Tensor, closeness: Tensor, index: Tensor) -> Tensor:
    """A map (B, C, S, S) at the points: (B, N, C)."""
    batch, channels = maps.shape[:2]
    count = index.shape[1]
    flat = index.reshape(batch, 1, -1).expand(-1, channels, -1)
    values = maps.flatten(2).gather(2, flat).reshape(batch, channels, count, NEIGHBOURS)
    return (values * closeness[:, None]).sum(dim=3).transpose(1, 2)


def point_offsets(points: Tensor, joints: Tensor) -> Tensor:
    """(B, N, 84): unit vectors from points (B, N, 3) to joints (B, 21, 3) (63), and closeness (21)."""
    difference = joints[:, None] - points[:, :, None]
    distance = torch.sqrt(difference.square().sum(dim=3))
    closeness = (KERNEL - distance) / KERNEL
    mask = ((closeness >= 0) & (points[:, :, 2:] < BACKGROUND)).to(points.dtype)
    unit = difference / (distance[..., None] + 1e-8) * mask[..., None]
    return torch.cat((unit.flatten(2), closeness * mask), dim=2)
