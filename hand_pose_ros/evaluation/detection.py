"""Which estimated hand is which true one, and what was missed or invented."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import FloatArray

# A hand whose palm is farther than this from every true one (m) is another thing, not a bad estimate of a hand.
MATCH_RADIUS: Final = 0.15
# The palm: wrist and the five finger bases; it holds still while fingers move.
_PALM: Final = (0, 1, 5, 9, 13, 17)


class Hand(Protocol):
    """What is compared: a side and 21 joints (21, 3) in metres."""

    @property
    def side(self) -> Side:
        """Left or right."""

    @property
    def joints(self) -> FloatArray:
        """(21, 3) metres, camera frame."""


@dataclass(frozen=True)
class Matching:
    """Pairs (index of the estimate, index of the truth) and what is left over."""

    pairs: tuple[tuple[int, int], ...]
    invented: tuple[int, ...]
    missed: tuple[int, ...]


def match_hands(estimated: Sequence[Hand], truth: Sequence[Hand], radius: float = MATCH_RADIUS) -> Matching:
    """Pair estimates with true hands by the distance of their palms, at most `radius` metres.

    Takes as many pairs as possible, and of these the pairing with the least distance; sides play no part, so that a
    hand taken for the other one counts as a wrong side and not as a missed and an invented hand.
    """
    few, many = sorted((len(estimated), len(truth)))
    if many > 6:
        raise ValueError(f"expected at most 6 hands in one frame, got {many}")
    distances = _palm_distances(estimated, truth)
    best: tuple[tuple[int, int], ...] = ()
    best_key = (0, 0.0)
    for order in itertools.permutations(range(many), few):
        candidate = [(i, j) if len(estimated) <= len(truth) else (j, i) for i, j in enumerate(order)]
        pairs = tuple((e, t) for e, t in candidate if distances[e, t] <= radius)
        key = (len(pairs), -float(sum(distances[e, t] for e, t in pairs)))
        if pairs and (not best or key > best_key):
            best, best_key = tuple(sorted(pairs)), key
    invented = tuple(i for i in range(len(estimated)) if i not in {e for e, _ in best})
    missed = tuple(j for j in range(len(truth)) if j not in {t for _, t in best})
    return Matching(best, invented, missed)


def _palm_distances(estimated: Sequence[Hand], truth: Sequence[Hand]) -> FloatArray:
    centres = [
        np.array([hand.joints[list(_PALM)].mean(axis=0) for hand in hands]).reshape(-1, 3)
        for hands in (estimated, truth)
    ]
    return np.asarray(np.linalg.norm(centres[0][:, None] - centres[1][None], axis=-1), dtype=np.float32)


@dataclass
class DetectionCounts:
    """Counts over frames for one side (or both together): add frames, read precision and recall.

    A hand found with the wrong side is neither right nor missed: it is counted for the true side as `wrong_side` and
    lowers both precision and recall.
    """

    found: int = 0
    wrong_side: int = 0
    missed: int = 0
    invented: int = 0

    @property
    def truths(self) -> int:
        """True hands."""
        return self.found + self.wrong_side + self.missed

    @property
    def recall(self) -> float:
        """Share of the true hands that were found with the right side; NaN when there were none."""
        return self.found / self.truths if self.truths else float("nan")

    @property
    def precision(self) -> float:
        """Share of the reported hands that are true with the right side; NaN when nothing was reported."""
        reported = self.found + self.wrong_side + self.invented
        return self.found / reported if reported else float("nan")

    def add(self, other: DetectionCounts) -> None:
        """Add another count to this one."""
        self.found += other.found
        self.wrong_side += other.wrong_side
        self.missed += other.missed
        self.invented += other.invented


def count_frame(
    estimated: Sequence[Hand], truth: Sequence[Hand], matching: Matching, counts: dict[Side, DetectionCounts]
) -> None:
    """Add one frame to the counts by side (true side; the reported side for invented hands)."""
    for e, t in matching.pairs:
        if estimated[e].side is truth[t].side:
            counts[truth[t].side].found += 1
        else:
            counts[truth[t].side].wrong_side += 1
    for t in matching.missed:
        counts[truth[t].side].missed += 1
    for e in matching.invented:
        counts[estimated[e].side].invented += 1
