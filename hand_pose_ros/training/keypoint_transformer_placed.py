"""What Keypoint Transformer's maps by place are taught (`KeypointTransformerConfig.placed`): as Handformer2T's are."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from hand_pose_ros.networks.handformer2t.maps import MapPrediction
from hand_pose_ros.networks.keypoint_transformer.output import KeypointTransformerOutput
from hand_pose_ros.training.handformer2t_losses import Handformer2TLoss, valid_mean
from hand_pose_ros.training.handformer2t_maps_module import placed_map_terms
from hand_pose_ros.training.handformer2t_module import targets_of
from hand_pose_ros.training.handformer2t_options import PLACED_PLAN
from hand_pose_ros.training.handformer2t_order import Ordered, by_place
from hand_pose_ros.training.optimisation import Measured
from hand_pose_ros.training.scene_crops import SceneBatch

_WEIGHTS: Final = PLACED_PLAN.losses
_LOSSES: Final = Handformer2TLoss(0, _WEIGHTS)


def placed_terms(
    found: MapPrediction, output: KeypointTransformerOutput | None, batch: SceneBatch, weight: float
) -> dict[str, Tensor]:
    """Weighted terms of the maps, and of the sides and number of hands where the transformer's part was computed."""
    crop = batch.rgb.shape[3]
    found = MapPrediction(*(value.float() for value in found))
    ordered = by_place(targets_of(batch, crop), batch.uv, found.pose)
    terms = placed_map_terms(found, ordered, _LOSSES, crop)
    if output is not None and output.side_logits is not None and output.pair_logits is not None:
        there, two = _hands(ordered)
        side = functional.binary_cross_entropy_with_logits(output.side_logits, ordered.sides[:, 0], reduction="none")
        terms["side"] = _WEIGHTS.side * valid_mean(side, there)
        terms["pair"] = _WEIGHTS.side * functional.binary_cross_entropy_with_logits(output.pair_logits, two)
    return {name: weight * value for name, value in terms.items()}


@torch.no_grad()
def placed_figures(found: MapPrediction, output: KeypointTransformerOutput, batch: SceneBatch) -> dict[str, Measured]:
    """Error of the expected places in pixels of the crop, whichever hand is which; how often the first hand's side and
    the number of hands are told right."""
    assert output.side_logits is not None and output.pair_logits is not None
    crop = batch.rgb.shape[3]
    ordered = by_place(targets_of(batch, crop), batch.uv, found.pose)
    pixels = torch.linalg.vector_norm((found.pose[..., :2] + 0.5) * crop - 0.5 - ordered.uv, dim=-1)
    known = ordered.targets.joint_valid > 0
    there, two = _hands(ordered)
    side = ((output.side_logits > 0) == (ordered.sides[:, 0] > 0)).float()
    pair = ((output.pair_logits > 0) == (two > 0)).float()
    return {
        "maps_px": (float(pixels[known].mean()) if known.any() else 0.0, float(known.sum())),
        "side": (float(valid_mean(side, there)), float(there.sum())),
        "pair": (float(pair.mean()), float(len(pair))),
    }


def _hands(ordered: Ordered) -> tuple[Tensor, Tensor]:
    """Whether there is a hand (B,), whether there are two (B,)."""
    presence = (ordered.targets.presence > 0).float()
    return presence[:, 0], presence.prod(dim=1)
