"""The losses of Handformer2T (WACV 2024, section 3.5; fact sheet section 7)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from hand_pose_ros.networks.handformer2t.maps import turn
from hand_pose_ros.networks.handformer2t.output import Handformer2TOutput
from hand_pose_ros.skeleton import BONES, MCPS, WRIST
from hand_pose_ros.training.handformer2t_flow import DIMENSIONS, RealNVP
from hand_pose_ros.training.handformer2t_maps import seen_at

RleForm = Literal["density", "literal", "public", "laplace"]
# Of the median squared distance that sets the kernel's width.
_SMALLEST_WIDTH: Final = 1e-6


@dataclass(frozen=True)
class Handformer2TLossConfig:
    """Weights and rules; the defaults are the paper's where it says something.

    Attributes:
        rle_form: "density" is the logarithm of a density in three dimensions; "literal" Eq. 18 as printed, with one
            log u in place of three; "public" what the published code of residual log-likelihood estimation computes;
            "laplace" has no flow: u then is the scale of the error, which a flow can take over (docs/handformer2t.md).
        direct: weight of the mean absolute error in the pose's units, of all stages (ours).
        mmd: weight of the maximum mean discrepancy of the coarse poses (Eq. 20).
        mmd_until: share of the training after which that weight has fallen linearly to 0; None keeps it (paper). The
            fact sheet's toy experiment learns faster without the term.
        bones: weight of the error of bone lengths in the pose's units (ours).
        maps: weight of the cross entropy of joint maps, the network's own or beside it (ours).
        map_depths: weight of the absolute error of the network's maps of depths where the joints are (ours): under maps
            of places that are still wide, their mean says little.
        side, facing: weights of the sides of a network that orders hands by place, and of `maps.MapPose.facing` (ours).
        presence, relative_depth: weights of the two optional heads, where the network has them.
    """

    rle_form: RleForm = "density"
    direct: float = 0.0
    mmd: float = 10.0
    mmd_until: float | None = None
    bones: float = 0.0
    maps: float = 0.0
    map_depths: float = 0.0
    side: float = 1.0
    facing: float = 5.0
    presence: float = 1.0
    relative_depth: float = 1.0

    def __post_init__(self) -> None:
        if self.rle_form not in ("density", "literal", "public", "laplace"):
            raise ValueError(f"rle_form: expected 'density', 'literal', 'public' or 'laplace', got {self.rle_form!r}")
        if self.mmd_until is not None and not 0 < self.mmd_until <= 1:
            raise ValueError(f"mmd_until: expected a share of the training in (0, 1], got {self.mmd_until}")


class Handformer2TTargets(NamedTuple):
    """The truth of B samples, in the units of `Handformer2TOutput`; hands are (right, left).

    Attributes:
        poses: (B, 2, 21, 3). What is not valid is not read.
        joint_valid: (B, 2, 21) 0 or 1; all 0 for a hand that is not there.
        presence: (B, 2) 0 or 1.
        relative_depth: (B,) left wrist less right wrist.
        relative_valid: (B,) 1 where both wrists are known.
    """

    poses: Tensor
    joint_valid: Tensor
    presence: Tensor
    relative_depth: Tensor
    relative_valid: Tensor


class Handformer2TLoss(nn.Module):
    """All terms, with one flow per stage. Its parameters are trained with the network's.

    Args:
        stages: N of the network.
        config: weights and rules.
    """

    def __init__(self, stages: int, config: Handformer2TLossConfig | None = None) -> None:
        super().__init__()
        self.config = Handformer2TLossConfig() if config is None else config
        self.stages = stages
        self.flows = nn.ModuleList(RealNVP() for _ in range(0 if self.config.rle_form == "laplace" else stages))

    def forward(
        self,
        output: Handformer2TOutput,
        targets: Handformer2TTargets,
        progress: float = 0.0,
        sides: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Weighted terms, and their sum under "total". `progress` 0..1 is the share of the training that is done;
        `sides` (B, 2) is 1 for right hands, needed where the network tells sides.

        Computed in float32 whatever the autocast: exp and 1 / u overflow half precision.

        Raises:
            ValueError: the output has another number of stages.
        """
        if len(output.poses) != self.stages:
            raise ValueError(f"expected {self.stages} stages, one per flow, got {len(output.poses)}")
        with torch.autocast(output.poses.device.type, enabled=False):
            terms = self._terms(
                _single(output),
                Handformer2TTargets(*(value.float() for value in targets)),
                progress,
            )
            if sides is not None and output.side_logits is not None:
                terms["side"] = self.config.side * side_entropy(output.side_logits.float(), sides, targets.presence)
                if output.facing is not None:
                    error = facing_error(output.facing.float(), targets, sides)
                    terms["facing"] = self.config.facing * error
                if self.config.map_depths > 0 and output.map_depths is not None and output.map_palms is not None:
                    terms |= self.map_terms(output.map_depths.float(), output.map_palms.float(), targets, sides)
        return {**terms, "total": torch.stack(list(terms.values())).sum()}

    def map_terms(
        self, depths: Tensor, palms: Tensor, targets: Handformer2TTargets, sides: Tensor
    ) -> dict[str, Tensor]:
        """Of the maps of depths (B, 2, 21, n) and of palms (B, 21, n) where the joints are: each joint by itself."""
        valid = targets.joint_valid
        truth = torch.where(valid[..., None] > 0, targets.poses.float(), 0.0)
        depth = (seen_at(depths, truth[..., :2]) - truth[..., 2]).abs()
        palm = seen_at(palms[:, None].expand_as(depths), truth[..., :2])
        turned, known = true_facing(targets, sides)
        error = (palm - turned[..., None]).square()
        return {
            "map_depths": self.config.map_depths * valid_mean(depth, valid),
            "palms": self.config.facing * valid_mean(error, valid * known[..., None]),
        }

    def _terms(self, output: Handformer2TOutput, targets: Handformer2TTargets, progress: float) -> dict[str, Tensor]:
        config, valid = self.config, targets.joint_valid
        terms = {}
        for index, (pose, scale) in enumerate(zip(output.poses, output.scales, strict=True)):
            flow = self.flows[index] if self.flows else None
            log_likelihood = rle(pose, scale, targets.poses, valid, flow, config.rle_form)
            terms[f"rle_{index + 1}"] = valid_mean(log_likelihood, valid)
        if config.direct > 0:
            terms["direct"] = config.direct * absolute_error(output.poses, targets.poses, valid)
            if output.map_pose is not None:
                terms["expected"] = config.direct * absolute_error(output.map_pose[None], targets.poses, valid)
        weight = config.mmd * mmd_share(progress, config.mmd_until)
        if weight > 0:
            terms["mmd"] = weight * mmd(output.poses[0], targets.poses, valid)
        if config.bones > 0:
            terms["bones"] = config.bones * bone_error(output.poses, targets.poses, valid)
        if output.presence_logits is not None:
            terms["presence"] = config.presence * functional.binary_cross_entropy_with_logits(
                output.presence_logits, targets.presence
            )
        if output.relative_depth is not None:
            known = targets.relative_valid
            truth = torch.where(known > 0, targets.relative_depth, 0.0)
            error = functional.smooth_l1_loss(output.relative_depth, truth, reduction="none")
            terms["relative_depth"] = config.relative_depth * valid_mean(error, known)
        return terms


