"""Keypoint-Fusion, the repaired network: RGB-D crop -> 21 joints."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hand_pose_ros.networks.keypoint_fusion import awr
from hand_pose_ros.networks.keypoint_fusion.branch import Branch
from hand_pose_ros.networks.keypoint_fusion.config import MAP_SIZE, KeypointFusionConfig
from hand_pose_ros.networks.keypoint_fusion.coords import (
    CropGeometry,
    in_plane_rotation,
    pixel_grid,
    uvd_to_xyz,
)
from hand_pose_ros.networks.keypoint_fusion.decoder import PixelHeads
from hand_pose_ros.networks.keypoint_fusion.dense import DenseInput, DenseOutput, DenseStage
from hand_pose_ros.networks.keypoint_fusion.output import KeypointFusionOutput
from hand_pose_ros.networks.keypoint_fusion.points import front_surface
from hand_pose_ros.networks.keypoint_fusion.stage import FusionStage, StageInput, StageOutput
from hand_pose_ros.skeleton import NUM_JOINTS

PRESENCE_WIDTH = 64


class Poses(NamedTuple):
    """What the stages give, in the camera's axes; see `KeypointFusionOutput`."""

    refined: tuple[Tensor, ...] = ()
    final: tuple[Tensor, ...] = ()
    spatial_weights: tuple[Tensor, ...] = ()


class Seen(NamedTuple):
    """The crop as the branches see it: features (B, C, 32, 32), AWR's votes and the depth map they come from."""

    depth_features: Tensor
    rgb_features: Tensor
    depth_map: Tensor
    depth_small: Tensor
    votes: awr.Votes
    geometry: CropGeometry


