"""One fusion stage: depth keypoints refine the pose, colour keypoints are taken there, both are fused.

The points are the 32x32 cells of the depth crop, so a point's image feature is the map's own value there (the
paper's pixel-to-point look-up becomes the identity) and nothing has a data-dependent shape.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from hand_pose_ros.networks.keypoint_fusion.aggregation import BallAggregation, SoftAggregation, norm_tokens
from hand_pose_ros.networks.keypoint_fusion.attention import CrossAttention, JointEncoder, JointTransformer
from hand_pose_ros.networks.keypoint_fusion.config import ALL_PARTS, MAP_SIZE, FusionParts, Widths
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
    """refined, final (B, 21, 3); spatial_weights (B, 21, P); rgb_joints (B, 21, C) for the next stage.

    refined and spatial_weights are None where the part that gives them is taken out.
    """

    refined: Tensor | None
    final: Tensor
    spatial_weights: Tensor | None
    rgb_joints: Tensor


class FusionStage(nn.Module):
    """One stage (paper section "Keypoint-Fusion module"); see `docs/keypoint_fusion.md` for what is repaired.

    A part that is taken out leaves no parameter behind.
    """

    def __init__(self, widths: Widths, parts: FusionParts = ALL_PARTS) -> None:
        super().__init__()
        self.parts = parts
        channels, tokens = widths.features, widths.tokens
        in_space = 3 + 4 * NUM_JOINTS if parts.point_features else 0
        self.point = nn.Conv1d(channels + NUM_JOINTS + in_space, channels, 1, bias=False)
        self.point_norm = nn.BatchNorm2d(channels)
        if parts.projected_rgb:
            self.point_rgb = nn.Conv1d(channels, channels, 1, bias=False)
            self.point_rgb_norm = nn.BatchNorm2d(channels)
        self.joint = nn.Linear(channels + 3, channels)
        self.joint_norm = nn.BatchNorm1d(channels)
        self.aggregate: SoftAggregation | BallAggregation | None = None
        if parts.point_features:
            self.aggregate = BallAggregation(channels) if widths.ball_query else SoftAggregation(channels)
        transformer = (tokens, widths.layers, widths.heads, widths.feed_forward, widths.dropout)
        self.depth_joints = (JointTransformer if parts.refinement else JointEncoder)(channels + 3, *transformer)
        self._add_color_weights(channels)
        self.rgb_token = nn.Linear(channels, tokens)
        self.cross = CrossAttention(tokens, widths.heads, widths.feed_forward, widths.dropout)
        self.fused_joints = JointTransformer(tokens + 3, *transformer)
        for head in (self.depth_joints, self.fused_joints):
            if isinstance(head, JointTransformer):
                _start_at_none(head)

    def _add_color_weights(self, channels: int) -> None:
        parts = self.parts
        if parts.heatmap_weights:
            self.attend = nn.Conv1d(channels + NUM_JOINTS, NUM_JOINTS, 1)
        if parts.heatmap_weights and parts.geometry_adjacency:
            self.mix = nn.Parameter(torch.zeros(()))
        if parts.heatmap_weights or parts.geometry_adjacency:
            self.pool_weight = nn.Parameter(torch.full((MAP_SIZE * MAP_SIZE,), 1 / 256))
            self.pool_bias = nn.Parameter(torch.zeros(()))

    def forward(self, given: StageInput, joints: Tensor, previous: Tensor | None) -> StageOutput:
        """joints (B, 21, 3) the pose so far (no gradient goes back through it); previous stage's rgb_joints."""
        joints = joints.detach()
        squared = squared_distances(joints, given.points)
        features = self._points(given, joints, squared)
        query = self._pool(features, given.weights, joints)
        if self.aggregate is not None:
            query = self.aggregate(features, query, given.points, joints, squared, given.valid)
        tokens, refined = self._refine(torch.cat((query, joints), dim=2), joints)
        place = joints if refined is None else refined
        rgb_joints, weights = self._rgb(given, place, previous)
        crossed = self.cross(self.rgb_token(rgb_joints), tokens)
        _, step = self.fused_joints(torch.cat((place, crossed), dim=2))
        return StageOutput(refined, place + step, weights, rgb_joints)

    def _points(self, given: StageInput, joints: Tensor, squared: Tensor) -> Tensor:
        """Point features (B, C, P) of both modalities and the pose so far."""
        # Weights sum to one over 1024 cells; scaled so that those that matter are of order one.
        weights = given.weights * MAP_SIZE
        if self.parts.point_features:
            lie = offsets(given.points, joints, squared, given.valid)
            weights = torch.cat((given.points, weights, lie), dim=1)
        features = torch.relu(self.point_norm(mix_points(self.point, given.depth_features, weights)))
        if self.parts.projected_rgb:
            features = torch.relu(features + self.point_rgb_norm(mix_points(self.point_rgb, given.rgb_features)))
        return features.flatten(2)

    def _pool(self, features: Tensor, weights: Tensor, joints: Tensor) -> Tensor:
        """Attention pooling with AWR's weights -> (B, 21, C)."""
        pooled = weights @ features.transpose(1, 2)
        mixed = self.joint(torch.cat((pooled, joints), dim=2))
        return torch.relu(norm_tokens(self.joint_norm, mixed))

    def _refine(self, query: Tensor, joints: Tensor) -> tuple[Tensor, Tensor | None]:
        """Tokens of the depth keypoints (B, 21, T), and the pose they give."""
        if not isinstance(self.depth_joints, JointTransformer):
            return self.depth_joints.encode(query), None
        tokens, step = self.depth_joints(query)
        return tokens, joints + step

    def _rgb(self, given: StageInput, place: Tensor, previous: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Colour features of the joints (B, 21, C) under the weights about `place`, and the heat-map weights."""
        weights, spatial = self._color_weights(given, place)
        rgb_joints = weights @ torch.relu(given.rgb_features).transpose(1, 2)
        if self.parts.heatmap_weights or self.parts.geometry_adjacency:
            rgb_joints = rgb_joints + self.pool_bias
        if previous is not None:
            rgb_joints = torch.relu((rgb_joints + previous) / 2)
        return rgb_joints, spatial

    def _color_weights(self, given: StageInput, place: Tensor) -> tuple[Tensor, Tensor | None]:
        """Weights (B, 21, P) of the colour features (Eq. 3 and the pooling over pixels), and Eq. 1's map."""
        if not (self.parts.heatmap_weights or self.parts.geometry_adjacency):
            heat = render_heatmap(given, place)
            return heat / heat.sum(dim=2, keepdim=True).clamp(min=1e-6), None
        if not self.parts.heatmap_weights:
            return self._geometry(given, place) * self.pool_weight, None
        heat = render_heatmap(given, place)
        spatial = torch.sigmoid(mix_points(self.attend, given.rgb_features, heat).flatten(2).contiguous())
        if not self.parts.geometry_adjacency:
            return spatial * self.pool_weight, spatial
        share = torch.sigmoid(self.mix)
        return (share * self._geometry(given, place) + (1 - share) * spatial) * self.pool_weight, spatial

    @staticmethod
    def _geometry(given: StageInput, place: Tensor) -> Tensor:
        """The geometry adjacency map (B, 21, P), Eq. 2."""
        return given.valid / (GEOMETRY_GAMMA * squared_distances(place, given.points) + 1)


def _start_at_none(head: JointTransformer) -> None:
    """Poses are corrections here; they start at none."""
    for linear in (head.pose, head.residual):
        nn.init.normal_(linear.weight, std=0.001)
        nn.init.zeros_(linear.bias)


def mix_points(layer: nn.Conv1d, features: Tensor, others: Tensor | None = None) -> Tensor:
    """The layer (kernel 1) on features (B, C, P), and others (B, D, P) behind them, as a map (B, outputs, 32, 32).

    A convolution of the maps is several times faster than one of the joined points: features come from convolutions, so
    that they lie as channels last, where joining them with what lies otherwise costs more than the products.
    """
    weight, count = layer.weight[..., None], features.shape[1]
    mixed = functional.conv2d(_as_map(features), weight[:, :count], layer.bias)
    if others is None:
        return mixed
    beside = _as_map(others).contiguous(memory_format=torch.channels_last)
    return mixed + functional.conv2d(beside, weight[:, count:])


def _as_map(points: Tensor) -> Tensor:
    """(B, C, P) -> (B, C, 32, 32)."""
    return points.reshape(points.shape[0], points.shape[1], MAP_SIZE, MAP_SIZE)


def render_heatmap(given: StageInput, place: Tensor) -> Tensor:
    """(B, 21, P) Gaussians where the joints really project (the published code reads xyz as if it were uvd)."""
    uv = xyz_to_uvd(place @ given.rotation, given.geometry)[..., :2]
    axis = pixel_axis(MAP_SIZE, uv)
    sigma = HEATMAP_SIGMA * 2 / MAP_SIZE
    along = torch.exp((uv[..., None] - axis).square() * (-0.5 / sigma**2))
    return (along[:, :, 1, :, None] * along[:, :, 0, None, :]).flatten(2)