def _single(output: Handformer2TOutput) -> Handformer2TOutput:
    presence, depth = output.presence_logits, output.relative_depth
    return Handformer2TOutput(
        poses=output.poses.float(),
        scales=output.scales.float(),
        presence_logits=None if presence is None else presence.float(),
        relative_depth=None if depth is None else depth.float(),
        map_pose=None if output.map_pose is None else output.map_pose.float(),
    )


def facing_error(facing: Tensor, targets: Handformer2TTargets, sides: Tensor) -> Tensor:
    """Mean squared error of facing (B, 2) from the true turn, its sign changed for left hands, where it is known."""
    truth, known = true_facing(targets, sides)
    return valid_mean((facing - truth).square(), known)


def true_facing(targets: Handformer2TTargets, sides: Tensor) -> tuple[Tensor, Tensor]:
    """The true turn (B, 2), its sign changed for left hands, and whether it is known."""
    known = targets.joint_valid[..., [WRIST, MCPS[0], MCPS[3]]].prod(dim=-1)
    poses = torch.where(known[..., None, None] > 0, targets.poses.float(), 0.0)
    return turn(poses) * (2 * sides - 1), known


def side_entropy(logits: Tensor, sides: Tensor, presence: Tensor) -> Tensor:
    """Cross entropy of the sides (B, 2) of the hands that are there."""
    entropy = functional.binary_cross_entropy_with_logits(logits, sides, reduction="none")
    return valid_mean(entropy, (presence > 0).float())


