"""An auxiliary task for Handformer2T's encoder: where each joint of each hand is, as maps. Training only.

Two tokens say little about a picture: which hand is which, and where, is learnt slowly from poses alone. Maps ask the
encoder for it at every cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from hand_pose_ros.networks.handformer2t.config import HANDS
from hand_pose_ros.skeleton import NUM_JOINTS

# Of the crop's pixels per cell; the maps are those of the encoder's second group.
STRIDE: Final = 8
_WIDTH: Final = 64
_SIGMA: Final = 0.75  # cells


class JointMaps(nn.Module):
    """Logits (B, 2, 21, h * w) of where each joint is, from the encoder's maps of strides 8, 16 and 32.

    Args:
        channels: of these three.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.inputs = nn.ModuleList(nn.Conv2d(count, _WIDTH, 1) for count in channels)
        self.middle = nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1)
        self.output = nn.Conv2d(_WIDTH, HANDS * NUM_JOINTS, 1)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """levels: strides 8, 16, 32."""
        size = levels[0].shape[2:]
        parts = [functional.interpolate(reduce(x), size) for reduce, x in zip(self.inputs, levels, strict=True)]
        maps: Tensor = self.output(torch.relu(self.middle(torch.relu(torch.stack(parts).sum(dim=0)))))
        return maps.reshape(maps.shape[0], HANDS, NUM_JOINTS, maps.shape[2] * maps.shape[3])


def map_loss(logits: Tensor, uv: Tensor, valid: Tensor, crop: int) -> Tensor:
    """Mean cross entropy of maps (B, 2, 21, h * w) with Gaussians about uv (B, 2, 21, 2), pixels of the crop.

    Joints that are not valid (B, 2, 21), or not in the crop, do not count.
    """
    cells = crop // STRIDE
    place = (uv + 0.5) / STRIDE - 0.5
    grid = torch.arange(cells, device=uv.device, dtype=uv.dtype)
    squared = (place[..., None] - grid).square() / (2 * _SIGMA**2)
    # Rows (y) first.
    target = torch.softmax(-(squared[..., 1, :, None] + squared[..., 0, None, :]).flatten(3), dim=-1)
    known = valid & ((uv > -0.5) & (uv < crop - 0.5)).all(dim=-1)
    entropy = -(target * functional.log_softmax(logits, dim=-1)).sum(dim=-1)
    return (entropy * known).sum() / known.sum().clamp(min=1)
