"""Training of Keypoint-Fusion."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

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
from hand_pose_ros.training.muon import MOMENTUM, Muon, hidden_apart
from hand_pose_ros.training.optimisation import AveragedModule, Measured, Schedule


class KeypointFusionModule(AveragedModule):
    """The network with the paper's losses.

    Args:
        config: of the network.
        schedule: of the optimiser.
        losses: weights of the terms.
        depth_steps: the depth branch learns alone until this optimiser step. Everything else refines its joints, and a
            step of it alone costs less than half: worth it where compute is short.
        spatial_steps: the heat-map weight maps are supervised until this optimiser step; None: always.
        compile_network: run through torch.compile.
        decay: of the averaged weights.
        muon: Muon for the convolutions of the depth branch in place of AdamW (`training.muon`).
    """

    monitor = "mpjpe_mm"

    def __init__(
        self,
        config: KeypointFusionConfig,
        schedule: Schedule,
        losses: KeypointFusionLossConfig | None = None,
        depth_steps: int = 0,
        spatial_steps: int | None = None,
        compile_network: bool = False,
        decay: float = 0.999,
        muon: bool = False,
    ) -> None:
        super().__init__(KeypointFusion(config), schedule, compile_network, decay)
        self.muon = muon
        self.losses = KeypointFusionLossConfig() if losses is None else losses
        self.depth_steps = depth_steps
        self.leaves_out = depth_steps > 0
        self.spatial_steps = schedule.steps if spatial_steps is None else spatial_steps

    def heavy_parts(self) -> Sequence[nn.Module]:
        """Both branches: nearly all of the arithmetic, and none of the geometry."""
        network = cast(KeypointFusion, self.network)
        branches = (network.depth_branch, network.rgb_branch)
        return [branch for branch in branches if branch is not None]

    def configuration(self) -> dict[str, Any]:
        """The fields of `KeypointFusionConfig`."""
        return dataclasses.asdict(cast(KeypointFusion, self.network).config)

    def optimizer(self) -> torch.optim.Optimizer:
        """AdamW, or with `muon` Muon for its convolutions; norms and biases are not decayed unless the schedule says
        so."""
        if not self.muon:
            return super().optimizer()
        branch = cast(KeypointFusion, self.network).depth_branch
        hidden, rest = hidden_apart(self.network, (branch.encoder, branch.decoder))
        convolutions = {"params": hidden, "weight_decay": self.schedule.weight_decay, "momentum": MOMENTUM}
        groups = [convolutions, *self.decayed([parameter for _, parameter in rest])]
        return Muon(groups, lr=self.schedule.learning_rate)

    def loss(self, batch: CropBatch) -> dict[str, Tensor]:
        """All of the paper's terms, and presence and side; the depth branch's only during its own steps."""
        known = batch.is_hand & batch.expected_side
        joints = torch.where(known[:, None, None], batch.joints_nl, batch.joints.new_zeros(()))
        targets = KeypointFusionTargets(joints, known.float(), batch.is_hand.float(), batch.expected_side.float())
        if self.global_step < self.depth_steps:
            network = cast(KeypointFusion, self.network)
            depth_map, small, uvd = network.first_votes(normalise_depth(batch.depth, batch.center, batch.cube))
            return depth_branch_loss(depth_map, small, uvd, targets, geometry_of(batch), self.losses)
        losses = self.losses
        if self.global_step >= self.spatial_steps:
            losses = dataclasses.replace(losses, spatial=0.0)
        return keypoint_fusion_loss(forward(self.run, batch), targets, geometry_of(batch), losses)

    @torch.no_grad()
    def evaluate(self, batch: CropBatch) -> dict[str, Measured]:
        """Root-relative MPJPE (mm) with and without colour and of the first votes, absolute MPJPE, and how often
        presence and side are told right."""
        known = batch.is_hand & batch.expected_side
        output = forward(self.average.network, batch)
        blind = forward(self.average.network, batch, no_color=True)
        first = uvd_to_xyz(blind.initial_uvd, geometry_of(batch))
        poses = {"mpjpe_mm": output.joints, "mpjpe_depth_mm": blind.joints, "mpjpe_first_mm": first}
        hands, seen = float(known.sum()), float(batch.is_hand.sum())
        values = {name: (float(_root_relative_mm(pose, batch)[known].mean()), hands) for name, pose in poses.items()}
        presence, side = output.presence_logit > 0, output.side_logit > 0
        return {
            **values,
            "absolute_mm": (float(_error_mm(output.joints, batch)[known].mean()), hands),
            "presence": (float((presence == batch.is_hand).float().mean()), len(presence)),
            "side": (float((side == batch.expected_side)[batch.is_hand].float().mean()), seen),
        }


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


def _error_mm(joints_nl: Tensor, batch: CropBatch) -> Tensor:
    """Mean joint error (B,) in mm in the camera's frame."""
    error = (joints_nl - batch.joints_nl) * (batch.cube[:, None] / 2)
    distance: Tensor = torch.linalg.vector_norm(error, dim=2)
    return 1000 * distance.mean(dim=1)


def _root_relative_mm(joints_nl: Tensor, batch: CropBatch) -> Tensor:
    """Mean joint error (B,) in mm after putting both wrists at the origin."""
    error = (joints_nl - batch.joints_nl) * (batch.cube[:, None] / 2)
    relative = error - error[:, WRIST : WRIST + 1]
    distance: Tensor = torch.linalg.vector_norm(relative, dim=2)
    return 1000 * distance.mean(dim=1)
