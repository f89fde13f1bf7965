"""Matching of hands and counting of what was found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from hand_pose_ros.evaluation.detection import DetectionCounts, count_frame, match_hands
from hand_pose_ros.skeleton import Side


@dataclass
class At:
    """A hand whose joints all lie at one x."""

    side: Side
    x: float

    @property
    def joints(self) -> np.ndarray:
        return np.broadcast_to(np.array([self.x, 0.0, 0.5], dtype=np.float32), (21, 3))


L, R = Side.LEFT, Side.RIGHT


@pytest.mark.parametrize(
    ("estimated", "truth", "pairs", "invented", "missed"),
    [
        ([], [], (), (), ()),
        ([At(R, 0.0)], [], (), (0,), ()),
        ([], [At(R, 0.0)], (), (), (0,)),
        ([At(R, 0.0)], [At(R, 0.1)], ((0, 0),), (), ()),
        ([At(R, 0.0)], [At(R, 0.2)], (), (0,), (0,)),
        ([At(R, 0.3), At(L, 0.0)], [At(L, 0.01), At(R, 0.31)], ((0, 1), (1, 0)), (), ()),
        # Two pairs beat one nearer pair.
        ([At(R, 0.10), At(L, 0.0)], [At(R, 0.09), At(L, 0.23)], ((0, 1), (1, 0)), (), ()),
        ([At(R, 0.0), At(R, 0.02)], [At(R, 0.015)], ((1, 0),), (0,), ()),
    ],
)
def test_matching(
    estimated: list[At], truth: list[At], pairs: tuple[tuple[int, int], ...], invented: tuple[int], missed: tuple[int]
) -> None:
    matching = match_hands(estimated, truth)
    assert (matching.pairs, matching.invented, matching.missed) == (pairs, invented, missed)


def test_counts_by_side() -> None:
    counts = {side: DetectionCounts() for side in Side}
    for estimated, truth in [
        ([At(R, 0.0), At(L, 0.5)], [At(R, 0.0), At(L, 0.5)]),
        ([At(L, 0.0)], [At(R, 0.0)]),
        ([At(R, 0.0)], []),
        ([], [At(R, 0.0)]),
    ]:
        count_frame(estimated, truth, match_hands(estimated, truth), counts)
    assert counts[R] == DetectionCounts(found=1, wrong_side=1, missed=1, invented=1)
    assert counts[L] == DetectionCounts(found=1)
    assert (counts[R].recall, counts[R].precision) == pytest.approx((1 / 3, 1 / 3))
    counts[L].add(counts[R])
    assert counts[L] == DetectionCounts(found=2, wrong_side=1, missed=1, invented=1)
    assert np.isnan(DetectionCounts().recall)
