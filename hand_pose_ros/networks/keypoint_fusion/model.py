"""Keypoint-Fusion, the repaired network: RGB-D crop -> 21 joints."""

from __future__ import annotations

import math

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
from hand_pose_ros.networks.keypoint_fusion.output import KeypointFusionOutput
from hand_pose_ros.networks.keypoint_fusion.points import front_surface
from hand_pose_ros.networks.keypoint_fusion.stage import FusionStage, StageInput, StageOutput
from hand_pose_ros.skeleton import NUM_JOINTS

PRESENCE_WIDTH = 64


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
        shared = (widths.stem_kernel, widths.features, widths.refine_skips)
        self.depth_branch = Branch(1, widths.depth, widths.depth_blocks, *shared)
        self.rgb_branch = Branch(3, widths.rgb, widths.rgb_blocks, *shared)
        self.stages = nn.ModuleList(FusionStage(widths) for _ in range(config.stages))
        self.presence = nn.Sequential(
            nn.Linear(widths.depth[3] + widths.rgb[3], PRESENCE_WIDTH), nn.ReLU(), nn.Linear(PRESENCE_WIDTH, 2)
        )
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
        depth_map, depth_features, depth_pooled = self.depth_branch(depth)
        rgb_map, rgb_features, rgb_pooled = self.rgb_branch(rgb)
        depth_small = front_surface(depth)
        votes = awr.read_out(depth_map, depth_small, self.grid)
        rgb_features = rgb_features * has_rgb[:, None, None, None]
        given = self._stage_input(votes.weights, depth_features, rgb_features, depth_small, geometry)
        joints = uvd_to_xyz(votes.joints.detach(), geometry) @ given.rotation.transpose(1, 2)
        outputs = self._run_stages(given, joints)
        final = tuple(output.final @ given.rotation for output in outputs)
        pooled = torch.cat((depth_pooled, rgb_pooled * has_rgb[:, None]), dim=1)
        presence, side = self.presence(pooled).unbind(dim=1)
        return KeypointFusionOutput(
            joints=final[-1],
            initial_uvd=votes.joints,
            depth_map=depth_map,
            rgb_map=rgb_map,
            depth_small=depth_small,
            refined=tuple(output.refined @ given.rotation for output in outputs),
            final=final,
            spatial_weights=tuple(o.spatial_weights.reshape(-1, NUM_JOINTS, MAP_SIZE, MAP_SIZE) for o in outputs),
            spread=_spread(votes.variance, outputs[-1].final - joints, cube),
            presence_logit=presence,
            side_logit=side,
            has_rgb=has_rgb,
        )

    def first_votes(self, depth: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The depth branch alone: its map (B, 105, 32, 32), `depth_small` and AWR's joints (B, 21, 3) uvd_nl."""
        depth_map, _, _ = self.depth_branch(depth)
        depth_small = front_surface(depth)
        return depth_map, depth_small, awr.read_out(depth_map, depth_small, self.grid).joints

    def _stage_input(
        self,
        weights: Tensor,
        depth_features: Tensor,
        rgb_features: Tensor,
        depth_small: Tensor,
        geometry: CropGeometry,
    ) -> StageInput:
        batch = depth_small.shape[0]
        rotation = in_plane_rotation(geometry.crop_matrix)
        valid = awr.foreground(depth_small)
        small = depth_small.flatten(2).transpose(1, 2)
        uvd = torch.cat((self.grid.expand(batch, -1, 2), small), dim=2)
        # Background cells have no place in space; they sit at the centre and are masked wherever they would count.
        points = rotation @ uvd_to_xyz(uvd, geometry).transpose(1, 2) * valid
        return StageInput(
            depth_features.flatten(2), rgb_features.flatten(2), points, valid, weights.detach(), geometry, rotation
        )

    def _run_stages(self, given: StageInput, joints: Tensor) -> list[StageOutput]:
        outputs: list[StageOutput] = []
        previous: Tensor | None = None
        for stage in self.stages:
            output: StageOutput = stage(given, joints, previous)
            outputs.append(output)
            joints, previous = output.final, output.rgb_joints
        return outputs


def _spread(variance: Tensor, correction: Tensor, cube: Tensor) -> Tensor:
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
