"""A fusion stage as engines run it; see `lean`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hand_pose_ros.networks.keypoint_fusion.aggregation import BallAggregation, SoftAggregation
from hand_pose_ros.networks.keypoint_fusion.attention import JointTransformer
from hand_pose_ros.networks.keypoint_fusion.config import KERNEL, MAP_SIZE
from hand_pose_ros.networks.keypoint_fusion.coords import pixel_axis
from hand_pose_ros.networks.keypoint_fusion.lean_aggregation import (
    EPSILON,
    LeanBalls,
    LeanSoft,
    Shared,
    convolution,
    folded,
)
from hand_pose_ros.networks.keypoint_fusion.lean_attention import LeanCrossAttention, LeanTransformer, linear
from hand_pose_ros.networks.keypoint_fusion.stage import HEATMAP_SIGMA, FusionStage
from hand_pose_ros.skeleton import NUM_JOINTS

# A point on the crop's plane is never nearer to the camera than this, in metres.
NEAREST = 1e-3
# The crop's plane in deviations of the heat maps, so that exp(-x^2) draws them.
HEAT = 0.5**0.5 * MAP_SIZE / (2 * HEATMAP_SIGMA)


class LeanStage(nn.Module):
    """`FusionStage` with all its parts, in evaluation."""

    ones: Tensor
    axis: Tensor
    spatial_pool: Tensor
    geometry_pool: Tensor
    pool_bias: Tensor
    attend_heat: Tensor

    def __init__(self, stage: FusionStage, batch: int) -> None:
        super().__init__()
        channels = stage.joint.out_features
        assert isinstance(stage.depth_joints, JointTransformer)
        weight, bias = folded(stage.point, stage.point_norm)
        weight[:, channels + 3 : channels + 3 + NUM_JOINTS] *= MAP_SIZE  # AWR's weights, see `FusionStage._points`
        weight[:, -NUM_JOINTS:] /= KERNEL  # closeness
        self.point = convolution(weight[:, :channels], bias)
        self.beside = convolution(weight[:, channels:], None)
        self.point_rgb = convolution(*folded(stage.point_rgb, stage.point_rgb_norm))
        self.attend = convolution(stage.attend.weight[:, :channels, 0], stage.attend.bias)
        joint = linear(*folded(stage.joint, stage.joint_norm))
        self.surroundings: LeanSoft | LeanBalls
        if isinstance(stage.aggregate, SoftAggregation):
            self.surroundings = LeanSoft(joint, stage.aggregate, batch)
        else:
            assert isinstance(stage.aggregate, BallAggregation)
            self.surroundings = LeanBalls(joint, stage.aggregate.desa, batch)
        self.depth_joints = LeanTransformer(stage.depth_joints, batch)
        self.rgb_token = stage.rgb_token
        self.cross = LeanCrossAttention(stage.cross, batch)
        self.fused_joints = LeanTransformer(stage.fused_joints, batch)
        share = torch.sigmoid(stage.mix)
        constants = {
            "ones": torch.ones(batch, NUM_JOINTS, 1),
            "axis": pixel_axis(MAP_SIZE) * HEAT,
            "attend_heat": stage.attend.weight[:, channels:, 0],
            "geometry_pool": share * stage.pool_weight,
            "spatial_pool": (1 - share) * stage.pool_weight,
            "pool_bias": stage.pool_bias,
        }
        for name, value in constants.items():
            self.register_buffer(name, value.detach().clone())

    def forward(self, given: Shared, joints: Tensor, previous: Tensor | None) -> tuple[Tensor, Tensor]:
        """joints (B, 21, 3) the pose so far, previous stage's second result -> pose (B, 21, 3), colour (B * 21, C)."""
        lying = self._lengths(joints)
        squared = (lying @ given.lengths).clamp(min=EPSILON)
        features = self._points(given, joints, squared)
        query = self.surroundings(features, given, joints, squared)
        tokens, step = self.depth_joints(torch.cat((query, joints.flatten(0, 1)), dim=1))
        refined = joints.flatten(0, 1) + step
        place = refined.reshape(joints.shape)
        colour = (self._weights(given, place) @ given.rgb_rows + self.pool_bias).flatten(0, 1)
        if previous is not None:
            colour = torch.relu((colour + previous) * 0.5)
        crossed = self.cross(self.rgb_token(colour), tokens)
        _, step = self.fused_joints(torch.cat((refined, crossed), dim=1))
        return (refined + step).reshape(joints.shape), colour

    def _lengths(self, joints: Tensor) -> Tensor:
        """(B, 21, 3) -> (B, 21, 5): times `Shared.lengths` it is the squared distances to the points."""
        return torch.cat((joints, joints.square().sum(dim=2, keepdim=True), self.ones), dim=2)

    def _points(self, given: Shared, joints: Tensor, squared: Tensor) -> Tensor:
        """Point features (B, C, 32, 32) of both modalities and the pose so far; `points.offsets` is in it."""
        distance = torch.sqrt(squared)
        closeness = torch.relu(KERNEL - distance)
        # One within the kernel's reach, and nothing beyond.
        near = (closeness * 1e12).clamp(max=1) / distance
        unit = (joints[..., None] - given.points[:, None]) * near[:, :, None]
        beside = torch.cat((given.points, given.weights, unit.flatten(1, 2), closeness), dim=1)
        beside = beside.reshape(beside.shape[0], beside.shape[1], MAP_SIZE, MAP_SIZE)
        features = torch.relu(self.point(given.depth_features) + self.beside(beside))
        return torch.relu(features + self.point_rgb(given.rgb_features))

    def _weights(self, given: Shared, place: Tensor) -> Tensor:
        """Weights (B, 21, P) of the colour features about the joints (B, 21, 3); see `FusionStage._color_weights`."""
        seen = place @ given.project + given.project_base
        plane, away = torch.split(seen, [2, 1], dim=2)
        apart = (plane / away.clamp(min=NEAREST))[..., None] - self.axis
        u, v = torch.split(torch.exp(-apart.square()), 1, dim=2)
        heat = (v.transpose(2, 3) * u).flatten(2)
        spatial = torch.sigmoid(self.attend(given.rgb_features).flatten(2) + self.attend_heat @ heat)
        adjacency = (self._lengths(place) @ given.adjacency).clamp(min=1)
        return given.valid * self.geometry_pool / adjacency + spatial * self.spatial_pool
