"""A decoder that joins an encoder's maps from deep to shallow (as U-Net, Ronneberger et al. 2015; blocks of ResNet)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from hand_pose_ros.networks.backbones.resnet import BasicBlock


class MapDecoder(nn.Module):
    """Maps at strides 4, 8 and 16 that know of the deeper ones.

    Args:
        encoder: channels of the encoder's maps at strides 4, 8, 16, 32.
        channels: of the decoder's maps at strides 16, 8, 4.
    """

    def __init__(self, encoder: Sequence[int], channels: Sequence[int]) -> None:
        super().__init__()
        if len(encoder) != 4 or len(channels) != 3:
            raise ValueError(f"expected four channels of the encoder and three of ours, got {encoder} and {channels}")
        self.up16 = BasicBlock(encoder[3] + encoder[2], channels[0])
        self.up8 = BasicBlock(channels[0] + encoder[1], channels[1])
        self.up4 = BasicBlock(channels[1] + encoder[0], channels[2])

    def forward(self, first: Tensor, second: Tensor, third: Tensor, deepest: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The encoder's maps at strides 4, 8, 16, 32 -> ours at strides 4, 8, 16."""
        coarse = self.up16(_joined(deepest, third))
        middle = self.up8(_joined(coarse, second))
        return self.up4(_joined(middle, first)), middle, coarse


def _joined(deep: Tensor, shallow: Tensor) -> Tensor:
    # A factor, not a size: the exported graph then has no shapes to work out.
    return torch.cat((functional.interpolate(deep, scale_factor=2.0), shallow), dim=1)
