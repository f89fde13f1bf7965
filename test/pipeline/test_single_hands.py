"""Which of several places becomes the hand."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pytest
from toy_scenes import CAMERA

from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.pipeline.estimator import NetworkHand
from hand_pose_ros.pipeline.single_hands import SingleHands
from hand_pose_ros.pipeline.timing import StageTimer
from hand_pose_ros.pipeline.tracking import Tracker
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import FloatArray, Frame, HandDetection

FACE, HAND = (0.0, -0.3, 0.9), (0.1, 0.1, 0.5)


@dataclass
class TwoPlaces:
    """A finder that likes the face better, and an estimator that is surer of the hand; both look like right hands."""

    config: PipelineConfig
    spread: dict[tuple[float, float, float], float] = field(default_factory=lambda: {FACE: 0.009, HAND: 0.006})

    def find(self, frame: Frame, known: list[HandDetection], dropped: Counter[str]) -> list[HandDetection]:
        return [
            HandDetection(Side.RIGHT, np.array(place, np.float32), score) for place, score in ((FACE, 0.9), (HAND, 0.4))
        ]

    def estimate(self, frame: Frame, center: FloatArray, side: Side, timer: StageTimer) -> NetworkHand:
        place = min(self.spread, key=lambda place: float(np.linalg.norm(center - place)))
        std = self.spread[place] * (1.0 if side is Side.RIGHT else 3.0)
        joints = np.tile(np.array(place, np.float32), (21, 1))
        return NetworkHand(side, joints, np.full(21, std, np.float32), 0.99, 0.5)


@pytest.mark.parametrize(("surer", "place"), [(0.006, HAND), (0.012, FACE)])
def test_of_two_right_hands_of_one_person_the_surer_is_taken(surer: float, place: tuple[float, float, float]) -> None:
    config = PipelineConfig()
    both = TwoPlaces(config)
    both.spread[HAND] = surer
    frame = Frame(0, "camera", CAMERA, depth=np.ones((CAMERA.height, CAMERA.width), np.float32))
    dropped: Counter[str] = Counter()
    seen = SingleHands(both, both, Tracker(config.tracking)).observe(frame, StageTimer(), dropped)
    (track,) = seen.tracks
    assert track.hand.side is Side.RIGHT
    np.testing.assert_allclose(track.hand.center, place, atol=1e-6)
    assert dropped["side_not_wanted"] == 1


def test_a_place_that_is_hardly_a_hand_is_counted_and_not_followed() -> None:
    config = PipelineConfig()
    both, dropped = TwoPlaces(config), Counter[str]()
    both.spread[HAND] = 0.012  # the face is looked at first
    frame = Frame(0, "camera", CAMERA, depth=np.ones((CAMERA.height, CAMERA.width), np.float32))
    shown: list[tuple[float, float]] = []

    def trust(found: float, hand: NetworkHand, evidence: float) -> float:
        shown.append((found, float(hand.joints[0, 2])))
        return 0.1 if found > 0.5 else 0.8

    seen = SingleHands(both, both, Tracker(config.tracking), trust=trust).observe(frame, StageTimer(), dropped)
    (track,) = seen.tracks
    np.testing.assert_allclose(track.hand.center, HAND, atol=1e-6)
    assert dropped["doubtful"] == 1
    np.testing.assert_allclose(shown, [(0.9, 0.9), (0.4, 0.5)], atol=1e-6)
