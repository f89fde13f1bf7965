"""ResNet encoders of basic or bottleneck blocks (He et al. 2016), with torchvision's parameter names."""

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


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut (figure 5 right); the stride is the 3x3's, as torchvision has it."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        inner = outputs // 4
        self.conv1 = nn.Conv2d(inputs, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, features: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H/stride, W/stride)."""
        shortcut = features if self.downsample is None else self.downsample(features)
        inner = torch.relu(self.bn1(self.conv1(features)))
        inner = torch.relu(self.bn2(self.conv2(inner)))
        return torch.relu(self.bn3(self.conv3(inner)) + shortcut)


class ResNetEncoder(nn.Module):
    """Stem (stride 4) and four groups of blocks at strides 4, 8, 16, 32; no pooling head.

    Args:
        in_channels: of the image.
        widths: channels of the four groups.
        blocks: blocks per group; ResNet-18 is (64, 128, 256, 512) with (2, 2, 2, 2).
        stem_kernel: 7 in ResNet; a smaller one is cheaper.
        stem_width: channels of the stem; `widths[0]` unless given.
        bottleneck: bottleneck blocks; ResNet-50 is (256, 512, 1024, 2048) with (3, 4, 6, 3) and a stem of 64.
    """

    def __init__(
        self,
        in_channels: int,
        widths: Sequence[int],
        blocks: Sequence[int],
        stem_kernel: int = 7,
        stem_width: int | None = None,
        bottleneck: bool = False,
    ) -> None:
        super().__init__()
        if len(widths) != 4 or len(blocks) != 4:
            raise ValueError(f"expected four widths and four block counts, got {widths} and {blocks}")
        block = Bottleneck if bottleneck else BasicBlock
        self.stem_width = widths[0] if stem_width is None else stem_width
        self.conv1 = nn.Conv2d(in_channels, self.stem_width, stem_kernel, 2, stem_kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(self.stem_width)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = _group(block, self.stem_width, widths[0], blocks[0], 1)
        self.layer2 = _group(block, widths[0], widths[1], blocks[1], 2)
        self.layer3 = _group(block, widths[1], widths[2], blocks[2], 2)
        self.layer4 = _group(block, widths[2], widths[3], blocks[3], 2)
        self.widths = tuple(widths)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(B, in_channels, H, W) -> the four groups' outputs at strides 4, 8, 16, 32."""
        _, first, second, third, fourth = self.pyramid(image)
        return first, second, third, fourth

    def pyramid(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """As `forward`, with the stem's output at stride 2 (before its pooling) in front."""
        stem = torch.relu(self.bn1(self.conv1(image)))
        first = self.layer1(self.maxpool(stem))
        second = self.layer2(first)
        third = self.layer3(second)
        return stem, first, second, third, self.layer4(third)


def _group(
    block: type[BasicBlock] | type[Bottleneck], inputs: int, outputs: int, count: int, stride: int
) -> nn.Sequential:
    first = block(inputs, outputs, stride)
    return nn.Sequential(first, *(block(outputs, outputs) for _ in range(count - 1)))
