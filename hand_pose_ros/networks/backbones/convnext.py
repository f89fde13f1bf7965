"""ConvNeXt encoders (Liu et al., CVPR 2022), with the published parameter names."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn, ones
from torch.nn import functional

EPS = 1e-6
# Section 3.2 and the appendix of the paper: blocks start next to the identity.
LAYER_SCALE = 1e-6


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=EPS)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        normalised = super().forward(features.permute(0, 2, 3, 1))
        return normalised.permute(0, 3, 1, 2)


class ConvNeXtBlock(nn.Module):
    """7x7 depth-wise convolution, layer norm, a widening and a narrowing layer, layer scale, shortcut (figure 4)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=EPS)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.pwconv2 = nn.Linear(4 * channels, channels)
        self.gamma = nn.Parameter(LAYER_SCALE * ones(channels))
        for linear in (self.pwconv1, self.pwconv2):
            nn.init.trunc_normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        inner = self.norm(self.dwconv(features).permute(0, 2, 3, 1))
        inner = self.gamma * self.pwconv2(functional.gelu(self.pwconv1(inner)))
        outer: Tensor = features + inner.permute(0, 3, 1, 2)
        return outer


class ConvNeXtEncoder(nn.Module):
    """Patch stem (stride 4) and four groups of blocks at strides 4, 8, 16, 32; no drop path, last norm or head.

    Args:
        in_channels: of the image.
        widths: channels of the four groups; ConvNeXt-T is (96, 192, 384, 768).
        blocks: blocks per group; ConvNeXt-T is (3, 3, 9, 3).
    """

    def __init__(self, in_channels: int, widths: Sequence[int], blocks: Sequence[int]) -> None:
        super().__init__()
        if len(widths) != 4 or len(blocks) != 4:
            raise ValueError(f"expected four widths and four block counts, got {widths} and {blocks}")
        stem = nn.Sequential(nn.Conv2d(in_channels, widths[0], 4, 4), ChannelNorm(widths[0]))
        self.downsample_layers = nn.ModuleList([stem])
        for inputs, outputs in pairwise(widths):
            self.downsample_layers.append(nn.Sequential(ChannelNorm(inputs), nn.Conv2d(inputs, outputs, 2, 2)))
        self.stages = nn.ModuleList(
            nn.Sequential(*(ConvNeXtBlock(width) for _ in range(count)))
            for width, count in zip(widths, blocks, strict=True)
        )
        self.widths = tuple(widths)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(B, in_channels, H, W) -> the four groups' outputs at strides 4, 8, 16, 32."""
        maps = []
        features = image
        for downsample, group in zip(self.downsample_layers, self.stages, strict=True):
            features = group(downsample(features))
            maps.append(features)
        first, second, third, fourth = maps
        return first, second, third, fourth
