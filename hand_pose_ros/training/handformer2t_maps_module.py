"""Training of a Handformer2T's encoder, decoder and maps alone: `hand_pose train handformer2t --placed --maps-only`.

Seeing is what takes long to learn, and most of it is learnt as well on a small crop, at a fraction of the cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

import torch
from torch import Tensor

from hand_pose_ros.networks.handformer2t import Handformer2T
from hand_pose_ros.networks.handformer2t.maps import MapPrediction, turn
from hand_pose_ros.training.encoder_start import take_over
from hand_pose_ros.training.errors import TrainingError
from hand_pose_ros.training.handformer2t_losses import Handformer2TLoss, absolute_error, facing_error
from hand_pose_ros.training.handformer2t_maps import map_loss
from hand_pose_ros.training.handformer2t_module import Handformer2TModule, targets_of
from hand_pose_ros.training.handformer2t_order import Ordered, by_place
from hand_pose_ros.training.optimisation import Measured
from hand_pose_ros.training.scene_crops import SceneBatch

_LEARNT: Final = ("backbone.", "decoder.", "maps.")


class MapsModule(Handformer2TModule):
    """Only the maps' losses: cross entropy, expected pose, facing. The network must have maps of its own."""

    monitor = "error_px"
    leaves_out = True

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if cast(Handformer2T, self.network).maps is None:
            raise TrainingError("expected a network with maps of its own, got one without (maps=False)")

    def loss(self, batch: SceneBatch) -> dict[str, Tensor]:
        """The maps' terms."""
        found = _expected(cast(Handformer2T, self.network), batch)
        ordered = by_place(targets_of(batch, self.crop), batch.uv, found.pose)
        terms = placed_map_terms(found, ordered, self.losses, self.crop)
        return {**terms, "total": torch.stack(list(terms.values())).sum()}

    @torch.no_grad()
    def evaluate(self, batch: SceneBatch) -> dict[str, Measured]:
        """Of the averaged network: the expected pose's error in pixels of the crop, whichever hand is which, and the
        share of hands whose side facing tells."""
        found = _expected(cast(Handformer2T, self.average.network), batch)
        targets, uv, sides, _ = by_place(targets_of(batch, self.crop), batch.uv, found.pose)
        pixels = torch.linalg.vector_norm((found.pose[..., :2] + 0.5) * self.crop - 0.5 - uv, dim=-1)
        known, there = targets.joint_valid > 0, targets.presence > 0
        right = ((found.facing * turn(found.pose) > 0) == (sides > 0))[there]
        return {
            "error_px": (float(pixels[known].mean()) if known.any() else 0.0, float(known.sum())),
            "side": (float(right.float().mean()) if there.any() else 0.0, float(there.sum())),
        }


def placed_map_terms(found: MapPrediction, ordered: Ordered, losses: Handformer2TLoss, crop: int) -> dict[str, Tensor]:
    """The weighted terms of maps by place (float32) of crops of this side; the truth by place."""
    config, (targets, uv, sides, _) = losses.config, ordered
    terms = {
        "maps": config.maps * map_loss(found.logits, uv, targets.joint_valid > 0, crop),
        "expected": config.direct * absolute_error(found.pose[None], targets.poses, targets.joint_valid),
        "facing": config.facing * facing_error(found.facing, targets, sides),
    }
    if config.map_depths > 0:
        terms |= losses.map_terms(found.depths, found.palms, targets, sides)
    return terms


def _expected(network: Handformer2T, batch: SceneBatch) -> MapPrediction:
    found = network.expect(network.levels(batch.rgb.contiguous(memory_format=torch.channels_last), batch.relief))
    assert found is not None  # the constructor saw to it
    return MapPrediction(*(value.float() for value in found))


def begin_maps(network: Handformer2T, weights: Mapping[str, Tensor]) -> None:
    """Put encoder, decoder and maps of other weights, of whatever crop, into a network.

    Raises:
        TrainingError: these parts are others there; the text lists what differs.
    """
    take_over(network, weights, _LEARNT)
