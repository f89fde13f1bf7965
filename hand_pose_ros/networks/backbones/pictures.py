"""What the encoders of networks of two hands read: colours and, where they read depth, the relief behind them."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from hand_pose_ros.geometry.relief import RELIEF_MAPS

COLORS: Final = 3


def picture_channels(depth: bool) -> int:
    """Channels of what is read."""
    return COLORS + (RELIEF_MAPS if depth else 0)


def with_relief(image: Tensor, relief: Tensor | None) -> Tensor:
    """(B, 5, S, S) of colours (B, 3, S, S) and relief (B, 2, S, S) of `geometry.relief`; None: no depth is known."""
    nothing = image.new_zeros((image.shape[0], RELIEF_MAPS, *image.shape[2:]))
    return torch.cat((image, nothing if relief is None else relief), dim=1)