class KeypointFusion(nn.Module):
    """The network (default variant). `authors.AuthorsKeypointFusion` is the published computation."""

    grid: Tensor

    def __init__(self, config: KeypointFusionConfig) -> None:
        super().__init__()
        if config.variant != "default":
            raise ValueError(
                f"expected variant 'default', got {config.variant!r}; AuthorsKeypointFusion computes 'authors'"
            )
        self.config = config
        widths = config.network_widths
        self.depth_branch = Branch(1, widths.depth, widths.depth_blocks, widths)
        self.rgb_branch: Branch | None = None
        pooled = widths.depth[3]
        if config.stages:
            self.rgb_branch = Branch(3, widths.rgb, widths.rgb_blocks, widths)
            pooled += widths.rgb[3]
        dense = config.fusion == "dense"
        self.stages = nn.ModuleList(
            DenseStage(widths) if dense else FusionStage(widths, config.parts) for _ in range(config.stages)
        )
        self.presence = nn.Sequential(nn.Linear(pooled, PRESENCE_WIDTH), nn.ReLU(), nn.Linear(PRESENCE_WIDTH, 2))
        self.register_buffer("grid", pixel_grid(MAP_SIZE), persistent=False)
        self.apply(_initialise)

    def forward(
        self, rgb: Tensor, depth: Tensor, center: Tensor, crop_matrix: Tensor, cube: Tensor, intrinsics: Tensor
    ) -> KeypointFusionOutput:
        """Joints of a batch of crops.

        Args:
            rgb: (B, 3, 128, 128) in 0..1; a sample that is all zero has no colour.
            depth: (B, 1, 128, 128) (z - center_z) / (cube_z / 2) within [-1, 1]; 1 where there is none.
            center: (B, 3) metres, the cube's centre in the camera frame.
            crop_matrix: (B, 3, 3) full-image pixel -> crop pixel.
            cube: (B, 3) metres, its edge lengths.
            intrinsics: (B, 4) fx, fy, cx, cy of the full image.
        """
        geometry = CropGeometry(center, crop_matrix, cube, intrinsics)
        has_rgb = (rgb.amax(dim=(1, 2, 3)) > 0).to(rgb.dtype)
        depth_map, depth_features, pooled = self.depth_branch(depth)
        depth_small = front_surface(depth)
        votes = awr.read_out(depth_map, depth_small, self.grid)
        first = uvd_to_xyz(votes.joints, geometry)
        rgb_map, poses = None, Poses()
        if self.rgb_branch is not None:
            rgb_map, rgb_features, rgb_pooled = self.rgb_branch(rgb)
            rgb_features = rgb_features * has_rgb[:, None, None, None]
            pooled = torch.cat((pooled, rgb_pooled * has_rgb[:, None]), dim=1)
            seen = Seen(depth_features, rgb_features, depth_map, depth_small, votes, geometry)
            poses = self._dense(seen) if self.config.fusion == "dense" else self._keypoints(seen, first.detach())
        joints = poses.final[-1] if poses.final else first
        presence, side = self.presence(pooled).unbind(dim=1)
        return KeypointFusionOutput(
            joints=joints,
            initial_uvd=votes.joints,
            depth_map=depth_map,
            rgb_map=rgb_map,
            depth_small=depth_small,
            refined=poses.refined,
            final=poses.final,
            spatial_weights=poses.spatial_weights,
            spread=spread(votes.variance, joints - first, cube),
            presence_logit=presence,
            side_logit=side,
            has_rgb=has_rgb,
        )

    def first_votes(self, depth: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The depth branch alone: its map (B, 105, 32, 32), `depth_small` and AWR's joints (B, 21, 3) uvd_nl."""
        depth_map, _, _ = self.depth_branch(depth)
        depth_small = front_surface(depth)
        return depth_map, depth_small, awr.read_out(depth_map, depth_small, self.grid).joints

    def _keypoints(self, seen: Seen, first: Tensor) -> Poses:
        """Keypoint fusion from the pose `first` (B, 21, 3) on, in the crop's own axes."""
        given = self._stage_input(seen)
        joints = first @ given.rotation.transpose(1, 2)
        outputs: list[StageOutput] = []
        previous: Tensor | None = None
        for stage in self.stages:
            output: StageOutput = stage(given, joints, previous)
            outputs.append(output)
            joints, previous = output.final, output.rgb_joints
        maps = (o.spatial_weights for o in outputs if o.spatial_weights is not None)
        return Poses(
            refined=tuple(o.refined @ given.rotation for o in outputs if o.refined is not None),
            final=tuple(o.final @ given.rotation for o in outputs),
            spatial_weights=tuple(weights.reshape(-1, NUM_JOINTS, MAP_SIZE, MAP_SIZE) for weights in maps),
        )

    def _dense(self, seen: Seen) -> Poses:
        given = DenseInput(seen.rgb_features, seen.depth_map, seen.depth_small, self.grid)
        features, final = seen.depth_features, []
        for stage in self.stages:
            output: DenseOutput = stage(given, features)
            features = output.features
            final.append(uvd_to_xyz(output.joints, seen.geometry))
        return Poses(final=tuple(final))

    def _stage_input(self, seen: Seen) -> StageInput:
        batch = seen.depth_small.shape[0]
        rotation = in_plane_rotation(seen.geometry.crop_matrix)
        valid = awr.foreground(seen.depth_small)
        small = seen.depth_small.flatten(2).transpose(1, 2)
        uvd = torch.cat((self.grid.expand(batch, -1, 2), small), dim=2)
        # Background cells have no place in space; they sit at the centre and are masked wherever they would count.
        points = rotation @ uvd_to_xyz(uvd, seen.geometry).transpose(1, 2) * valid
        features = seen.depth_features.flatten(2), seen.rgb_features.flatten(2)
        return StageInput(*features, points, valid, seen.votes.weights.detach(), seen.geometry, rotation)


def spread(variance: Tensor, correction: Tensor, cube: Tensor) -> Tensor:
    """(B, 21) metres per axis: the votes' scatter about the first pose and what the stages then changed."""
    with torch.no_grad():
        squared = (variance + correction.detach().square()) * (cube[:, None] / 2).square()
        return torch.sqrt(squared.mean(dim=2) + 1e-12)


def _initialise(module: nn.Module) -> None:
    """Convolutions as the authors' (N(0, sqrt(2 / (k k out)))), pixel heads near zero."""
    if isinstance(module, nn.Conv2d):
        fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
        nn.init.normal_(module.weight, std=math.sqrt(2.0 / fan_out))
    if isinstance(module, PixelHeads):
        for head in module.finals:
            if isinstance(head, nn.Conv2d):
                nn.init.normal_(head.weight, std=0.001)
                nn.init.zeros_(head.bias) if head.bias is not None else None
