"""The published network."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from hand_pose_ros.networks.keypoint_fusion import awr
from hand_pose_ros.networks.keypoint_fusion.attention import CrossAttention, JointTransformer
from hand_pose_ros.networks.keypoint_fusion.authors.points import look_up
from hand_pose_ros.networks.keypoint_fusion.authors.stage import AuthorsStage, AuthorsStageInput, AuthorsStageOutput
from hand_pose_ros.networks.keypoint_fusion.branch import Branch
from hand_pose_ros.networks.keypoint_fusion.config import MAP_SIZE, KeypointFusionConfig
from hand_pose_ros.networks.keypoint_fusion.coords import CropGeometry, pixel_grid, uvd_to_xyz
from hand_pose_ros.networks.keypoint_fusion.decoder import PixelHeads


class AuthorsOutput(NamedTuple):
    """As `KeypointFusionOutput`, without the heads the authors do not have; joints in their order, millimetre cubes.

    The published result list is [depth_map, rgb_map, refined 1, final 1, refined 2, final 2]. `variance` (B, 21, 3) is
    that of the pixels' votes about the initial pose; ours, for want of any other measure of doubt.
    """

    joints: Tensor
    initial_uvd: Tensor
    initial_xyz: Tensor
    depth_map: Tensor
    rgb_map: Tensor
    depth_small: Tensor
    refined: tuple[Tensor, ...]
    final: tuple[Tensor, ...]
    spatial_weights: tuple[Tensor, ...]
    has_rgb: Tensor
    stages: tuple[AuthorsStageOutput, ...]
    variance: Tensor


class AuthorsKeypointFusion(nn.Module):
    """What the published code computes, slips included; parameters that influence nothing are left out."""

    grid: Tensor

    def __init__(self, config: KeypointFusionConfig | None = None) -> None:
        super().__init__()
        self.config = KeypointFusionConfig(size="r18", variant="authors") if config is None else config
        if self.config.variant != "authors":
            raise ValueError(f"expected variant 'authors', got {self.config.variant!r}; KeypointFusion is the default")
        widths = self.config.network_widths
        self.depth_branch = Branch(1, widths.depth, widths.depth_blocks, widths)
        self.rgb_branch = Branch(3, widths.rgb, widths.rgb_blocks, widths)
        self.stages = nn.ModuleList(AuthorsStage(widths) for _ in range(self.config.stages))
        self.register_buffer("grid", pixel_grid(MAP_SIZE), persistent=False)
        for branch in (self.depth_branch, self.rgb_branch):
            _update_twice(branch.embed)
        _initialise(self)

    def forward(
        self,
        rgb: Tensor,
        depth: Tensor,
        points: Tensor,
        center: Tensor,
        crop_matrix: Tensor,
        cube: Tensor,
        intrinsics: Tensor,
    ) -> AuthorsOutput:
        """Joints of a batch of crops.

        Args:
            rgb: (B, 3, 128, 128) **BGR** in 0..1.
            depth: (B, 1, 128, 128) in [-1, 1], 1 = background.
            points: (B, 1024, 3) xyz_nl, sampled from the crop.
            center, cube: (B, 3) millimetres. crop_matrix: (B, 3, 3). intrinsics: (B, 4).
        """
        geometry = CropGeometry(center, crop_matrix, cube, intrinsics)
        depth_map, depth_features, _ = self.depth_branch(depth)
        rgb_map, rgb_features, _ = self.rgb_branch(rgb)
        depth_small = functional.interpolate(depth, size=(MAP_SIZE, MAP_SIZE), mode="nearest")
        votes = awr.read_out(depth_map, depth_small, self.grid, mask_depth=False)
        joints = uvd_to_xyz(votes.joints.detach(), geometry, pixel_centre=0.0)
        uv = self.grid.expand(depth.shape[0], -1, 2)
        pixels = uvd_to_xyz(torch.cat((uv, depth_small.flatten(2).transpose(1, 2)), dim=2), geometry, pixel_centre=0.0)
        closeness, index = look_up(points, pixels)
        given = AuthorsStageInput(
            depth_features, rgb_features, depth_map.detach(), points, closeness, index, pixels, geometry
        )
        outputs: list[AuthorsStageOutput] = []
        for stage in self.stages:
            start = outputs[-1].final if outputs else joints
            outputs.append(stage(given, start, outputs[-1].rgb_joints if outputs else None))
        return AuthorsOutput(
            joints=outputs[-1].final,
            initial_uvd=votes.joints,
            initial_xyz=joints,
            depth_map=depth_map,
            rgb_map=rgb_map,
            depth_small=depth_small,
            refined=tuple(output.refined for output in outputs),
            final=tuple(output.final for output in outputs),
            spatial_weights=tuple(output.spatial_weights for output in outputs),
            has_rgb=torch.ones_like(depth[:, 0, 0, 0]),
            stages=tuple(outputs),
            variance=votes.variance,
        )


def _update_twice(embed: nn.Module | None) -> None:
    """The published forward runs this module twice, so that in training its running statistics move twice per step."""
    if embed is not None:
        for module in embed.modules():
            if isinstance(module, nn.BatchNorm2d) and module.momentum is not None:
                module.momentum = 1 - (1 - module.momentum) ** 2


def _initialise(network: AuthorsKeypointFusion) -> None:
    """Section 9 of the fact sheet, without the ImageNet weights (the caller loads those)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
            nn.init.normal_(module.weight, std=math.sqrt(2.0 / fan_out))
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.001)
    for module in network.modules():
        if isinstance(module, PixelHeads):
            for head in module.finals:
                nn.init.normal_(head.get_parameter("weight"), std=0.001)
                nn.init.zeros_(head.get_parameter("bias"))
        elif isinstance(module, JointTransformer):
            for name, parameter in module.layers.named_parameters():
                if name.endswith("bias"):
                    nn.init.zeros_(parameter)
        elif isinstance(module, CrossAttention):
            _initialise_cross(module)


def _initialise_cross(module: CrossAttention) -> None:
    """torch's own multi-head attention: one xavier matrix for query, key and value; xavier position tables."""
    attention = module.attention
    width = attention.query.in_features
    bound = math.sqrt(6.0 / (width + 3 * width))
    for linear in (attention.query, attention.key, attention.value):
        nn.init.uniform_(linear.weight, -bound, bound)
        nn.init.zeros_(linear.bias)
    nn.init.zeros_(attention.out.bias)
    nn.init.xavier_uniform_(module.query_position)
    nn.init.xavier_uniform_(module.memory_position)
