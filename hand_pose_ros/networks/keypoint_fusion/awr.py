"""Adaptive weighting regression (Huang et al., AAAI 2020): every pixel votes for every joint.

A map has 105 channels: for each joint the unit vector from the pixel to it (63, joint-major, uvd), its closeness
(K - distance) / K (21), and the pixel's weight before the softmax (21).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from hand_pose_ros.networks.keypoint_fusion.config import BACKGROUND, KERNEL
from hand_pose_ros.skeleton import NUM_JOINTS

WEIGHTS = slice(4 * NUM_JOINTS, 5 * NUM_JOINTS)
TARGET_CHANNELS = 4 * NUM_JOINTS


class Votes(NamedTuple):
    """joints (B, 21, 3) uvd_nl; weights (B, 21, P) of the pixels, sum 1; variance (B, 21, 3) of the votes."""

    joints: Tensor
    weights: Tensor
    variance: Tensor


def foreground(depth_small: Tensor) -> Tensor:
    """(B, 1, S, S) normalised depth -> (B, 1, P) 1 where there is a reading."""
    # Not flattened: where shapes are not known beforehand, as after GridSample, graphs would work them out.
    known = (depth_small < BACKGROUND).to(depth_small.dtype)
    return known.reshape(known.shape[0], 1, known.shape[2] * known.shape[3])


def read_out(maps: Tensor, depth_small: Tensor, grid: Tensor, mask_depth: bool = True) -> Votes:
    """Joints from a (B, 105, S, S) map, the (B, 1, S, S) depth it refers to and the (P, 2) pixel grid.

    A crop without any reading gives the plain mean of its pixels at the cube's centre depth: finite, and central. (The
    published code, `mask_depth=False`, puts it on the cube's far face.)
    """
    batch, _, size, _ = maps.shape
    pixels = size * size
    mask = foreground(depth_small)
    # Split, not sliced: the gradient of a slice is a whole map of zeros about it.
    flat = maps.reshape(batch, maps.shape[1], pixels)
    vectors, closeness, logits = torch.split(flat, [3 * NUM_JOINTS, NUM_JOINTS, NUM_JOINTS], dim=1)
    vectors = vectors.reshape(batch, NUM_JOINTS, 3, pixels)
    reach = KERNEL * (1 - closeness * mask)
    logits = logits * mask - 1e8 * (1 - mask)
    weights = torch.softmax(logits, dim=2)
    depth = depth_small.reshape(batch, 1, pixels)
    depth = depth * mask if mask_depth else depth
    # Added to zeros, not expanded, for the same reason.
    origin = torch.cat((grid.t()[None] + 0.0 * depth, depth), dim=1)
    votes = vectors * (reach * mask)[:, :, None] + origin[:, None]
    joints = (votes @ weights[..., None])[..., 0]
    with torch.no_grad():
        variance = ((votes - joints[..., None]).square() @ weights[..., None])[..., 0]
    return Votes(joints, weights, variance)


def target(joints_uvd: Tensor, depth_small: Tensor, grid: Tensor) -> Tensor:
    """What the first 84 channels should be: (B, 84, S, S) for true joints (B, 21, 3) uvd_nl."""
    batch, _, size, _ = depth_small.shape
    depth = depth_small.flatten(2)
    origin = torch.cat((grid.t()[None].expand(batch, 2, size * size), depth), dim=1)
    difference = joints_uvd[..., None] - origin[:, None]
    distance = torch.sqrt(difference.square().sum(dim=2) + 1e-8)
    closeness = (KERNEL - distance) / KERNEL
    mask = (closeness >= 0).to(depth.dtype) * foreground(depth_small)
    vectors = difference / distance[:, :, None] * mask[:, :, None]
    stacked = torch.cat((vectors.flatten(1, 2), closeness * mask), dim=1)
    return stacked.reshape(batch, TARGET_CHANNELS, size, size)
