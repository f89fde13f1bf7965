"""The U-Net decoder on an encoder's four maps, and the heads of the pixel-wise maps (paper section "Backbone")."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from hand_pose_ros.skeleton import NUM_JOINTS


class Residual(nn.Module):
    """Pre-activation bottleneck 1x1, 3x3, 1x1 with half the output's width inside (as in Hourglass networks)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        inner = outputs // 2
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, inner, 1)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, padding=1)
        self.bn3 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, outputs, 1)
        self.skip_layer: nn.Module | None = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, features: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H, W)."""
        shortcut = features if self.skip_layer is None else self.skip_layer(features)
        inner = self.conv1(torch.relu(self.bn1(features)))
        inner = self.conv2(torch.relu(self.bn2(inner)))
        outer: Tensor = self.conv3(torch.relu(self.bn3(inner)))
        return outer + shortcut


class UNetDecoder(nn.Module):
    """From strides 32, 16, 8 back to stride 4.

    Args:
        widths: channels of the encoder's four maps.
        features: channels of the result.
        refine: residual modules on the skip and up paths as well (the paper's); without them only where paths meet.
    """

    def __init__(self, widths: Sequence[int], features: int, refine: bool) -> None:
        super().__init__()
        w1, w2, w3, w4 = widths

        def path(width: int) -> nn.Module:
            return Residual(width, width) if refine else nn.Identity()

        self.up4, self.skip_layer4, self.fusion_layer4 = path(w4), path(w3), Residual(w4 + w3, w3)
        self.up3, self.skip_layer3, self.fusion_layer3 = path(w3), path(w2), Residual(w3 + w2, w2)
        self.up2, self.skip_layer2, self.fusion_layer2 = path(w2), path(w1), Residual(w2 + w1, features)

    def forward(self, maps: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
        """The encoder's maps -> (B, features, H/4, W/4)."""
        c1, c2, c3, c4 = maps
        x3 = self.fusion_layer4(torch.cat((_double(self.up4(c4)), self.skip_layer4(c3)), dim=1))
        x2 = self.fusion_layer3(torch.cat((_double(self.up3(x3)), self.skip_layer3(c2)), dim=1))
        x1: Tensor = self.fusion_layer2(torch.cat((_double(self.up2(x2)), self.skip_layer2(c1)), dim=1))
        return x1


class PixelHeads(nn.Module):
    """1x1 convolutions to AWR's 105 channels: unit vectors (63), closeness (21), weights (21)."""

    def __init__(self, features: int) -> None:
        super().__init__()
        sizes = (3 * NUM_JOINTS, NUM_JOINTS, NUM_JOINTS)
        self.finals = nn.ModuleList(nn.Conv2d(features, size, 1) for size in sizes)

    def forward(self, features: Tensor) -> Tensor:
        """(B, features, S, S) -> (B, 105, S, S)."""
        return torch.cat([head(features) for head in self.finals], dim=1)


def _double(features: Tensor) -> Tensor:
    return functional.interpolate(features, scale_factor=2.0, mode="bilinear", align_corners=False)
