"""One fusion stage: depth keypoints refine the pose, colour keypoints are taken there, both are fused.

The points are the 32x32 cells of the depth crop, so a point's image feature is the map's own value there (the
paper's pixel-to-point look-up becomes the identity) and nothing has a data-dependent shape.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from hand_pose_ros.networks.keypoint_fusion.aggregation import BallAggregation, SoftAggregation, norm_tokens
from hand_pose_ros.networks.keypoint_fusion.attention import CrossAttention, JointTransformer
from hand_pose_ros.networks.keypoint_fusion.config import MAP_SIZE, Widths
from hand_pose_ros.networks.keypoint_fusion.coords import CropGeometry, pixel_axis, xyz_to_uvd
from hand_pose_ros.networks.keypoint_fusion.points import offsets, squared_distances
from hand_pose_ros.skeleton import NUM_JOINTS

GEOMETRY_GAMMA = 10.0  # Eq. 2
HEATMAP_SIGMA = 0.8  # map pixels


class StageInput(NamedTuple):
    """What every stage sees; P = 1024 points, all xyz in the crop's axes, normalised.

    depth_features, rgb_features (B, C, P); points (B, 3, P); valid (B, 1, P) 0 or 1; weights (B, 21, P) AWR's, sum 1;
    geometry and rotation (B, 3, 3) to project joints into the crop.
    """

    depth_features: Tensor
    rgb_features: Tensor
    points: Tensor
    valid: Tensor
    weights: Tensor
    geometry: CropGeometry
    rotation: Tensor


class StageOutput(NamedTuple):
    """refined, final (B, 21, 3); spatial_weights (B, 21, P); rgb_joints (B, 21, C) for the next stage."""

    refined: Tensor
    final: Tensor
    spatial_weights: Tensor
    rgb_joints: Tensor


class FusionStage(nn.Module):
    """One stage (paper section "Keypoint-Fusion module"); see `docs/keypoint_fusion.md` for what is repaired."""

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        channels, tokens = widths.features, widths.tokens
        pixels = MAP_SIZE * MAP_SIZE
        self.point = nn.Conv1d(channels + 3 + 5 * NUM_JOINTS, channels, 1, bias=False)
        self.point_norm = nn.BatchNorm1d(channels)
        self.point_rgb = nn.Conv1d(channels, channels, 1, bias=False)
        self.point_rgb_norm = nn.BatchNorm1d(channels)
        self.joint = nn.Linear(channels + 3, channels)
        self.joint_norm = nn.BatchNorm1d(channels)
        self.aggregate: SoftAggregation | BallAggregation
        self.aggregate = BallAggregation(channels) if widths.ball_query else SoftAggregation(channels)
        transformer = (tokens, widths.layers, widths.heads, widths.feed_forward, widths.dropout)
        self.depth_joints = JointTransformer(channels + 3, *transformer)
        self.attend = nn.Conv1d(channels + NUM_JOINTS, NUM_JOINTS, 1)
        self.mix = nn.Parameter(torch.zeros(()))
        self.pool_weight = nn.Parameter(torch.full((pixels,), 1 / 256))
        self.pool_bias = nn.Parameter(torch.zeros(()))
        self.rgb_token = nn.Linear(channels, tokens)
        self.cross = CrossAttention(tokens, widths.heads, widths.feed_forward, widths.dropout)
        self.fused_joints = JointTransformer(tokens + 3, *transformer)
        for head in (self.depth_joints, self.fused_joints):
            # Poses are corrections here; they start at none.
            for linear in (head.pose, head.residual):
                nn.init.normal_(linear.weight, std=0.001)
                nn.init.zeros_(linear.bias)

    def forward(self, given: StageInput, joints: Tensor, previous: Tensor | None) -> StageOutput:
        """joints (B, 21, 3) the pose so far (no gradient goes back through it); previous stage's rgb_joints."""
        joints = joints.detach()
        squared = squared_distances(joints, given.points)
        features = self._points(given, joints, squared)
        query = self._pool(features, given.weights, joints)
        query = self.aggregate(features, query, given.points, joints, squared, given.valid)
        tokens, step = self.depth_joints(torch.cat((query, joints), dim=2))
        refined = joints + step
        rgb_joints, weights = self._rgb(given, refined, previous)
        crossed = self.cross(self.rgb_token(rgb_joints), tokens)
        _, step = self.fused_joints(torch.cat((refined, crossed), dim=2))
        return StageOutput(refined, refined + step, weights, rgb_joints)

    def _points(self, given: StageInput, joints: Tensor, squared: Tensor) -> Tensor:
        """Point features (B, C, P) of both modalities and the pose so far."""
        lie = offsets(given.points, joints, squared, given.valid)
        # Weights sum to one over 1024 cells; scaled so that those that matter are of order one.
        inputs = torch.cat((given.depth_features, given.points, given.weights * MAP_SIZE, lie), dim=1)
        depth = torch.relu(self.point_norm(self.point(inputs)))
        return torch.relu(depth + self.point_rgb_norm(self.point_rgb(given.rgb_features)))

    def _pool(self, features: Tensor, weights: Tensor, joints: Tensor) -> Tensor:
        """Attention pooling with AWR's weights -> (B, 21, C)."""
        pooled = weights @ features.transpose(1, 2)
        mixed = self.joint(torch.cat((pooled, joints), dim=2))
        return torch.relu(norm_tokens(self.joint_norm, mixed))

    def _rgb(self, given: StageInput, refined: Tensor, previous: Tensor | None) -> tuple[Tensor, Tensor]:
        """Colour features of the joints (B, 21, C) under geometry and heat-map weights, and the latter (B, 21, P)."""
        heat = render_heatmap(given, refined)
        spatial = torch.sigmoid(self.attend(torch.cat((given.rgb_features, heat), dim=1)))
        geometry = given.valid / (GEOMETRY_GAMMA * squared_distances(refined, given.points) + 1)
        share = torch.sigmoid(self.mix)
        weights = (share * geometry + (1 - share) * spatial) * self.pool_weight
        rgb_joints = weights @ torch.relu(given.rgb_features).transpose(1, 2) + self.pool_bias
        if previous is not None:
            rgb_joints = torch.relu((rgb_joints + previous) / 2)
        return rgb_joints, spatial


def render_heatmap(given: StageInput, refined: Tensor) -> Tensor:
    """(B, 21, P) Gaussians where the joints really project (the published code reads xyz as if it were uvd)."""
    uv = xyz_to_uvd(refined @ given.rotation, given.geometry)[..., :2]
    axis = pixel_axis(MAP_SIZE, uv)
    sigma = HEATMAP_SIGMA * 2 / MAP_SIZE
    along = torch.exp((uv[..., None] - axis).square() * (-0.5 / sigma**2))
    return (along[:, :, 1, :, None] * along[:, :, 0, None, :]).flatten(2)
