"""MediaPipe's answers become detections; MediaPipe itself is imitated, as it needs numpy below 2."""

from __future__ import annotations

import sys
from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from toy_scenes import CAMERA

from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.engines.base import EngineError
from hand_pose_ros.geometry.camera import project
from hand_pose_ros.hand_model.model import HandModel
from hand_pose_ros.pipeline.finders import open_finder
from hand_pose_ros.pipeline.mediapipe_finder import MediaPipeFinder
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import Frame

ZERO = np.zeros(3, np.float32)


class Answer:
    """Says that the hand with these joints (21, 3) is in every picture."""

    def __init__(self, joints: Any, label: str) -> None:
        relative = (project(joints, CAMERA) + 0.5) / (CAMERA.width, CAMERA.height)
        points = [SimpleNamespace(x=x, y=y) for x, y in relative]
        metres = [SimpleNamespace(x=x, y=y) for x, y, _ in joints - joints.mean(axis=0)]
        self.multi_hand_landmarks = [SimpleNamespace(landmark=points)]
        self.multi_hand_world_landmarks = [SimpleNamespace(landmark=metres)]
        self.multi_handedness = [SimpleNamespace(classification=[SimpleNamespace(label=label, score=0.9)])]

    def process(self, picture: Any) -> Answer:
        assert picture.dtype == np.uint8 and picture.shape == (CAMERA.height, CAMERA.width, 3)
        return self


def hand(place: tuple[float, float, float]) -> Any:
    hands = HandModel.bundled(Side.RIGHT)
    joints = hands.forward(ZERO, np.zeros(45, np.float32), np.zeros(10, np.float32), ZERO).joints.astype(np.float64)
    # Flat, square to the view: its distance can be told from its size.
    flat = joints - joints.mean(axis=0)
    flat[:, 2] *= 0.01
    return flat + place


@pytest.mark.parametrize(("label", "side"), [("Left", Side.RIGHT), ("Right", Side.LEFT)])
@pytest.mark.parametrize("with_depth", [True, False])
def test_landmarks_become_a_place(label: str, side: Side, with_depth: bool) -> None:
    place = (0.05, -0.02, 0.7)
    finder = MediaPipeFinder(PipelineConfig(), Answer(hand(place), label))
    depth = np.full((CAMERA.height, CAMERA.width), 0.69, np.float32) if with_depth else None
    color = np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8)
    (found,) = finder.find(Frame(0, "camera", CAMERA, color, depth))
    assert found.side is side and found.score == pytest.approx(0.9)
    np.testing.assert_allclose(found.center, place, atol=0.02)
    assert finder.find(Frame(0, "camera", CAMERA, color, depth), [found]) == []


def test_without_colour_nothing_is_found_and_counted() -> None:
    finder = MediaPipeFinder(PipelineConfig(), Answer(hand((0.0, 0.0, 0.7)), "Left"))
    dropped: Counter[str] = Counter()
    depth = np.full((CAMERA.height, CAMERA.width), 0.69, np.float32)
    assert finder.find(Frame(0, "camera", CAMERA, None, depth), (), dropped) == [] and dropped == {"no_color": 1}


def test_where_it_is_not_installed_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    config = PipelineConfig(finder=type(PipelineConfig().finder)(model="mediapipe"))
    with pytest.raises(EngineError, match=r"hand_pose_ros\[mediapipe\]"):
        open_finder(config)
