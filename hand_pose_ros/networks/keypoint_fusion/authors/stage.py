"""One fusion stage in the published order of operations (fact sheet section 3, letters in the comments)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from hand_pose_ros.networks.keypoint_fusion import awr
from hand_pose_ros.networks.keypoint_fusion.attention import CrossAttention, JointTransformer
from hand_pose_ros.networks.keypoint_fusion.authors.points import gather, point_offsets
from hand_pose_ros.networks.keypoint_fusion.config import MAP_SIZE, Widths
from hand_pose_ros.networks.keypoint_fusion.coords import CropGeometry, uvd_to_xyz
from hand_pose_ros.networks.keypoint_fusion.desa import LocalAggregation
from hand_pose_ros.networks.keypoint_fusion.stage import GEOMETRY_GAMMA, HEATMAP_SIGMA
from hand_pose_ros.skeleton import NUM_JOINTS

BERT_EPS = 1e-12


class AuthorsStageInput(NamedTuple):
    """What both stages see.

    depth_features, rgb_features (B, C, 32, 32); depth_map (B, 105, 32, 32) detached; points (B, N, 3) xyz_nl;
    closeness, nearest (B, N, 4) of the look-up; pixels (B, P, 3) xyz_nl of the map's pixels; geometry in millimetres.
    """

    depth_features: Tensor
    rgb_features: Tensor
    depth_map: Tensor
    points: Tensor
    closeness: Tensor
    nearest: Tensor
    pixels: Tensor
    geometry: CropGeometry


class AuthorsStageOutput(NamedTuple):
    """Results and the intermediates the golden tensors hold.

    refined, final (B, 21, 3) xyz_nl; spatial_weights, geometry_map, heatmap (B, 21, 32, 32); point_features (B, N, C);
    pooled, aggregated, rgb_pooled, rgb_joints, crossed, depth_tokens, fused_tokens (B, 21, C).
    """

    refined: Tensor
    final: Tensor
    spatial_weights: Tensor
    rgb_joints: Tensor
    point_features: Tensor
    pooled: Tensor
    aggregated: Tensor
    depth_tokens: Tensor
    geometry_map: Tensor
    heatmap: Tensor
    rgb_pooled: Tensor
    crossed: Tensor
    fused_tokens: Tensor


class Embedding(nn.Sequential):
    """1x1 convolution and batch norm over tokens (B, N, inputs) -> (B, N, outputs)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(nn.Conv1d(inputs, outputs, 1), nn.BatchNorm1d(outputs))

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N, inputs) -> (B, N, outputs)."""
        embedded: Tensor = self[1](self[0](tokens.transpose(1, 2)))
        return embedded.transpose(1, 2)


class AuthorsStage(nn.Module):
    """The published block without its dead parameters."""

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        channels, heads = widths.features, widths.heads
        self.point_depth = Embedding(channels, channels)
        self.point_xyz = Embedding(3, channels)
        self.point_pose = Embedding(5 * NUM_JOINTS, channels)
        self.point_rgb = Embedding(channels, channels)
        self.joint_feature = Embedding(channels, channels)
        self.joint_xyz = Embedding(3, channels)
        self.aggregate = LocalAggregation(channels)
        transformer = (widths.tokens, widths.layers, heads, widths.feed_forward, widths.dropout, BERT_EPS)
        self.depth_joints = JointTransformer(channels, *transformer)
        self.attend = nn.Conv2d(channels + NUM_JOINTS, NUM_JOINTS, 1)
        self.mix = nn.Parameter(torch.zeros(1))
        self.pool = nn.Linear(MAP_SIZE * MAP_SIZE, 1)
        self.cross = CrossAttention(widths.tokens, heads, widths.tokens, widths.dropout)
        self.fused_joints = JointTransformer(widths.tokens + 3, *transformer)

    def forward(self, given: AuthorsStageInput, joints: Tensor, previous: Tensor | None) -> AuthorsStageOutput:
        """joints (B, 21, 3) xyz_nl so far; previous (B, 21, C) the stage before's `rgb_joints`."""
        joints = joints.detach()
        features, weights = self._points(given, joints)  # a to c
        attention = torch.softmax(weights.transpose(1, 2), dim=2)  # d
        pooled = torch.relu(self.joint_feature(attention @ features) + self.joint_xyz(joints))
        aggregated = self.aggregate(features, pooled, given.points, joints)  # e
        depth_tokens, refined = self.depth_joints(aggregated)  # f
        heatmap, geometry_map = self._maps(given, refined)  # g, h
        spatial = torch.sigmoid(self.attend(torch.cat((given.rgb_features, heatmap), dim=1)))  # i
        rgb_pooled = self._pool(given.rgb_features, geometry_map, spatial)  # j
        rgb_joints = rgb_pooled if previous is None else torch.relu((rgb_pooled + previous) / 2)
        crossed = self.cross(rgb_joints, depth_tokens)  # k
        fused_tokens, final = self.fused_joints(torch.cat((refined, crossed), dim=2))  # l
        return AuthorsStageOutput(
            refined,
            final,
            spatial,
            rgb_joints,
            features,
            pooled,
            aggregated,
            depth_tokens,
            geometry_map,
            heatmap,
            rgb_pooled,
            crossed,
            fused_tokens,
        )

    def _points(self, given: AuthorsStageInput, joints: Tensor) -> tuple[Tensor, Tensor]:
        """Point features (B, N, C) and AWR's weights at the points (B, N, 21)."""
        depth = gather(given.depth_features, given.closeness, given.nearest)
        rgb = gather(given.rgb_features, given.closeness, given.nearest)
        weights = gather(given.depth_map[:, awr.WEIGHTS], given.closeness, given.nearest).detach()
        lie = torch.cat((weights, point_offsets(given.points, joints)), dim=2)
        spatial = torch.relu(self.point_depth(depth) + self.point_xyz(given.points) + self.point_pose(lie))
        return torch.relu(spatial + self.point_rgb(rgb)), weights

    @staticmethod
    def _maps(given: AuthorsStageInput, refined: Tensor) -> tuple[Tensor, Tensor]:
        """Heat map and geometry adjacency map (B, 21, 32, 32). Both read the refined xyz_nl as if it were uvd_nl."""
        axis = torch.arange(MAP_SIZE, dtype=refined.dtype, device=refined.device) + 0.5
        place = (refined[..., :2, None] + 1) / 2 * MAP_SIZE
        along = ((axis - place) / HEATMAP_SIGMA).square()
        heatmap = torch.exp(-(along[:, :, 1, :, None] + along[:, :, 0, None, :]) / 2)
        misread = uvd_to_xyz(refined, given.geometry, pixel_centre=0.0)
        squared = (misread[:, :, None] - given.pixels[:, None]).square().sum(dim=3)
        geometry_map = 1 / (GEOMETRY_GAMMA * squared + 1)
        return heatmap, geometry_map.reshape(heatmap.shape)

    def _pool(self, rgb_features: Tensor, geometry_map: Tensor, spatial: Tensor) -> Tensor:
        """(B, 21, C): a linear layer over the weighted colour features' pixels.

        relu(w f) = w relu(f) for w > 0, so the (B, 21, C, P) product is never formed.
        """
        share = torch.sigmoid(self.mix)
        weights = (share * geometry_map + (1 - share) * spatial).flatten(2) * self.pool.weight
        return weights @ torch.relu(rgb_features).flatten(2).transpose(1, 2) + self.pool.bias
