"""An auxiliary task for Keypoint Transformer's encoder and decoder: which joint is where, as maps. Training only.

The heat map says where any joint is, and the identities are asked for at a few keypoints behind several layers of
attention. Until both have come together nothing tells the features which joint they show. Maps ask every cell for it,
one linear layer away from what the tokens sample: the joint's kind whichever hand it is of, and the hand whichever
joint, so that what is hard (left or right) does not hold up what is easy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from hand_pose_ros.networks.keypoint_transformer.config import HANDS
from hand_pose_ros.skeleton import NUM_JOINTS
from hand_pose_ros.training.keypoint_transformer_targets import KeypointTransformerTargets

# Of the decoder's maps, finest first (strides 2 to 32): strides 4 and 8, in map pixels per cell.
LEVELS: Final = ((1, 2), (2, 4))
_SIGMA: Final = 0.75  # cells
_KINDS: Final = NUM_JOINTS + HANDS


class JointMaps(nn.Module):
    """Logits of where each kind of joint is and where each hand is: per level (B, 23, h, w).

    Args:
        channels: of the decoder's maps at strides 4 and 8.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Conv2d(count, _KINDS, 1) for count in channels)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """features: the decoder's five maps."""
        return [head(features[level]) for head, (level, _) in zip(self.heads, LEVELS, strict=True)]


def joint_map_loss(logits: Sequence[Tensor], targets: KeypointTransformerTargets) -> Tensor:
    """Mean cross entropy of each kind's map with Gaussians about its joints, less what the Gaussians leave open.

    Kinds that are not in the crop do not count.
    """
    terms = [_level_loss(level, targets, stride) for level, (_, stride) in zip(logits, LEVELS, strict=True)]
    return torch.stack(terms).mean()


def _level_loss(logits: Tensor, targets: KeypointTransformerTargets, stride: int) -> Tensor:
    with torch.no_grad():
        truth = _truth(targets, stride)
        mass = truth.sum(dim=2, keepdim=True)
        known = mass[..., 0] > 0
        truth = truth / mass.clamp(min=1e-6)
        open_ = -(truth * truth.clamp(min=1e-9).log()).sum(dim=2)
    entropy = -(truth * functional.log_softmax(logits.float().flatten(2), dim=2)).sum(dim=2)
    return ((entropy - open_) * known).sum() / known.sum().clamp(min=1)


def _truth(targets: KeypointTransformerTargets, stride: int) -> Tensor:
    """(B, 23, cells): Gaussians of the joints of each kind, then of all joints of each hand; rows of the map first."""
    cells = targets.map_size // stride
    axis = torch.arange(cells, device=targets.places.device, dtype=targets.places.dtype)
    places = (targets.places + 0.5) / stride - 0.5
    along = torch.exp(-(places[..., None] - axis).square() / (2 * _SIGMA**2))
    inside = ((targets.places > -0.5) & (targets.places < targets.map_size - 0.5)).all(dim=3)
    columns, rows = along[..., 0, :] * (targets.joint_valid * inside)[..., None], along[..., 1, :]
    kinds = torch.einsum("bhjy,bhjx->bjyx", rows, columns)
    hands = torch.einsum("bhjy,bhjx->bhyx", rows, columns)
    return torch.cat((kinds, hands), dim=1).flatten(2)
