"""What maps of joints (`networks.handformer2t.maps`) are taught."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

_SIGMA: Final = 0.75  # cells


def map_loss(logits: Tensor, uv: Tensor, valid: Tensor, crop: int) -> Tensor:
    """Mean cross entropy of maps (B, 2, 21, h * w) with Gaussians about uv (B, 2, 21, 2), pixels of the crop.

    Joints that are not valid (B, 2, 21), or not in the crop, do not count.
    """
    cells = math.isqrt(logits.shape[-1])
    place = (uv + 0.5) * (cells / crop) - 0.5
    grid = torch.arange(cells, device=uv.device, dtype=uv.dtype)
    squared = (place[..., None] - grid).square() / (2 * _SIGMA**2)
    # Rows (y) first.
    target = torch.softmax(-(squared[..., 1, :, None] + squared[..., 0, None, :]).flatten(3), dim=-1)
    known = valid & ((uv > -0.5) & (uv < crop - 0.5)).all(dim=-1)
    entropy = -(target * functional.log_softmax(logits, dim=-1)).sum(dim=-1)
    return (entropy * known).sum() / known.sum().clamp(min=1)
