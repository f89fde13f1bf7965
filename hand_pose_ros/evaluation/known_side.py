"""The pipeline with the sides told: place and pose alone are measured, as in the data sets' own benchmarks.

Where a hand is still comes from the hand finder; only left or right is taken from the truth.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence

import numpy as np

from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.evaluation.detection import MATCH_RADIUS, Hand
from hand_pose_ros.pipeline.estimator import DroppedHand, Estimator, NetworkHand
from hand_pose_ros.pipeline.pipeline import Finder
from hand_pose_ros.pipeline.timing import StageTimer
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import FloatArray, Frame, HandDetection


class KnownSideFinder:
    """A finder whose detections take the side of the nearest true hand; those near none are left out.

    Args:
        finder: finds the places.

    Attributes:
        truth: the true hands of the next frame; to be set before each frame.
    """

    def __init__(self, finder: Finder) -> None:
        self._finder = finder
        self.config: PipelineConfig = finder.config
        self.truth: Sequence[Hand] = ()

    def find(self, frame: Frame, known: list[HandDetection], dropped: Counter[str]) -> list[HandDetection]:
        """See `hand_pose_ros.pipeline.finder.HandFinder.find`."""
        told = [self._told(detection) for detection in self._finder.find(frame, known, dropped)]
        return [detection for detection in told if detection is not None]

    def _told(self, detection: HandDetection) -> HandDetection | None:
        side = self.nearest_side(detection.center)
        return None if side is None else dataclasses.replace(detection, side=side, side_score=1.0)

    def nearest_side(self, center: FloatArray) -> Side | None:
        """The side of the true hand nearest to a place (3,) metres; None where there is none near."""
        gaps = [float(np.linalg.norm(hand.joints.mean(axis=0) - center)) for hand in self.truth]
        if not gaps or min(gaps) > MATCH_RADIUS:
            return None
        return self.truth[int(np.argmin(gaps))].side


class KnownSideEstimator:
    """An estimator that has no look for the side that the truth does not have at a place.

    Args:
        estimator: gives the hands.
        finder: holds the true hands.
    """

    def __init__(self, estimator: Estimator, finder: KnownSideFinder) -> None:
        self._estimator = estimator
        self._finder = finder
        self.config: PipelineConfig = estimator.config

    def estimate(self, frame: Frame, center: FloatArray, side: Side, timer: StageTimer) -> NetworkHand:
        """See `hand_pose_ros.pipeline.estimator.Estimator.estimate`.

        Raises:
            DroppedHand: the nearest true hand is of the other side ("side_known").
        """
        if self._finder.nearest_side(center) is side.other:
            raise DroppedHand("side_known")
        return self._estimator.estimate(frame, center, side, timer)
