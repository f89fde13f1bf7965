"""What maps of joints (`networks.handformer2t.maps`) are taught."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

_SIGMA: Final = 0.75  # cells
# Of the crop's side: joints' places are 2.5D poses' first two coordinates.
_HALF: Final = 0.5


def gaussians(places: Tensor, cells: int) -> Tensor:
    """Shares (..., cells * cells), their sums 1, about places (..., 2) from -0.5 to 0.5 of the crop's side."""
    centre = (places + _HALF) * cells - 0.5
    grid = torch.arange(cells, device=places.device, dtype=places.dtype)
    squared = (centre[..., None] - grid).square() / (2 * _SIGMA**2)
    # Rows (y) first.
    return torch.softmax(-(squared[..., 1, :, None] + squared[..., 0, None, :]).flatten(-2), dim=-1)


def map_loss(logits: Tensor, uv: Tensor, valid: Tensor, crop: int) -> Tensor:
    """Mean cross entropy of maps (B, 2, 21, h * w) with Gaussians about uv (B, 2, 21, 2), pixels of the crop.

    Joints that are not valid (B, 2, 21), or not in the crop, do not count.
    """
    target = gaussians((uv + 0.5) / crop - _HALF, math.isqrt(logits.shape[-1]))
    known = valid & ((uv > -0.5) & (uv < crop - 0.5)).all(dim=-1)
    entropy = -(target * functional.log_softmax(logits, dim=-1)).sum(dim=-1)
    return (entropy * known).sum() / known.sum().clamp(min=1)


def seen_at(maps: Tensor, places: Tensor) -> Tensor:
    """What maps (B, 2, 21, h * w) say where the joints (B, 2, 21, 2) are, places as `gaussians` takes them."""
    return (gaussians(places, math.isqrt(maps.shape[-1])) * maps).sum(dim=-1)
