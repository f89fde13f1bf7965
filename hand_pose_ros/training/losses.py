"""Keypoint-Fusion's losses (fact sheet section 12), with samples that lack a modality or hold no hand masked out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from hand_pose_ros.networks.keypoint_fusion import awr
from hand_pose_ros.networks.keypoint_fusion.config import MAP_SIZE, Variant
from hand_pose_ros.networks.keypoint_fusion.coords import CropGeometry, pixel_axis, pixel_grid, xyz_to_uvd
from hand_pose_ros.networks.keypoint_fusion.output import KeypointFusionOutput, SupervisedOutput

# Where the published SmoothL1 turns from square to line, in normalised units.
KNEE: Final = 0.01
# The published heat maps measure pixels in units of 0.8.
HEAT_UNIT: Final = 0.8


@dataclass(frozen=True)
class KeypointFusionLossConfig:
    """Weights of the terms; the paper's are the defaults.

    Attributes:
        variant: "authors" takes u, v without the half pixel (see `coords`).
        pixel: unit vectors and closeness of both branches' maps.
        joints: every pose: both AWR read-outs, and refined and final of each stage.
        spatial: the heat-map weight maps, per stage.
        heat_sigmas: width of their targets in units of 0.8 map pixels, per stage; the last one is kept.
        presence, side: binary cross entropies of the two logits (ours).
    """

    variant: Variant = "default"
    pixel: float = 1.0
    joints: float = 100.0
    spatial: float = 10.0
    heat_sigmas: tuple[float, ...] = (3.0, 2.0)
    presence: float = 0.1
    side: float = 0.1


class KeypointFusionTargets(NamedTuple):
    """The truth of a batch.

    Attributes:
        joints: (B, 21, 3) xyz_nl: (camera xyz - center) / (cube / 2). Rows without a hand are not read, but must be
            finite.
        has_joints: (B,) 1 where the joints are to be learnt, 0 for crops that hold no hand (or the wrong side's).
        presence: (B,) 1 where the crop is centred on a hand.
        side: (B,) 0 where the crop is centred on a hand of the other side, else 1. Such a crop holds a hand, so the
            presence is learnt as 1 there whatever `presence` says; the side is learnt wherever there is a hand.
    """

    joints: Tensor
    has_joints: Tensor
    presence: Tensor
    side: Tensor


def smooth_l1(prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """The published loss: 0.5 z^2 below `KNEE`, else KNEE (|z| - KNEE / 2); mean over the samples of weight (B,)."""
    loss = KNEE * functional.smooth_l1_loss(prediction, target, beta=KNEE, reduction="none")
    return loss.mean() if weight is None else weighted_mean(loss.flatten(1).mean(dim=1), weight)


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Mean of (B,) values under (B,) weights; 0 where all weights are 0."""
    return (values * weight).sum() / weight.sum().clamp(min=1e-6)


def heat_maps(joints_uvd: Tensor, sigma: float) -> Tensor:
    """(B, 21, 32, 32) Gaussians at (B, 21, 3) uvd_nl, `sigma` in units of 0.8 map pixels, scaled to a maximum of 1.

    The maximum is the whole batch's, as published.
    """
    width = sigma * HEAT_UNIT * 2 / MAP_SIZE
    along = torch.exp((joints_uvd[..., :2, None] - pixel_axis(MAP_SIZE, joints_uvd)).square() * (-0.5 / width**2))
    maps = along[:, :, 1, :, None] * along[:, :, 0, None, :]
    return maps / maps.amax().clamp(min=1e-12)


def keypoint_fusion_loss(
    output: SupervisedOutput,
    targets: KeypointFusionTargets,
    geometry: CropGeometry,
    config: KeypointFusionLossConfig | None = None,
) -> dict[str, Tensor]:
    """All terms, weighted, and their sum under "total".

    Names: pixel_depth, pixel_rgb, joints_depth, joints_rgb (AWR), refined_1, ..., final_1, ..., spatial_1, ...,
    presence, side. A part of the network that does not exist has no term.
    """
    config = KeypointFusionLossConfig() if config is None else config
    pixel_centre = 0.0 if config.variant == "authors" else 0.5
    uvd = xyz_to_uvd(targets.joints, geometry, pixel_centre)
    has_joints = targets.has_joints.to(uvd.dtype)
    has_depth = (awr.foreground(output.depth_small).sum(dim=(1, 2)) > 0).to(uvd.dtype)
    terms = _branch_terms(output, uvd, has_joints * has_depth, has_joints * has_depth * output.has_rgb, config)
    for name, poses in (("refined", output.refined), ("final", output.final)):
        for stage, pose in enumerate(poses, start=1):
            terms[f"{name}_{stage}"] = config.joints * smooth_l1(pose, targets.joints, has_joints)
    for stage, weights in enumerate(output.spatial_weights, start=1):
        sigma = config.heat_sigmas[min(stage, len(config.heat_sigmas)) - 1]
        terms[f"spatial_{stage}"] = config.spatial * smooth_l1(weights, heat_maps(uvd, sigma), has_joints)
    if isinstance(output, KeypointFusionOutput) and config.variant != "authors":
        terms.update(_existence_terms(output, targets, config))
    terms["total"] = torch.stack(list(terms.values())).sum()
    return terms


def depth_branch_loss(
    depth_map: Tensor,
    depth_small: Tensor,
    joints_uvd: Tensor,
    targets: KeypointFusionTargets,
    geometry: CropGeometry,
    config: KeypointFusionLossConfig | None = None,
) -> dict[str, Tensor]:
    """The terms pixel_depth and joints_depth of `keypoint_fusion_loss` alone, and their sum under "total".

    The arguments are what `KeypointFusion.first_votes` gives.
    """
    config = KeypointFusionLossConfig() if config is None else config
    uvd = xyz_to_uvd(targets.joints, geometry)
    weight = targets.has_joints.to(uvd.dtype) * (awr.foreground(depth_small).sum(dim=(1, 2)) > 0)
    with torch.no_grad():
        target = awr.target(uvd, depth_small, pixel_grid(MAP_SIZE).to(uvd))
    terms = {
        "pixel_depth": config.pixel * smooth_l1(depth_map[:, : awr.TARGET_CHANNELS], target, weight),
        "joints_depth": config.joints * smooth_l1(joints_uvd, uvd, weight),
    }
    return {**terms, "total": torch.stack(list(terms.values())).sum()}


def _branch_terms(
    output: SupervisedOutput,
    uvd: Tensor,
    depth_weight: Tensor,
    rgb_weight: Tensor,
    config: KeypointFusionLossConfig,
) -> dict[str, Tensor]:
    """Both branches' maps and read-outs. The colour branch's votes start at depth pixels too, so it needs both."""
    grid = pixel_grid(MAP_SIZE).to(uvd)
    with torch.no_grad():
        target = awr.target(uvd, output.depth_small, grid)
    channels = awr.TARGET_CHANNELS
    terms = {
        "pixel_depth": config.pixel * smooth_l1(output.depth_map[:, :channels], target, depth_weight),
        "joints_depth": config.joints * smooth_l1(output.initial_uvd, uvd, depth_weight),
    }
    if output.rgb_map is not None:
        rgb_joints = awr.read_out(output.rgb_map, output.depth_small, grid).joints
        terms["pixel_rgb"] = config.pixel * smooth_l1(output.rgb_map[:, :channels], target, rgb_weight)
        terms["joints_rgb"] = config.joints * smooth_l1(rgb_joints, uvd, rgb_weight)
    return terms


def _existence_terms(
    output: KeypointFusionOutput, targets: KeypointFusionTargets, config: KeypointFusionLossConfig
) -> dict[str, Tensor]:
    side = targets.side.to(output.joints.dtype)
    presence = torch.maximum(targets.presence.to(side.dtype), 1 - side)
    bce = functional.binary_cross_entropy_with_logits
    sides = bce(output.side_logit, side, reduction="none")
    return {
        "presence": config.presence * bce(output.presence_logit, presence),
        "side": config.side * weighted_mean(sides, presence),
    }
