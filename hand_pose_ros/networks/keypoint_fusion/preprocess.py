"""From what a camera gives (bytes, metres) to what the network reads; used by training and by the exported graph."""

from __future__ import annotations

import torch
from torch import Tensor


def normalise_depth(depth: Tensor, center: Tensor, cube: Tensor) -> Tensor:
    """Depth crop in metres (B, 128, 128), 0 = none -> (B, 1, 128, 128) in [-1, 1] of the cube, 1 = none.

    center (B, 3) and cube (B, 3) in metres. Readings outside the cube count as none on either side: in front of it is
    something that hides the hand, behind it is background. (The published code moves the near ones to the cube's face.)
    """
    middle, half = center[:, 2, None, None], cube[:, 2, None, None] / 2
    normalised = (depth - middle) / half
    inside = (depth > 0) & (normalised >= -1) & (normalised <= 1)
    return torch.where(inside, normalised, torch.ones_like(normalised))[:, None]


def normalise_rgb(rgb: Tensor) -> Tensor:
    """RGB crop (B, 128, 128, 3) uint8 -> (B, 3, 128, 128) float in 0..1."""
    # Cast first: TensorRT moves no bytes.
    return rgb.to(torch.float32).permute(0, 3, 1, 2) / 255
