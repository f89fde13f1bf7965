"""Training of the hand finder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from hand_pose_ros.networks.hand_finder import HandFinderNet
from hand_pose_ros.training.finder_targets import FinderBatch, finder_loss
from hand_pose_ros.training.optimisation import AveragedModule, Measured, Schedule

SCORE = 0.35  # from which a cell counts as a hand in validation
NEAR = 0.05  # metres within which it is the right place
CENTER_WEIGHT = 10.0  # a tenth of a metre counts as much as one unit of heat loss


class FinderModule(AveragedModule):
    """Heat map and centres of both hands."""

    monitor = "missed"

    def __init__(self, schedule: Schedule, compile_network: bool = False) -> None:
        super().__init__(HandFinderNet(), schedule, compile_network)

    def heavy_parts(self) -> Sequence[nn.Module]:
        """All convolutions but the last ones; centres are found in float32."""
        net = cast(HandFinderNet, self.network)
        return net.stem, net.down4, net.down8, net.down16, net.up8, net.up4

    def loss(self, batch: FinderBatch) -> dict[str, Tensor]:
        """Heat, side and centre loss."""
        terms = finder_loss(self.run(batch.rgb, batch.depth, batch.intrinsics), batch)
        return {"total": terms["heat"] + terms["side"] + CENTER_WEIGHT * terms["center_m"], **terms}

    def evaluate(self, batch: FinderBatch) -> dict[str, Measured]:
        """What `look` sees, and how often the strongest cell is no hand ("missed")."""
        seen = look(self.average.network, batch)
        values = summary([seen])
        some, none = float(seen.some.sum()), float(seen.none.sum())
        weights = {"hit": some, "false": none, "side": values["hit"] * some, "center_mm": some}
        missed = {"missed": (1 - values["hit"], some)}
        return {**{name: (value, weights[name]) for name, value in values.items()}, **missed}


class Looks(NamedTuple):
    """The strongest cell of each frame: its score, whose hand it takes it for, the nearest hand that is to be found,
    how far off that is (m, infinite without one), and whether the frame has such hands, or surely none."""

    score: Tensor
    side: Tensor
    nearest: Tensor
    error: Tensor
    some: Tensor
    none: Tensor


@torch.no_grad()
def look(network: nn.Module, batch: FinderBatch) -> Looks:
    """Run a finder network on a batch."""
    output = network(batch.rgb, batch.depth, batch.intrinsics)
    score, cell = torch.sigmoid(output.hand).flatten(1).max(dim=1)
    rows = torch.arange(len(cell), device=cell.device)
    side = (output.right.flatten(1)[rows, cell] < 0).long()
    center = output.center.flatten(2)[rows, :, cell]
    distance = torch.linalg.vector_norm(center[:, None] - batch.centers, dim=2)
    error, nearest = distance.masked_fill(~batch.seen, torch.inf).min(dim=1)
    some = batch.seen.any(dim=1)
    return Looks(score, side, nearest, error, some, (batch.weight == 1).flatten(1).all(dim=1) & ~some)


def summary(looks: Sequence[Looks]) -> dict[str, float]:
    """Of frames with hands: is the strongest cell one (within `NEAR` m), of which side, how far off (median, mm); and
    how often frames without any have one."""
    score, side, nearest, error, some, none = (torch.cat(parts) for parts in zip(*looks, strict=True))
    found = score > SCORE
    hit = some & found & (error < NEAR)
    return {
        "hit": float(hit.sum() / some.sum().clamp(min=1)),
        "false": float((found & none).sum() / none.sum().clamp(min=1)),
        "side": float((hit & (side == nearest)).sum() / hit.sum().clamp(min=1)),
        "center_mm": float(1000 * error[some].median()) if some.any() else math.nan,
    }
