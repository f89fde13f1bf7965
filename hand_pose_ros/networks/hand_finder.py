"""The hand finder: a small U-Net that says where in a whole 160x120 RGB-D picture hands are, and whose side.

Ours, not from a paper; the heat map and its focal loss follow CenterNet (Zhou et al. 2019, section 3). Each cell of the
40x30 output says how likely a hand's centre lies in it, whose side that hand is, and where it is in camera metres. That
there is a hand is learnt apart from its side, which a small picture often leaves open. Depth is
seen as canonical depth z * F / fx (F = 150 px), which alone decides how large a hand appears in the picture.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

WIDTH, HEIGHT, STRIDE = 160, 120, 4
CELLS_X, CELLS_Y = WIDTH // STRIDE, HEIGHT // STRIDE
FOCAL = 150.0
MAX_DEPTH = 3.0  # canonical metres; farther readings count as background


class FinderOutput(NamedTuple):
    """hand (B, 30, 40) and right (B, 30, 40): logits that a hand is there, and that it is a right one; center
    (B, 3, 30, 40): its centre in camera metres."""

    hand: Tensor
    right: Tensor
    center: Tensor


class _Block(nn.Module):
    """Two 3x3 convolutions with a residual connection (He et al. 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.skip: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.skip = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.skip(x))


class HandFinderNet(nn.Module):
    """Whole-picture RGB-D -> heat map and hand centres. Either input may be all zero (absent)."""

    def __init__(self, widths: tuple[int, int, int, int] = (16, 32, 64, 96)) -> None:
        super().__init__()
        self.widths = widths
        w2, w4, w8, w16 = widths
        self.stem = nn.Sequential(nn.Conv2d(5, w2, 5, 2, 2, bias=False), nn.BatchNorm2d(w2), nn.ReLU())
        self.down4 = nn.Sequential(_Block(w2, w4, 2), _Block(w4, w4))
        self.down8 = nn.Sequential(_Block(w4, w8, 2), _Block(w8, w8))
        self.down16 = nn.Sequential(_Block(w8, w16, 2), _Block(w16, w16))
        self.up8 = _Block(w16 + w8, w8)
        self.up4 = _Block(w8 + w4, w4 + 16)
        self.heat = nn.Conv2d(w4 + 16, 1, 1)
        self.side = nn.Conv2d(w4 + 16, 1, 1)
        self.offset = nn.Conv2d(w4 + 16, 3, 1)
        nn.init.constant_(self.heat.bias, -4.0)  # type: ignore[arg-type]  # most cells hold no hand

    def forward(self, rgb: Tensor, depth: Tensor, intrinsics: Tensor) -> FinderOutput:
        """rgb (B, 3, 120, 160) in 0..1, depth (B, 1, 120, 160) metres with 0 = none, intrinsics (B, 4) fx fy cx cy."""
        to_canonical = (FOCAL / intrinsics[:, 0]).view(-1, 1, 1, 1)
        canonical = depth * to_canonical
        valid = ((canonical > 0) & (canonical < MAX_DEPTH)).to(depth.dtype)
        canonical = canonical * valid
        x4 = self.down4(self.stem(torch.cat([rgb - 0.5, canonical - valid, valid], dim=1)))
        x8 = self.down8(x4)
        x16 = self.down16(x8)
        up = nn.functional.interpolate(x16, size=x8.shape[-2:], mode="bilinear", align_corners=False)
        y8 = self.up8(torch.cat([up, x8], dim=1))
        up = nn.functional.interpolate(y8, size=x4.shape[-2:], mode="bilinear", align_corners=False)
        y4 = self.up4(torch.cat([up, x4], dim=1))
        center = self._centers(self.offset(y4), canonical, valid, to_canonical, intrinsics)
        return FinderOutput(self.heat(y4).squeeze(1), self.side(y4).squeeze(1), center)

    def _centers(
        self, offset: Tensor, canonical: Tensor, valid: Tensor, to_canonical: Tensor, intrinsics: Tensor
    ) -> Tensor:
        """Cells' offsets (du, dv in cells, dz in canonical metres from the cell's mean reading) -> camera metres."""
        total = nn.functional.avg_pool2d(canonical, STRIDE)
        count = nn.functional.avg_pool2d(valid, STRIDE)
        # Without a reading the network gives the whole distance, counted from 0.6 canonical metres.
        reference = torch.where(count > 0, total / count.clamp(min=1e-3), torch.full_like(total, 0.6))
        du, dv, dz = offset[:, 0:1], offset[:, 1:2], offset[:, 2:3]
        z = (reference + dz).clamp(0.05, 2 * MAX_DEPTH) / to_canonical
        middle = (STRIDE - 1) / 2
        columns = torch.arange(CELLS_X, dtype=offset.dtype, device=offset.device) * STRIDE + middle
        rows = torch.arange(CELLS_Y, dtype=offset.dtype, device=offset.device) * STRIDE + middle
        u = columns.view(1, 1, 1, -1) + STRIDE * du
        v = rows.view(1, 1, -1, 1) + STRIDE * dv
        fx, fy, cx, cy = intrinsics.view(-1, 4, 1, 1, 1).unbind(1)
        return torch.cat([(u - cx) / fx * z, (v - cy) / fy * z, z], dim=1)


class HandFinderGraph(nn.Module):
    """What is exported: uint8 colour and metric depth in; per side (right, left) probabilities and centres out."""

    def __init__(self, net: HandFinderNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, rgb: Tensor, depth: Tensor, intrinsics: Tensor) -> tuple[Tensor, Tensor]:
        """rgb (1, 120, 160, 3) uint8, depth (1, 120, 160) float32 metres, intrinsics (1, 4).

        Returns heatmap (1, 2, 30, 40), whose sum over the sides is the probability of a hand, and center
        (1, 2, 3, 30, 40), the same for both sides.
        """
        color = rgb.to(torch.float32).permute(0, 3, 1, 2) / 255.0
        output = self.net(color, depth.unsqueeze(1), intrinsics)
        hand, right = torch.sigmoid(output.hand), torch.sigmoid(output.right)
        return torch.stack([hand * right, hand * (1 - right)], dim=1), torch.stack([output.center] * 2, dim=1)
