"""Training of Keypoint-Fusion."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from hand_pose_ros.networks.keypoint_fusion import KeypointFusion, KeypointFusionConfig, KeypointFusionOutput
from hand_pose_ros.networks.keypoint_fusion.coords import CropGeometry, uvd_to_xyz
from hand_pose_ros.networks.keypoint_fusion.preprocess import normalise_depth
from hand_pose_ros.skeleton import WRIST
from hand_pose_ros.training.hand_crops import CropBatch
from hand_pose_ros.training.losses import (
    KeypointFusionLossConfig,
    KeypointFusionTargets,
    depth_branch_loss,
    keypoint_fusion_loss,
)
from hand_pose_ros.training.optimisation import AveragedModule, Schedule


class KeypointFusionModule(AveragedModule):
    """The network with the paper's losses.

    Args:
        config: of the network.
        schedule: of the optimiser.
        losses: weights of the terms.
        depth_steps: the depth branch learns alone until this optimiser step. Everything else refines its joints, and a
            step of it alone costs less than half: worth it where compute is short.
        compile_network: run through torch.compile.
    """

    def __init__(
        self,
        config: KeypointFusionConfig,
        schedule: Schedule,
        losses: KeypointFusionLossConfig | None = None,
        depth_steps: int = 0,
        compile_network: bool = False,
    ) -> None:
        super().__init__(KeypointFusion(config), schedule, compile_network)
        self.losses = KeypointFusionLossConfig() if losses is None else losses
        self.depth_steps = depth_steps

    def loss(self, batch: CropBatch) -> dict[str, Tensor]:
        """All of the paper's terms, and presence and side; the depth branch's only during its own steps."""
        known = batch.is_hand & batch.expected_side
        joints = torch.where(known[:, None, None], batch.joints_nl, torch.zeros(()))
        targets = KeypointFusionTargets(joints, known.float(), batch.is_hand.float(), batch.expected_side.float())
        if self.global_step < self.depth_steps:
            network = cast(KeypointFusion, self.network)
            depth_map, small, uvd = network.first_votes(normalise_depth(batch.depth, batch.center, batch.cube))
            return depth_branch_loss(depth_map, small, uvd, targets, geometry_of(batch), self.losses)
        return keypoint_fusion_loss(forward(self.run, batch), targets, geometry_of(batch), self.losses)

    @torch.no_grad()
    def validation_step(self, batch: CropBatch, batch_index: int) -> None:
        """Root-relative MPJPE (mm) with and without colour, and how well presence is told."""
        known = batch.is_hand & batch.expected_side
        output = forward(self.average.network, batch)
        blind = forward(self.average.network, batch, no_color=True)
        first = uvd_to_xyz(blind.initial_uvd, geometry_of(batch))
        present = output.presence_logit > 0
        values = {
            "val/mpjpe_mm": _root_relative_mm(output.joints, batch)[known].mean(),
            "val/mpjpe_depth_mm": _root_relative_mm(blind.joints, batch)[known].mean(),
            "val/mpjpe_first_mm": _root_relative_mm(first, batch)[known].mean(),
            "val/presence": (present == batch.is_hand).float().mean(),
            "val/side": ((output.side_logit > 0) == batch.expected_side)[batch.is_hand].float().mean(),
        }
        self.log_dict(values, prog_bar=True, batch_size=int(known.sum()))


def geometry_of(batch: CropBatch) -> CropGeometry:
    """How the crops lie in their cameras."""
    return CropGeometry(batch.center, batch.crop_matrix, batch.cube, batch.intrinsics)


def forward(network: torch.nn.Module, batch: CropBatch, no_color: bool = False) -> KeypointFusionOutput:
    """Run a network on a batch; `no_color` hides the colour images."""
    rgb = torch.zeros_like(batch.rgb) if no_color else batch.rgb
    depth = normalise_depth(batch.depth, batch.center, batch.cube)
    output: KeypointFusionOutput = network(
        rgb.contiguous(memory_format=torch.channels_last),
        depth,
        batch.center,
        batch.crop_matrix,
        batch.cube,
        batch.intrinsics,
    )
    return output


def _root_relative_mm(joints_nl: Tensor, batch: CropBatch) -> Tensor:
    """Mean joint error (B,) in mm after putting both wrists at the origin."""
    error = (joints_nl - batch.joints_nl) * (batch.cube[:, None] / 2)
    relative = error - error[:, WRIST : WRIST + 1]
    distance: Tensor = torch.linalg.vector_norm(relative, dim=2)
    return 1000 * distance.mean(dim=1)
