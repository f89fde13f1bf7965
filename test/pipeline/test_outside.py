"""Boxes and regions told from outside become places to look at; the finder's own come after them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_scenes import CAMERA, Blob, toy_frame

from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from hand_pose_ros.geometry.camera import project
from hand_pose_ros.options import ConfigError, replace
from hand_pose_ros.pipeline.estimator import KeypointFusionEstimator
from hand_pose_ros.pipeline.finder import HandFinder
from hand_pose_ros.pipeline.outside import HAND_SPAN, HandBox, OutsideFinder, box_of, cut, parse_region, region_pixels
from hand_pose_ros.pipeline.pipeline import Pipeline
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import Frame, HandDetection

HAND = Blob(Side.RIGHT, (0.08, 0.05, 0.6), 0.15)
OTHER = Blob(Side.LEFT, (-0.14, -0.05, 0.8), 0.15)


def config(**changes: object) -> PipelineConfig:
    return replace(PipelineConfig(), {name.replace("__", "."): value for name, value in changes.items()})


def box_around(blob: Blob, side: Side | None = None) -> HandBox:
    u, v = project(np.array([blob.center], dtype=np.float64), CAMERA)[0]
    size = HAND_SPAN * CAMERA.fx / blob.center[2]
    return HandBox.around(float(u), float(v), size, size, side, 0.8)


class Elsewhere:
    """A finder that names one place."""

    def __init__(self, place: tuple[float, float, float]) -> None:
        self.config = PipelineConfig()
        self.place = np.array(place, dtype=np.float32)
        self.frames: list[Frame] = []

    def find(self, frame: Frame, known: Sequence[HandDetection], dropped: Counter[str]) -> list[HandDetection]:
        self.frames.append(frame)
        return [HandDetection(Side.RIGHT, self.place, 0.9)]


@pytest.mark.parametrize("with_depth", [True, False])
def test_a_box_names_the_hand_in_it(with_depth: bool) -> None:
    finder = OutsideFinder(config(finder__model="boxes"), None)
    frame = toy_frame(HAND)
    if not with_depth:
        frame = Frame(frame.stamp_ns, frame.frame_id, frame.intrinsics, np.zeros((480, 640, 3), np.uint8))
    finder.suggest([box_around(HAND)], frame.stamp_ns)
    (hand,) = finder.find(frame)
    assert np.linalg.norm(hand.center - HAND.center) < (0.03 if with_depth else 0.001)
    assert hand.side_score == 0.5 and hand.score == pytest.approx(0.8)


def test_a_side_is_taken_as_told() -> None:
    finder = OutsideFinder(config(finder__model="boxes"), None)
    finder.suggest([box_around(HAND, Side.LEFT)], 0)
    (hand,) = finder.find(toy_frame(HAND))
    assert (hand.side, hand.side_score) == (Side.LEFT, 1.0)


@pytest.mark.parametrize(("late", "used"), [(0.0, True), (0.25, True), (0.35, False), (-0.25, True), (-0.35, False)])
def test_boxes_hold_for_a_while(late: float, used: bool) -> None:
    finder = OutsideFinder(config(finder__model="boxes", finder__box_age=0.3), None)
    finder.suggest([box_around(HAND)], toy_frame().stamp_ns - round(late * 1e9))
    assert bool(finder.find(toy_frame(HAND))) is used


def test_newer_boxes_replace_older_ones_and_followed_hands_are_left_out() -> None:
    finder = OutsideFinder(config(finder__model="boxes"), None)
    frame = toy_frame(HAND, OTHER)
    finder.suggest([box_around(HAND)], frame.stamp_ns)
    finder.suggest([box_around(OTHER)], frame.stamp_ns)
    (hand,) = finder.find(frame)
    assert np.linalg.norm(hand.center - OTHER.center) < 0.03
    assert finder.find(frame, [hand]) == []
    finder.suggest([], frame.stamp_ns)
    assert finder.find(frame) == []


def test_boxes_come_before_what_the_finder_sees() -> None:
    inner = Elsewhere((-0.3, 0.0, 0.9))
    finder = OutsideFinder(config(), inner)
    frame = toy_frame(HAND)
    finder.suggest([box_around(HAND)], frame.stamp_ns)
    places = [hand.center for hand in finder.find(frame)]
    assert len(places) == 2 and np.linalg.norm(places[0] - HAND.center) < 0.03
    changed = config(finder__threshold=0.7)
    finder.config = changed
    assert inner.config is changed


@pytest.mark.parametrize("region", ["320, 200, 320, 280", "0.5 0.4167 0.5 0.58"])
def test_nothing_is_found_outside_of_the_region(engines: Mapping[str, OnnxRuntimeEngine], region: str) -> None:
    frame = toy_frame(HAND, OTHER)
    everywhere = OutsideFinder(config(), HandFinder(engines["finder"], config()))
    assert len(everywhere.find(frame)) == 2
    there = OutsideFinder(config(finder__roi=region), HandFinder(engines["finder"], config()))
    found = there.find(frame)
    assert found and all(np.linalg.norm(hand.center - HAND.center) < 0.12 for hand in found)


def test_a_region_alone_is_a_box() -> None:
    box = box_around(HAND)
    region = f"{box.x}, {box.y}, {box.width}, {box.height}"
    (hand,) = OutsideFinder(config(finder__model="boxes", finder__roi=region), None).find(toy_frame(HAND))
    assert np.linalg.norm(hand.center - HAND.center) < 0.03


@pytest.mark.parametrize("text", ["1,2,3", "a,b,c,d", "0,0,0,10", "-1,0,10,10", "nan,0,1,1"])
def test_what_is_no_region_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"finder\.roi"):
        OutsideFinder(config(finder__roi=text), None)


def test_a_region_beside_the_image_is_refused() -> None:
    assert parse_region("  ") is None
    with pytest.raises(ConfigError, match="640x480"):
        region_pixels((700.0, 0.0, 100.0, 100.0), CAMERA)


@pytest.mark.parametrize("bad", [(0, 0, 0, 10), (0, 0, 10, -1), (float("nan"), 0, 10, 10)])
def test_what_is_no_box_is_refused(bad: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="positive size"):
        HandBox(*bad)


@given(st.integers(0, 300), st.integers(0, 200), st.integers(16, 340), st.integers(16, 280))
def test_a_part_of_a_frame_sees_the_same_points(left: int, top: int, width: int, height: int) -> None:
    part = cut(toy_frame(HAND), left, top, width, height)
    point = np.array([HAND.center], dtype=np.float64)
    assert part.depth is not None and part.depth.shape == (height, width)
    np.testing.assert_allclose(project(point, part.intrinsics), project(point, CAMERA) - (left, top), atol=1e-6)


@given(st.floats(-0.4, 0.4), st.floats(-0.3, 0.3), st.floats(0.3, 1.5))
def test_a_place_and_its_box_are_the_same(x: float, y: float, z: float) -> None:
    center = np.array([x, y, z], dtype=np.float32)
    box = box_of(center, CAMERA)
    frame = Frame(0, "camera", CAMERA, np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8))
    finder = OutsideFinder(config(finder__model="boxes"), None)
    finder.suggest([HandBox(box.x, box.y, box.width, box.height)], 0)
    (hand,) = finder.find(frame)
    np.testing.assert_allclose(hand.center, center, rtol=0.02, atol=1e-3)


def test_the_pipeline_takes_boxes(
    make_pipeline: Callable[..., Pipeline], engines: Mapping[str, OnnxRuntimeEngine]
) -> None:
    frame = toy_frame(HAND)
    told = config(finder__model="boxes", mesh=False)
    pipeline = Pipeline(told, OutsideFinder(told, None), KeypointFusionEstimator(engines["hand"], told))
    assert not pipeline.process(frame).hands
    pipeline.suggest([box_around(HAND)], frame.stamp_ns)
    (hand,) = pipeline.process(frame).hands
    assert np.linalg.norm(hand.joints.mean(axis=0) - HAND.center) < 0.05
    with pytest.raises(ConfigError, match="HandFinder"):
        make_pipeline().suggest([], 0)
