"""Is there a hand in the middle of the crop, and is it of the expected side? A small network of its own.

Ours, not the paper's. The pose network only ever learns right hands, and what tells a right hand from a mirrored left
one (the relief of the palm, the thumb, the arm) helps it little, so that its own two logits learn this slowly. This
network is small enough to be trained on many times more crops, half of them mirrored, turned by any angle.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def _layer(inputs: int, outputs: int, stride: int, kernel: int = 3) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


class HandCheck(nn.Module):
    """Two logits of an RGB-D crop: a hand is there; it is of the expected (right) side."""

    def __init__(self, widths: tuple[int, int, int, int] = (24, 48, 96, 128)) -> None:
        super().__init__()
        a, b, c, d = widths
        self.layers = nn.Sequential(
            _layer(5, a, 2, 5),
            _layer(a, b, 2),
            _layer(b, b, 1),
            _layer(b, c, 2),
            _layer(c, c, 1),
            _layer(c, d, 2),
            _layer(d, d, 1),
        )
        self.hidden = nn.Linear(2 * d, 64)
        self.logits = nn.Linear(64, 2)

    def forward(self, rgb: Tensor, depth: Tensor) -> tuple[Tensor, Tensor]:
        """rgb (B, 3, 128, 128) in 0..1, all zero where there is none; depth (B, 1, 128, 128) normalised, 1 = none.

        Returns:
            presence and side logits, (B,) each.
        """
        has_rgb = (rgb.amax(dim=(1, 2, 3), keepdim=True) > 0).to(rgb.dtype)
        color = functional.avg_pool2d(rgb - 0.5, 2) * has_rgb
        front = -functional.max_pool2d(-depth, 2)
        empty = (front >= 1).to(depth.dtype)
        features = self.layers(torch.cat((color, front * (1 - empty), empty), dim=1))
        pooled = torch.cat((features.mean(dim=(2, 3)), features.amax(dim=(2, 3))), dim=1)
        presence, side = self.logits(torch.relu(self.hidden(pooled))).unbind(dim=1)
        return presence, side
