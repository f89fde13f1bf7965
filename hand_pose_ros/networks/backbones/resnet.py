"""ResNet encoders of basic blocks (He et al. 2016), with torchvision's parameter names."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al. 2016, figure 5 left)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, features: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H/stride, W/stride)."""
        shortcut = features if self.downsample is None else self.downsample(features)
        inner = torch.relu(self.bn1(self.conv1(features)))
        return torch.relu(self.bn2(self.conv2(inner)) + shortcut)


class ResNetEncoder(nn.Module):
    """Stem (stride 4) and four groups of basic blocks at strides 4, 8, 16, 32; no pooling head.

    Args:
        in_channels: of the image.
        widths: channels of the four groups; the stem has `widths[0]`.
        blocks: basic blocks per group; ResNet-18 is (64, 128, 256, 512) with (2, 2, 2, 2).
        stem_kernel: 7 in ResNet; a smaller one is cheaper.
    """

    def __init__(self, in_channels: int, widths: Sequence[int], blocks: Sequence[int], stem_kernel: int = 7) -> None:
        super().__init__()
        if len(widths) != 4 or len(blocks) != 4:
            raise ValueError(f"expected four widths and four block counts, got {widths} and {blocks}")
        self.conv1 = nn.Conv2d(in_channels, widths[0], stem_kernel, 2, stem_kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = _group(widths[0], widths[0], blocks[0], 1)
        self.layer2 = _group(widths[0], widths[1], blocks[1], 2)
        self.layer3 = _group(widths[1], widths[2], blocks[2], 2)
        self.layer4 = _group(widths[2], widths[3], blocks[3], 2)
        self.widths = tuple(widths)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(B, in_channels, H, W) -> the four groups' outputs at strides 4, 8, 16, 32."""
        stem = self.maxpool(torch.relu(self.bn1(self.conv1(image))))
        first = self.layer1(stem)
        second = self.layer2(first)
        third = self.layer3(second)
        return first, second, third, self.layer4(third)


def _group(inputs: int, outputs: int, count: int, stride: int) -> nn.Sequential:
    first = BasicBlock(inputs, outputs, stride)
    return nn.Sequential(first, *(BasicBlock(outputs, outputs) for _ in range(count - 1)))
