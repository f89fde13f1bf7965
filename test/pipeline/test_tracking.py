from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from toy_models import toy_hand

from hand_pose_ros.config import TrackingConfig
from hand_pose_ros.pipeline.estimator import DroppedHand, NetworkHand
from hand_pose_ros.pipeline.tracking import Tracker
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import TrackingState

MILLISECOND = 1_000_000


def hand(
    x: float = 0.0, y: float = 0.0, z: float = 0.6, side: Side = Side.RIGHT, score: float = 0.9, side_score: float = 0.9
) -> NetworkHand:
    joints = toy_hand() + np.array([x, y, z], dtype=np.float32)
    return NetworkHand(side, joints, np.full(21, 0.005, np.float32), score, side_score)


@dataclass(frozen=True)
class Step:
    ms: int
    hand: NetworkHand
    reason: str | None = None


@pytest.mark.parametrize(
    "steps",
    [
        [Step(33, hand(0.01)), Step(66, hand(0.02)), Step(99, hand(0.03))],
        [Step(33, hand(score=0.5))],
        [Step(33, hand(score=0.49), "low_score")],
        [Step(33, hand(0.149))],
        [Step(33, hand(0.151), "center_jump")],
        [Step(33, hand(0.1)), Step(66, hand(0.2)), Step(99, hand(0.4), "center_jump")],
        [Step(500, hand())],
        [Step(501, hand(), "gap")],
        [Step(400, hand()), Step(800, hand()), Step(1400, hand(), "gap")],
        [Step(0, hand(0.01))],
    ],
)
def test_how_a_track_lives_and_dies(steps: list[Step]) -> None:
    tracker = Tracker(TrackingConfig(min_score=0.5))
    track = tracker.add(hand(), 0)
    assert track.state is TrackingState.DETECTED
    for step in steps:
        stamp = step.ms * MILLISECOND
        if step.reason is None:
            tracker.predict(track, stamp)
            tracker.update(track, step.hand, stamp)
            assert (track.state, track.hand, track.stamp_ns) == (TrackingState.TRACKED, step.hand, stamp)
            continue
        with pytest.raises(DroppedHand) as drop:
            tracker.predict(track, stamp)
            tracker.update(track, step.hand, stamp)
        assert drop.value.reason == step.reason
        assert track.hand is not step.hand


def test_prediction_continues_the_motion_but_not_far() -> None:
    tracker = Tracker(TrackingConfig(max_center_jump=0.15))
    track = tracker.add(hand(), 0)
    np.testing.assert_allclose(tracker.predict(track, 33 * MILLISECOND), hand().center)
    for k in range(1, 20):
        tracker.update(track, hand(0.01 * k), k * 33 * MILLISECOND)
    np.testing.assert_allclose(tracker.predict(track, 20 * 33 * MILLISECOND)[0], 0.20, atol=1e-3)
    far = tracker.predict(track, (19 * 33 + 500) * MILLISECOND)
    np.testing.assert_allclose(np.linalg.norm(far - track.hand.center), 0.075, atol=1e-5)


@pytest.mark.parametrize(
    ("again", "ms", "same"),
    [
        (hand(0.1), 100, True),
        (hand(0.2), 100, False),  # too far
        (hand(side=Side.LEFT), 100, False),  # the other hand
        (hand(), 600, False),  # too late
    ],
)
def test_a_hand_found_again_soon_and_near_keeps_its_number(again: NetworkHand, ms: int, same: bool) -> None:
    tracker = Tracker(TrackingConfig())
    first = tracker.add(hand(), 0)
    tracker.lose(first)
    assert (tracker.add(again, ms * MILLISECOND).track_id == first.track_id) is same


def test_a_detection_that_the_network_denies_is_not_followed() -> None:
    tracker = Tracker(TrackingConfig())
    with pytest.raises(DroppedHand, match="low_score"):
        tracker.add(hand(score=0.3), 0)
    assert tracker.tracks == []


def test_numbers_are_not_given_again_after_a_reset() -> None:
    tracker = Tracker(TrackingConfig())
    numbers = []
    for _ in range(3):
        numbers.append(tracker.add(hand(), 0).track_id)
        tracker.reset()
    assert len(set(numbers)) == 3


@pytest.mark.parametrize(
    ("hands", "kept"),
    [
        ([hand(0.0), hand(0.2, side=Side.LEFT)], [0, 1]),
        ([hand(0.0, score=0.8), hand(0.01, score=0.9)], [1]),
        ([hand(0.0, score=0.95), hand(0.01, side=Side.LEFT, score=0.9)], [0]),
        ([hand(0.0, z=0.6), hand(0.0, z=0.66, side=Side.LEFT)], [0, 1]),
        ([hand(0.0, z=0.6), hand(0.0, z=0.66)], [0]),
        ([hand(0.0, z=0.6), hand(0.0, z=0.72)], [0, 1]),
        ([hand(0.0, score=0.6), hand(0.03, score=0.9), hand(0.06, score=0.7)], [1]),
    ],
)
def test_one_hand_seen_twice_is_one_hand(hands: list[NetworkHand], kept: list[int]) -> None:
    tracker = Tracker(TrackingConfig(min_separation=0.05, min_score=0.5))
    for item in hands:
        tracker.add(item, 0)
    assert tracker.suppress_duplicates() == len(hands) - len(kept)
    assert [track.hand for track in tracker.tracks] == [hands[index] for index in kept]


def test_a_followed_hand_keeps_its_number_against_a_new_find() -> None:
    tracker = Tracker(TrackingConfig())
    followed = tracker.add(hand(score=0.85), 0)
    tracker.update(followed, hand(score=0.85), MILLISECOND)
    tracker.add(hand(0.02, score=0.95), MILLISECOND)
    assert tracker.suppress_duplicates() == 1 and tracker.tracks == [followed]


def test_keep_drops_unwanted_sides_and_the_least_credible() -> None:
    tracker = Tracker(TrackingConfig())
    for item in (hand(0.0, score=0.7), hand(0.2, score=0.9), hand(0.4, side=Side.LEFT)):
        tracker.add(item, 0)
    tracker.keep((Side.RIGHT,), 1)
    assert [track.hand.score for track in tracker.tracks] == [0.9]
