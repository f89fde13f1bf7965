"""The more certain look tells the side."""

from __future__ import annotations

import numpy as np
import pytest

from hand_pose_ros.pipeline.estimator import NetworkHand
from hand_pose_ros.pipeline.sides import MAX_EVIDENCE, bounded, finder_evidence, look_due, side_evidence
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import HandDetection


def look(side: Side, std: float, side_score: float = 0.5) -> NetworkHand:
    joints = np.zeros((21, 3), np.float32) + np.float32(0.6)
    return NetworkHand(side, joints, np.full(21, std, np.float32), 0.9, side_score)


@pytest.mark.parametrize(
    ("stds", "scores", "sign"),
    [
        ((0.010, 0.012), (0.5, 0.5), 1),
        ((0.012, 0.010), (0.5, 0.5), -1),
        ((0.010, 0.010), (0.9, 0.1), 1),
        ((0.010, 0.0105), (0.02, 0.98), -1),
        ((0.010, 0.010), (0.5, 0.5), 0),
    ],
)
def test_smaller_deviation_and_the_networks_word_count(
    stds: tuple[float, float], scores: tuple[float, float], sign: int
) -> None:
    right, left = (look(side, *pair) for side, pair in zip(Side, zip(stds, scores, strict=True), strict=True))
    evidence = side_evidence(right, left)
    assert np.sign(round(evidence, 6)) == sign
    assert side_evidence(left, right) == pytest.approx(-evidence)


@pytest.mark.parametrize(("side_score", "evidence"), [(0.5, 0.0), (0.6, 0.405), (1.0, 1.0)])
def test_the_finders_side_counts_a_little(side_score: float, evidence: float) -> None:
    detection = HandDetection(Side.RIGHT, np.zeros(3, np.float32), 1.0, side_score)
    assert finder_evidence(detection) == pytest.approx(evidence, abs=1e-3)


def test_evidence_is_bounded() -> None:
    assert side_evidence(look(Side.RIGHT, 1e-3), look(Side.LEFT, 1.0)) == MAX_EVIDENCE
    assert bounded(-100.0) == -MAX_EVIDENCE


def test_looks_are_frequent_at_first_and_rare_later() -> None:
    due = [age for age in range(1, 61) if look_due(age)]
    assert due == [1, 2, 4, 7, 15, 30, 45, 60]
