"""Truth for networks whose hands are ordered by their place in the picture (`Handformer2TConfig.order`)."""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from torch import Tensor

from hand_pose_ros.training.handformer2t_losses import Handformer2TTargets

# Hands whose middles are nearer than this part of the crop's side, across, have no order of their own.
_BAND: Final = 0.1


class Ordered(NamedTuple):
    """targets and uv (B, 2, 21, 2), first hand first; sides (B, 2), 1 for a right hand; swapped (B,) bool."""

    targets: Handformer2TTargets
    uv: Tensor
    sides: Tensor
    swapped: Tensor


def by_place(targets: Handformer2TTargets, uv: Tensor, poses: Tensor) -> Ordered:
    """The hand farther left first; one hand alone is the first. Where they lie one above the other, in the order in
    which they are found already: no rule holds for all directions without a jump somewhere.

    Args:
        targets: hands (right, left).
        uv: (B, 2, 21, 2) pixels of the crop.
        poses: (B, 2, 21, 3) as the network has them now.
    """
    valid, there = targets.joint_valid, targets.presence > 0
    truth = torch.where(valid[..., None] > 0, targets.poses, 0.0)
    across = truth[..., 0].sum(dim=2) / valid.sum(dim=2).clamp(min=1)
    gap = across[:, 1] - across[:, 0]
    as_is, other = (_distance(poses, p, v) for p, v in ((truth, valid), (truth.flip(1), valid.flip(1))))
    pair = torch.where(gap.abs() < _BAND, other < as_is, gap < 0)
    swapped = torch.where(there.all(dim=1), pair, ~there[:, 0] & there[:, 1])
    sides = torch.tensor([1.0, 0.0], device=uv.device).expand(len(uv), 2)
    ordered = Handformer2TTargets(
        poses=_exchange(targets.poses, swapped),
        joint_valid=_exchange(valid, swapped),
        presence=_exchange(targets.presence, swapped),
        relative_depth=torch.where(swapped, -targets.relative_depth, targets.relative_depth),
        relative_valid=targets.relative_valid,
    )
    return Ordered(ordered, _exchange(uv, swapped), _exchange(sides, swapped), swapped)


def _exchange(hands: Tensor, swapped: Tensor) -> Tensor:
    return torch.where(swapped.reshape(-1, *(1,) * (hands.ndim - 1)), hands.flip(1), hands)


def _distance(poses: Tensor, truth: Tensor, valid: Tensor) -> Tensor:
    return ((poses.detach() - truth).abs().sum(dim=-1) * valid).sum(dim=(1, 2))
