"""The U-Net decoder: maps at five strides, the heat map of all joints and the object's segmentation."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from hand_pose_ros.networks.backbones.decoder import MapDecoder
from hand_pose_ros.networks.keypoint_transformer.config import Widths


class DecoderMaps(NamedTuple):
    """features: five maps (B, C, S, S) at strides 2, 4, 8, 16, 32; maps (B, 1 or 2, 128, 128) heat, segmentation."""

    features: tuple[Tensor, ...]
    maps: Tensor


class _Decoder(nn.Module):
    """The heads of the two maps; without an object the heat map is one layer."""

    def __init__(self, widths: Widths, objects: bool) -> None:
        super().__init__()
        finest = widths.outs[3]
        self.convOut = None if objects else nn.Sequential(nn.Conv2d(finest, 1, 1))
        self.convOut_hm = _map_head(finest, widths.map_head) if objects else None
        self.convOut_seg = _map_head(finest, widths.map_head) if objects else None

    def maps(self, finest: Tensor) -> Tensor:
        """Heat map and, with an object, segmentation from the map of stride 2."""
        if self.convOut is not None:
            heat: Tensor = self.convOut(finest)
            return heat
        assert self.convOut_hm is not None and self.convOut_seg is not None
        return torch.cat((self.convOut_hm(finest), self.convOut_seg(finest)), dim=1)


class UNetDecoder(_Decoder):
    """Up-samples, joins the encoder's map (first) with the up-sampled one (second), and mixes, four times.

    Args:
        widths: channels; `skips` None leaves the encoder's maps unreduced (the "big" decoder).
        objects: a segmentation map besides the heat map, both from deeper heads.
    """

    def __init__(self, widths: Widths, objects: bool) -> None:
        super().__init__(widths, objects)
        deep = widths.backbone[3]
        self.conv0d = convolution(deep, widths.deepest, 1) if widths.deepest is not None else None
        # Each level up-samples the level below it; the lowest takes the encoder's map, not the reduced one.
        below = (deep, *widths.outs[:3])
        encoder = (*reversed(widths.backbone[:3]), widths.stem)
        for level in range(4):
            skip = encoder[level] if widths.skips is None else widths.skips[level]
            reduce = None if widths.skips is None else convolution(encoder[level], skip, 1)
            name = level + 1
            self.add_module(f"conv{name}d", reduce)
            self.add_module(f"deconv{name}", up_sampling(below[level], widths.ups[level], widths.transposed))
            self.add_module(f"conv{name}", convolution(skip + widths.ups[level], widths.outs[level], 3))

    def forward(self, pyramid: tuple[Tensor, ...]) -> DecoderMaps:
        """pyramid: the encoder's maps at strides 2, 4, 8, 16, 32."""
        deep = pyramid[4]
        features = [deep if self.conv0d is None else self.conv0d(deep)]
        current = deep
        for level in range(1, 5):
            skip = pyramid[4 - level]
            reduce = getattr(self, f"conv{level}d")
            skip = skip if reduce is None else reduce(skip)
            up = getattr(self, f"deconv{level}")(current)
            current = getattr(self, f"conv{level}")(torch.cat((skip, up), dim=1))
            features.append(current)
        return DecoderMaps(tuple(reversed(features)), self.maps(current))


class ResidualDecoder(_Decoder):
    """Ours, of `Widths.residual`: `MapDecoder`, which Handformer2T has too, and a level of stride 2 above it."""

    def __init__(self, widths: Widths, objects: bool) -> None:
        super().__init__(widths, objects)
        skip, up, out = widths.stem if widths.skips is None else widths.skips[3], widths.ups[3], widths.outs[3]
        self.blocks = MapDecoder(widths.backbone, widths.outs[:3])
        self.conv4d = convolution(widths.stem, skip, 1) if widths.skips is not None else nn.Identity()
        self.deconv4 = up_sampling(widths.outs[2], up, widths.transposed)
        self.conv4 = convolution(skip + up, out, 3)

    def forward(self, pyramid: tuple[Tensor, ...]) -> DecoderMaps:
        """pyramid: the encoder's maps at strides 2, 4, 8, 16, 32."""
        fourth, eighth, sixteenth = self.blocks(*pyramid[1:])
        finest = self.conv4(torch.cat((self.conv4d(pyramid[0]), self.deconv4(fourth)), dim=1))
        return DecoderMaps((finest, fourth, eighth, sixteenth, pyramid[4]), self.maps(finest))


def decoder_of(widths: Widths, objects: bool) -> UNetDecoder | ResidualDecoder:
    """The decoder that the widths ask for."""
    return ResidualDecoder(widths, objects) if widths.residual else UNetDecoder(widths, objects)


def convolution(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    """Convolution, batch norm, ReLU at the same resolution."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2), nn.BatchNorm2d(outputs), nn.ReLU())


def up_sampling(inputs: int, outputs: int, transposed: bool) -> nn.Sequential:
    """To twice the resolution."""
    if transposed:
        up = nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False)
        return nn.Sequential(up, nn.BatchNorm2d(outputs), nn.ReLU())
    reduce = nn.Conv2d(inputs, outputs, 1, bias=False)
    return nn.Sequential(reduce, nn.BatchNorm2d(outputs), nn.ReLU(), nn.Upsample(scale_factor=2, mode="nearest"))


def _map_head(inputs: int, hidden: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Conv2d(inputs, width, 1), nn.BatchNorm2d(width), nn.ReLU()]
        inputs = width
    return nn.Sequential(*layers, nn.Conv2d(inputs, 1, 1))
