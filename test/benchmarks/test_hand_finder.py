"""What counts as found, and what as another thing."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from benchmarks.hand_finder import Counts, Example, true_hand, video, withheld
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import Frame, HandDetection, Intrinsics

CAMERA = Intrinsics(500.0, 500.0, 319.5, 239.5, 640, 480)
FRAME = Frame(0, "camera", CAMERA, np.zeros((480, 640, 3), np.uint8), np.ones((480, 640), np.float32))


def joints_at(x: float, z: float = 0.6) -> np.ndarray:
    return np.array([x, 0.0, z]) + np.random.default_rng(0).normal(scale=0.03, size=(21, 3))


def found_at(place: np.ndarray) -> HandDetection:
    return HandDetection(Side.RIGHT, place.astype(np.float32), 0.9)


@pytest.mark.parametrize(
    ("shift", "found", "others"),
    [((0.0, 0.0, 0.0), 1, 0), ((0.05, 0.0, 0.0), 1, 0), ((0.07, 0.0, 0.0), 0, 1)],
)
def test_a_finding_on_the_hand_counts(shift: tuple[float, float, float], found: int, others: int) -> None:
    joints = joints_at(0.1)
    counts = Counts()
    counts.add(Example(FRAME, (true_hand(joints, CAMERA, 1.0),)), [found_at(joints.mean(axis=0) + shift)])
    assert (counts.frames, counts.hands, counts.found, counts.others) == (1, 1, found, others)


def test_a_hand_along_the_line_of_sight_is_found_at_a_wrong_distance() -> None:
    joints = joints_at(0.0)
    counts = Counts()
    counts.add(Example(FRAME, (true_hand(joints, CAMERA, 1.0),)), [found_at(1.2 * joints.mean(axis=0))])
    assert counts.found == 1 and counts.ratios == [pytest.approx(0.2, abs=1e-4)]


def test_twice_the_same_hand_is_found_once_and_a_hidden_one_counts_neither_way() -> None:
    near, hidden = joints_at(0.1), joints_at(-0.2)
    example = Example(FRAME, (true_hand(near, CAMERA, 0.5), true_hand(hidden, CAMERA, 0.1)))
    counts = Counts()
    counts.add(example, [found_at(near.mean(axis=0)), found_at(near.mean(axis=0)), found_at(hidden.mean(axis=0))])
    assert (counts.hands, counts.found, counts.others) == (1, 1, 0)
    counts.add(Example(FRAME, ()), [found_at(near.mean(axis=0))])
    assert (counts.frames, counts.hands, counts.others) == (2, 1, 1)


def test_a_sense_is_withheld_or_the_frame_left_out() -> None:
    blind = withheld(FRAME, color=False, depth=True)
    assert blind is not None and blind.color is None and blind.depth is not None
    assert withheld(blind, color=True, depth=False) is None


def test_the_video_s_hands_are_where_its_tracker_says(shared_dir: Path) -> None:
    examples = list(islice(video(shared_dir / "data" / "hand_video"), 3))
    assert len(examples) == 3
    for example in examples:
        assert example.frame.color is not None and example.frame.depth is None
        for hand in example.hands:
            assert 0 <= hand.pixel[0] < 1280 and 0 <= hand.pixel[1] < 720 and 40 < hand.radius < 400
