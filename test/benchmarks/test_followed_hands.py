"""What the benchmark of followed hands counts."""

from __future__ import annotations

import pytest
from hand_estimates import F, estimate, resting

from benchmarks.followed_hands import COLUMNS, Outcome
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import Scene


def test_found_wrong_and_invented_hands_and_times_by_hands() -> None:
    rest = resting()
    truth = Scene(0, "camera", (estimate(Side.RIGHT, rest), estimate(Side.LEFT, rest + F(0.3))))
    outcome = Outcome(milliseconds={1: [4.0, 6.0, 11.0], 2: [20.0]})
    outcome.counts["truths"] = 2
    for side, shift in ((Side.RIGHT, 0.01), (Side.RIGHT, 0.3), (Side.LEFT, 0.8)):
        outcome._take(estimate(side, (rest + F(shift)).astype(F)), truth)
    row = outcome.row()
    assert len(row) == len(COLUMNS) - 2
    assert row[:3] == (50.0, 1, 1)  # found in per cent, on the wrong side, invented
    assert row[3:5] == pytest.approx((10.0 * 3**0.5,) * 2, abs=1e-3)
    assert row[5:7] == pytest.approx((0.0, 0.0), abs=1e-3)
    assert row[7:11] == (7.0, 6.0, 20.0, 20.0)
