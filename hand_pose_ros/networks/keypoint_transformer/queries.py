"""Which query asks for what, and which queries may look at each other (fact sheet sections 2.7 and 2.8)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hand_pose_ros.networks.keypoint_transformer.config import HANDS, KeypointTransformerConfig

# Queries per hand: 20 joints without the wrist; 21 joints; 16 MANO joints.
_PER_HAND = {"3d": 20, "2p5d": 21, "angles": 16}


@dataclass(frozen=True)
class QueryLayout:
    """Rows of the queries: right hand, left hand, one for shape, camera and hand-to-hand translation, then the object.

    Attributes:
        per_hand: queries of one hand.
        shape: index of the shared query.
        rotation, translation: indices of the object's queries; -1 without an object.
        count: of all.
        blocked: (count, count) bool, True where the row may not look at the column.
    """

    per_hand: int
    shape: int
    rotation: int
    translation: int
    count: int
    blocked: Tensor


def query_layout(config: KeypointTransformerConfig) -> QueryLayout:
    """The layout of a configuration."""
    per_hand = _PER_HAND[config.representation]
    shape = HANDS * per_hand
    # The published angle network has one query that nothing reads.
    hands_end = shape + (2 if config.representation == "angles" and config.variant == "authors" else 1)
    count = hands_end + (2 if config.objects else 0)
    rotation, translation = (hands_end, hands_end + 1) if config.objects else (-1, -1)
    blocked = torch.ones(count, count, dtype=torch.bool)
    blocked.fill_diagonal_(False)
    for hand in range(HANDS):
        for rows in _fingers(config.representation, hand * per_hand):
            blocked[rows, rows] = False
        if config.representation == "2p5d":
            blocked[hand * per_hand + 20] = False
    if config.objects:
        blocked[hands_end:] = False
        if config.representation == "angles":
            blocked[:, hands_end:] = False
    return QueryLayout(per_hand, shape, rotation, translation, count, blocked)


def _fingers(representation: str, start: int) -> list[slice]:
    """The rows of each finger of the hand whose queries begin at `start`."""
    if representation == "angles":
        return [slice(start + 3 * finger + 1, start + 3 * finger + 4) for finger in range(5)]
    return [slice(start + 4 * finger, start + 4 * finger + 4) for finger in range(5)]