def rle(pose: Tensor, scale: Tensor, truth: Tensor, valid: Tensor, flow: nn.Module | None, form: RleForm) -> Tensor:
    """Minus log likelihood (...) per joint: Laplace times flow of the scaled error (Eqs. 18, 19). May be negative.

    pose, truth (..., 3), scale u, valid (...). The density's normaliser is left out, as the public code does. Where a
    joint is not valid its truth is not read, and there is no gradient. Without a flow: the Laplace density alone.
    """
    known = valid > 0
    error = torch.where(known[..., None], truth - pose, 0.0) / scale[..., None]
    distance, log_scale = error.abs().sum(dim=-1), scale.log()
    if flow is None:
        return torch.where(known, distance + DIMENSIONS * (math.log(2) + log_scale), 0.0)
    # A third of a step's time is the flows': what is not known is not sent through them.
    log_flow = torch.zeros_like(distance).masked_scatter(known, flow(error[known]))
    if form == "public":
        # Per coordinate log u - log G, and log u + log sqrt(2 pi) + |error| / sqrt 2: log u twice, log G three times.
        twice = 2 * log_scale + 0.5 * math.log(2 * math.pi) - log_flow
        likelihood = DIMENSIONS * twice + distance / math.sqrt(2)
    else:
        powers = DIMENSIONS if form == "density" else 1
        likelihood = distance + DIMENSIONS * math.log(2) - log_flow + powers * log_scale
    return torch.where(known, likelihood, 0.0)


def mmd(pose: Tensor, truth: Tensor, valid: Tensor) -> Tensor:
    """Squared maximum mean discrepancy of a batch of poses and its truths (B, 2, 21, 3), >= 0 (Eq. 20).

    Biased estimate with a Gaussian kernel as wide as the median squared distance. 0 for a batch of one. Joints that
    are not valid are alike in both, so they cancel.
    """
    if len(pose) < 2:
        return pose.new_zeros(())
    known = valid[..., None] > 0
    # What is not known is set to 0 in both: alike, and of no weight in any distance.
    found, true = (torch.where(known, values, 0.0).flatten(1) for values in (pose, truth))
    both = torch.cat((found, true))
    squared = (both[:, None] - both[None]).square().sum(dim=2)
    off_diagonal = ~torch.eye(len(both), dtype=torch.bool, device=both.device)
    width = squared.detach()[off_diagonal].median().clamp(min=_SMALLEST_WIDTH)
    kernel, count = torch.exp(-squared / width), len(found)
    within = kernel[:count, :count].mean() + kernel[count:, count:].mean()
    return within - 2 * kernel[:count, count:].mean()


def mmd_share(progress: float, until: float | None) -> float:
    """What is left of the weight of `mmd` at this share of the training."""
    return 1.0 if until is None else max(0.0, 1.0 - progress / until)


def absolute_error(poses: Tensor, truth: Tensor, valid: Tensor) -> Tensor:
    """Mean absolute error of a coordinate: poses (N, B, 2, 21, 3), truth (B, 2, 21, 3), valid (B, 2, 21)."""
    error = torch.where(valid[..., None] > 0, truth - poses, 0.0).abs().mean(dim=-1)
    return valid_mean(error, valid.expand_as(error))


def bone_error(poses: Tensor, truth: Tensor, valid: Tensor) -> Tensor:
    """Mean absolute error of bone lengths: poses (N, B, 2, 21, 3), truth (B, 2, 21, 3), valid (B, 2, 21)."""
    parent, child = torch.tensor(BONES, device=poses.device).unbind(dim=1)
    known = valid[..., parent] * valid[..., child]
    true = torch.where(valid[..., None] > 0, truth, 0.0)
    error = (_lengths(poses, parent, child) - _lengths(true, parent, child)).abs()
    return valid_mean(error, known.expand_as(error))


def _lengths(poses: Tensor, parent: Tensor, child: Tensor) -> Tensor:
    # The smallest number keeps the root's gradient finite where a bone has no length.
    return (poses[..., child, :] - poses[..., parent, :]).square().sum(dim=-1).clamp(min=1e-12).sqrt()


def valid_mean(values: Tensor, valid: Tensor) -> Tensor:
    """Mean of the values that are valid (1, or True; else 0); 0 where none is."""
    return (values * valid).sum() / valid.sum().clamp(min=1)
