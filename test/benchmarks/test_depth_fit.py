"""What the benchmark of fitted hands counts."""

from __future__ import annotations

import numpy as np
import pytest
from hand_estimates import F, estimate, resting

from benchmarks.depth_fit import Outcome
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import Scene


def test_errors_of_hands_on_their_side_and_how_they_change() -> None:
    rest = resting()
    outcome = Outcome(milliseconds=[4.0, 6.0], truths=4)
    changes = []
    for shift in (0.01, 0.013):
        found = estimate(Side.RIGHT, (rest + np.array([shift, 0, 0])).astype(F))
        other = estimate(Side.LEFT, rest)  # the true left hand is far from it
        truth = Scene(0, "camera", (estimate(Side.RIGHT, rest), estimate(Side.LEFT, rest + F(0.3))))
        changes.append(outcome._take(Scene(0, "camera", (found, other)), truth))
    assert [list(errors) for errors in changes] == [[Side.RIGHT], [Side.RIGHT]]
    outcome.changes = [np.linalg.norm(changes[1][Side.RIGHT] - changes[0][Side.RIGHT], axis=1)]
    found, absolute, p95, relative, aligned, unsteady, spent = outcome.row()
    assert (found, spent) == (50.0, 5.0)
    assert (absolute, p95, unsteady) == pytest.approx((11.5, 13.0, 3.0), abs=1e-3)
    assert (relative, aligned) == pytest.approx((0.0, 0.0), abs=1e-3)
