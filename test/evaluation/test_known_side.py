"""Sides told by the truth."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.evaluation.known_side import KnownSideEstimator, KnownSideFinder
from hand_pose_ros.pipeline.estimator import DroppedHand, NetworkHand
from hand_pose_ros.pipeline.timing import StageTimer
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import HandDetection


def at(x: float) -> np.ndarray:
    return np.array([x, 0.0, 0.5], dtype=np.float32)


def test_detections_take_the_nearest_hands_side_or_go() -> None:
    found = [HandDetection(Side.LEFT, at(x), 0.9, 0.6) for x in (0.02, 0.28, 0.60)]
    inner: Any = SimpleNamespace(config=PipelineConfig(), find=lambda *_: found)
    finder = KnownSideFinder(inner)
    frame: Any = None
    assert finder.find(frame, [], Counter()) == []
    finder.truth = [
        SimpleNamespace(side=Side.RIGHT, joints=np.broadcast_to(at(0.0), (21, 3))),
        SimpleNamespace(side=Side.LEFT, joints=np.broadcast_to(at(0.3), (21, 3))),
    ]
    told = finder.find(frame, [], Counter())
    assert [(hand.side, hand.side_score) for hand in told] == [(Side.RIGHT, 1.0), (Side.LEFT, 1.0)]
    np.testing.assert_array_equal(told[0].center, at(0.02))


def test_the_estimator_has_no_look_for_the_other_side() -> None:
    hand = NetworkHand(Side.LEFT, np.zeros((21, 3), np.float32), np.ones(21, np.float32), 0.7, 0.1)
    inner: Any = SimpleNamespace(config=PipelineConfig(), estimate=lambda *_: hand, find=lambda *_: [])
    finder = KnownSideFinder(inner)
    finder.truth = [SimpleNamespace(side=Side.LEFT, joints=np.broadcast_to(at(0.0), (21, 3)))]
    estimator = KnownSideEstimator(inner, finder)
    frame: Any = None
    assert estimator.estimate(frame, at(0.01), Side.LEFT, StageTimer()) is hand
    assert estimator.estimate(frame, at(1.0), Side.RIGHT, StageTimer()) is hand
    with pytest.raises(DroppedHand, match="side_known"):
        estimator.estimate(frame, at(0.01), Side.RIGHT, StageTimer())
