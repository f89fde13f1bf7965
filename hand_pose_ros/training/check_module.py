"""Training of the hand check."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from hand_pose_ros.networks.keypoint_fusion.check import HandCheck
from hand_pose_ros.training.check_crops import CheckBatch
from hand_pose_ros.training.optimisation import AveragedModule, Schedule


class CheckModule(AveragedModule):
    """Presence on all crops, side on those with a hand."""

    def __init__(self, schedule: Schedule, compile_network: bool = False) -> None:
        super().__init__(HandCheck(), schedule, compile_network)

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
    def validation_step(self, batch: CheckBatch, batch_index: int) -> None:
        """Shares of right answers: hands that are taken for one, places that are not, sides."""
        presence, side = self.average.network(batch.rgb, batch.depth)
        hand, right = presence > 0, side > 0
        values = {
            "val/hands": hand[batch.is_hand].float().mean(),
            "val/others": (~hand[~batch.is_hand]).float().mean(),
            "val/side": (right == batch.expected_side)[batch.is_hand].float().mean(),
        }
        self.log_dict(values, prog_bar=True, batch_size=len(batch.rgb))
