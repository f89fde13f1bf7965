"""Training of the hand finder."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hand_pose_ros.networks.hand_finder import HandFinderNet
from hand_pose_ros.training.finder_targets import FinderBatch, finder_loss
from hand_pose_ros.training.optimisation import AveragedModule, Schedule

CENTER_WEIGHT = 10.0  # a tenth of a metre counts as much as one unit of heat loss


class FinderModule(AveragedModule):
    """Heat map and centres of both hands."""

    def __init__(self, schedule: Schedule, compile_network: bool = False) -> None:
        super().__init__(HandFinderNet(), schedule, compile_network)

    def loss(self, batch: FinderBatch) -> dict[str, Tensor]:
        """Heat and centre loss."""
        heat, center = finder_loss(self.run(batch.rgb, batch.depth, batch.intrinsics), batch)
        return {"total": heat + CENTER_WEIGHT * center, "heat": heat, "center_m": center}

    @torch.no_grad()
    def validation_step(self, batch: FinderBatch, batch_index: int) -> None:
        """Recall of the strongest cell per visible hand (within 5 cm) and the error of its centre."""
        output = self.average.network(batch.rgb, batch.depth, batch.intrinsics)
        score, cell = torch.sigmoid(output.logits).flatten(2).max(dim=2)
        center = output.center.flatten(3).gather(3, cell[:, :, None, None].expand(-1, -1, 3, 1)).squeeze(3)
        visible = (batch.heat == 1.0).flatten(2).any(dim=2)
        error = torch.linalg.vector_norm(center - batch.centers, dim=2)
        found = visible & (score > 0.35) & (error < 0.05)
        absent = ~visible & (batch.weight == 1).flatten(2).all(dim=2)
        values: dict[str, Any] = {
            "val/recall": found.sum() / visible.sum().clamp(min=1),
            "val/false": ((score > 0.35) & absent).sum() / absent.sum().clamp(min=1),
            "val/center_mm": 1000 * error[found].mean() if found.any() else torch.tensor(torch.nan),
        }
        self.log_dict(values, prog_bar=True, batch_size=len(batch.rgb))
