"""Training of the hand check."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from hand_pose_ros.networks.keypoint_fusion.check import HandCheck
from hand_pose_ros.training.check_crops import CheckBatch
from hand_pose_ros.training.optimisation import AveragedModule, Measured, Schedule


class CheckModule(AveragedModule):
    """Presence on all crops, side on those with a hand."""

    monitor = "wrong"

    def __init__(self, schedule: Schedule, compile_network: bool = False) -> None:
        super().__init__(HandCheck(), schedule, compile_network)

    def heavy_parts(self) -> Sequence[nn.Module]:
        """All convolutions."""
        return (cast(HandCheck, self.network).layers,)

    def loss(self, batch: CheckBatch) -> dict[str, Tensor]:
        """Cross entropies of both logits."""
        presence, side = self.run(batch.rgb, batch.depth)
        entropy = functional.binary_cross_entropy_with_logits
        terms = {
            "presence": entropy(presence, batch.is_hand.float()),
            "side": entropy(side[batch.is_hand], batch.expected_side[batch.is_hand].float()),
        }
        return {"total": terms["presence"] + terms["side"], **terms}

    @torch.no_grad()
    def evaluate(self, batch: CheckBatch) -> dict[str, Measured]:
        """Shares of right answers: hands that are taken for one, places that are not, sides; and of wrong ones."""
        presence, side = self.average.network(batch.rgb, batch.depth)
        hand, right = presence > 0, side > 0
        hands, others = float(batch.is_hand.sum()), float((~batch.is_hand).sum())
        return {
            "hands": (float(hand[batch.is_hand].float().mean()), hands),
            "others": (float((~hand[~batch.is_hand]).float().mean()), others),
            "side": (float((right == batch.expected_side)[batch.is_hand].float().mean()), hands),
            "wrong": (float((hand != batch.is_hand).float().mean()), len(hand)),
        }
