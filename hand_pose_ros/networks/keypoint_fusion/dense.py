"""Dense fusion: the baseline that keypoint fusion is compared with for efficiency (the paper's Table 4)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from hand_pose_ros.networks.keypoint_fusion import awr
from hand_pose_ros.networks.keypoint_fusion.attention import CrossAttention
from hand_pose_ros.networks.keypoint_fusion.config import MAP_SIZE, Widths
from hand_pose_ros.networks.keypoint_fusion.decoder import PixelHeads, Residual

PIXELS = MAP_SIZE * MAP_SIZE


class DenseInput(NamedTuple):
    """What every stage sees: rgb_features (B, C, 32, 32), depth_map (B, 105, 32, 32), depth_small (B, 1, 32, 32),
    grid (P, 2)."""

    rgb_features: Tensor
    depth_map: Tensor
    depth_small: Tensor
    grid: Tensor


class DenseOutput(NamedTuple):
    """features (B, C, 32, 32), the fused map; joints (B, 21, 3) uvd_nl, its votes."""

    features: Tensor
    joints: Tensor


class DenseStage(nn.Module):
    """Pixel-wise RGB-D fusion at the full resolution of the maps; our own construction.

    The paper holds keypoint fusion against methods that let the two modalities meet at every pixel. This is the
    plainest such thing to stand beside our stage, of the same pieces: every pixel of the depth map attends to all
    pixels of the colour map and the other way round (1024 x 1024 each, the same cross attention, an embedding of the
    place per pixel), both results and both features are fused by a residual module, and AWR's votes are read from the
    fused map as from the depth branch's, whose map it corrects. Pixels without a reading take part, as they do there.
    """

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        channels, tokens = widths.features, widths.tokens
        attention = (tokens, widths.heads, widths.feed_forward, widths.dropout, PIXELS)
        self.depth_token = nn.Linear(channels, tokens)
        self.rgb_token = nn.Linear(channels, tokens)
        self.depth_asks = CrossAttention(*attention)
        self.rgb_asks = CrossAttention(*attention)
        self.fuse = Residual(2 * channels + 2 * tokens, channels)
        self.heads = PixelHeads(channels)

    def forward(self, given: DenseInput, features: Tensor) -> DenseOutput:
        """features (B, C, 32, 32): the depth map's, later the stage before's."""
        depth = self.depth_token(features.flatten(2).transpose(1, 2))
        rgb = self.rgb_token(given.rgb_features.flatten(2).transpose(1, 2))
        asked = torch.cat((self.depth_asks(depth, rgb), self.rgb_asks(rgb, depth)), dim=2).transpose(1, 2)
        asked = asked.reshape(-1, asked.shape[1], MAP_SIZE, MAP_SIZE)
        fused = self.fuse(torch.cat((features, given.rgb_features, asked), dim=1))
        corrected = given.depth_map.detach() + self.heads(fused)
        return DenseOutput(fused, awr.read_out(corrected, given.depth_small, given.grid).joints)
