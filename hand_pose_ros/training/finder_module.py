"""Training of the hand finder."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hand_pose_ros.networks.hand_finder import HandFinderNet
from hand_pose_ros.training.finder_targets import FinderBatch, finder_loss
from hand_pose_ros.training.optimisation import AveragedModule, Schedule

SCORE = 0.35  # from which a cell counts as a hand in validation
CENTER_WEIGHT = 10.0  # a tenth of a metre counts as much as one unit of heat loss


class FinderModule(AveragedModule):
    """Heat map and centres of both hands."""

    def __init__(self, schedule: Schedule, compile_network: bool = False) -> None:
        super().__init__(HandFinderNet(), schedule, compile_network)

    def loss(self, batch: FinderBatch) -> dict[str, Tensor]:
        """Heat, side and centre loss."""
        terms = finder_loss(self.run(batch.rgb, batch.depth, batch.intrinsics), batch)
        return {"total": terms["heat"] + terms["side"] + CENTER_WEIGHT * terms["center_m"], **terms}

    @torch.no_grad()
    def validation_step(self, batch: FinderBatch, batch_index: int) -> None:
        """Of the strongest cell of frames with hands: is it one (within 5 cm), how far off (median), of which side; and
        how often frames without any have one."""
        output = self.average.network(batch.rgb, batch.depth, batch.intrinsics)
        score, cell = torch.sigmoid(output.hand).flatten(1).max(dim=1)
        rows = torch.arange(len(cell), device=cell.device)
        side = (output.right.flatten(1)[rows, cell] < 0).long()
        center = output.center.flatten(2)[rows, :, cell]
        distance = torch.linalg.vector_norm(center[:, None] - batch.centers, dim=2)
        error, nearest = distance.masked_fill(~batch.seen, torch.inf).min(dim=1)
        some, found = batch.seen.any(dim=1), score > SCORE
        none = (batch.weight == 1).flatten(1).all(dim=1) & ~some
        hit = some & found & (error < 0.05)
        values: dict[str, Any] = {
            "val/hit": hit.sum() / some.sum().clamp(min=1),
            "val/false": (found & none).sum() / none.sum().clamp(min=1),
            "val/side": (hit & (side == nearest)).sum() / hit.sum().clamp(min=1),
            "val/center_mm": 1000 * error[some].median(),
        }
        self.log_dict(values, prog_bar=True, batch_size=len(batch.rgb))
