from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_scenes import CAMERA, Blob, toy_frame

from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from hand_pose_ros.geometry.camera import back_project, project, scale_intrinsics
from hand_pose_ros.pipeline.finder import HandFinder, find_peaks, finder_intrinsics, letterbox, suppress
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import Frame, HandDetection, Intrinsics


def detection(side: Side, x: float, score: float) -> HandDetection:
    return HandDetection(side, np.array([x, 0, 0.6], dtype=np.float32), score)


@pytest.mark.parametrize(
    ("size", "camera"),
    [((480, 640), CAMERA), ((720, 1280), Intrinsics(900, 900, 639.5, 359.5, 1280, 720)),
     ((640, 480), Intrinsics(600, 600, 239.5, 319.5, 480, 640))],
)  # fmt: skip
def test_a_hand_is_found_where_it_is_in_any_picture_format(
    engines: Mapping[str, OnnxRuntimeEngine], size: tuple[int, int], camera: Intrinsics
) -> None:
    finder = HandFinder(engines["finder"], PipelineConfig())
    blobs = (Blob(Side.RIGHT, (0.08, 0.05, 0.6), 0.15), Blob(Side.LEFT, (-0.12, -0.05, 0.8), 0.15))
    found = finder.find(toy_frame(*blobs, camera=camera))
    assert (camera.height, camera.width) == size
    assert {hand.side for hand in found} == {Side.RIGHT, Side.LEFT}
    for hand in found:
        blob = next(blob for blob in blobs if blob.side is hand.side)
        assert np.linalg.norm(hand.center - blob.center) < 0.03


def test_an_earlier_frame_leaves_no_trace(engines: Mapping[str, OnnxRuntimeEngine]) -> None:
    finder = HandFinder(engines["finder"], PipelineConfig())
    assert finder.find(toy_frame(Blob(Side.RIGHT, (0.0, 0.15, 0.6))))
    wide = Intrinsics(900, 900, 639.5, 359.5, 1280, 720)
    assert finder.find(toy_frame(camera=wide)) == []


def test_known_hands_are_not_found_again(engines: Mapping[str, OnnxRuntimeEngine]) -> None:
    finder = HandFinder(engines["finder"], PipelineConfig())
    frame = toy_frame(Blob(Side.RIGHT, (0.1, 0.0, 0.6)), Blob(Side.LEFT, (-0.15, 0.0, 0.6)))
    found = finder.find(frame, [detection(Side.RIGHT, 0.12, 0.5)])
    assert [hand.side for hand in found] == [Side.LEFT]


@given(st.integers(1, 4000), st.integers(1, 4000))
def test_letterbox_fits_and_is_centred(height: int, width: int) -> None:
    top, left, new_height, new_width = letterbox(height, width)
    assert top >= 0 and left >= 0 and top + new_height <= 120 and left + new_width <= 160
    assert new_height == 120 or new_width == 160
    assert abs(120 - new_height - 2 * top) <= 1 and abs(160 - new_width - 2 * left) <= 1


@given(st.floats(0, 1279), st.floats(0, 719))
def test_finder_intrinsics_see_the_same_point(u: float, v: float) -> None:
    camera = Intrinsics(900, 905, 630.0, 350.0, 1280, 720)
    point = back_project(np.array([u, v]), np.array(0.7), camera)
    fx, fy, cx, cy = finder_intrinsics(camera)
    small = Intrinsics(fx, fy, cx, cy, 160, 120)
    expected = project(point, scale_intrinsics(camera, 160, 90)) + np.array([0, 15])
    np.testing.assert_allclose(project(point, small), expected, atol=1e-3)


def _maps() -> tuple[np.ndarray, np.ndarray]:
    heat = np.zeros((2, 30, 40), dtype=np.float32)
    center = np.zeros((2, 3, 30, 40), dtype=np.float32)
    center[:, 2] = 0.6
    return heat, center


def test_peaks_are_local_maxima_with_the_centre_of_their_cell() -> None:
    heat, center = _maps()
    heat[0, 10, 12], heat[0, 10, 13], heat[1, 0, 39], heat[1, 20, 20] = 0.9, 0.8, 0.95, 0.2
    center[0, :, 10, 12] = (0.1, 0.2, 0.7)
    peaks, unusable = find_peaks(heat, center, 0.35)
    assert [(peak.side, round(peak.score, 3)) for peak in peaks] == [(Side.LEFT, 0.95), (Side.RIGHT, 0.9)]
    np.testing.assert_allclose(peaks[1].center, (0.1, 0.2, 0.7))
    assert unusable == 0


def test_an_open_side_is_still_a_hand() -> None:
    heat, center = _maps()
    heat[0, 10, 12], heat[1, 10, 12] = 0.2, 0.3
    center[0, :, 10, 12], center[1, :, 10, 12] = (0.1, 0.0, 0.6), (0.2, 0.0, 0.6)
    ((hand,), _) = find_peaks(heat, center, 0.35)
    assert hand.side is Side.LEFT
    assert (hand.score, hand.side_score) == (pytest.approx(0.5), pytest.approx(0.6))
    np.testing.assert_allclose(hand.center, (0.16, 0.0, 0.6), atol=1e-6)


@pytest.mark.parametrize(("value", "place"), [(np.nan, 0), (np.inf, 2), (-0.6, 2), (0.0, 2)])
def test_peaks_without_a_place_are_counted(value: float, place: int) -> None:
    heat, center = _maps()
    heat[0, 5, 5] = 0.9
    center[0, place, 5, 5] = value
    assert find_peaks(heat, center, 0.35) == ([], 1)


def test_a_broken_heat_map_finds_nothing() -> None:
    heat, center = _maps()
    heat[:] = np.nan
    assert find_peaks(heat, center, 0.35) == ([], 0)


@pytest.mark.parametrize(
    ("hands", "kept"),
    [
        ([detection(Side.RIGHT, 0.0, 0.9), detection(Side.LEFT, 0.02, 0.8)], [0]),
        ([detection(Side.RIGHT, 0.0, 0.9), detection(Side.LEFT, 0.07, 0.8)], [0, 1]),
        ([detection(Side.RIGHT, 0.0, 0.9), detection(Side.RIGHT, 0.07, 0.8)], [0]),
        ([detection(Side.RIGHT, 0.0, 0.9), detection(Side.RIGHT, 0.3, 0.8)], [0, 1]),
    ],
)
def test_the_stronger_of_two_hands_at_one_place_stays(hands: list[HandDetection], kept: list[int]) -> None:
    assert suppress(hands, 0.05) == [hands[index] for index in kept]


@pytest.mark.parametrize(
    ("known", "found"),
    [
        (detection(Side.RIGHT, 0.08, 0.1), False),
        (detection(Side.RIGHT, 0.12, 0.1), True),
        (detection(Side.LEFT, 0.04, 0.1), False),
        (detection(Side.LEFT, 0.08, 0.1), True),  # two hands may touch
    ],
)
def test_a_known_hand_hides_what_is_at_its_place(known: HandDetection, found: bool) -> None:
    hand = detection(Side.RIGHT, 0.0, 0.9)
    assert suppress([hand], 0.05, [known]) == ([hand] if found else [])


def test_unusable_peaks_reach_the_counter(engines: Mapping[str, OnnxRuntimeEngine]) -> None:
    dropped: Counter[str] = Counter()
    finder = HandFinder(engines["broken_finder"], PipelineConfig())
    assert finder.find(toy_frame(Blob(Side.RIGHT, (0, 0, 0.6))), (), dropped) == []
    assert dropped["non_finite"] >= 1


class OnColorAlone:
    """An engine whose network sees a hand, at a guessed distance, only where there is no depth."""

    metadata: Mapping[str, str] = {}
    description = "test"

    def __init__(self, engine: OnnxRuntimeEngine, guess: float) -> None:
        self.inputs, self.outputs = engine.inputs, engine.outputs
        self.guess = guess
        self.runs = 0

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.runs += 1
        heatmap = np.zeros((1, 2, 30, 40), np.float32)
        center = np.zeros((1, 2, 3, 30, 40), np.float32)
        if not inputs["depth"].any():
            heatmap[0, 0, 15, 20] = 0.8
            fx, fy, cx, cy = inputs["intrinsics"][0]
            ray = np.array([(4 * 20 + 1.5 - cx) / fx, (4 * 15 + 1.5 - cy) / fy, 1.0])
            center[0, 0, :, 15, 20] = ray * self.guess
        return {"heatmap": heatmap, "center": center}


@pytest.mark.parametrize(("guess", "surface"), [(0.5, 0.8), (0.9, 0.6)])
def test_what_only_colour_shows_is_as_far_away_as_the_depth_says(
    engines: Mapping[str, OnnxRuntimeEngine], guess: float, surface: float
) -> None:
    engine = OnColorAlone(engines["finder"], guess)
    finder = HandFinder(engine, PipelineConfig())
    color = toy_frame().color
    depth = np.full((CAMERA.height, CAMERA.width), surface, np.float32)
    frame = Frame(0, "camera", CAMERA, color, depth)
    (hand,) = finder.find(frame)
    assert hand.center[2] == pytest.approx(surface + 0.015, abs=1e-3)
    u, v = project(hand.center[None], CAMERA)[0]
    assert (u, v) == pytest.approx((4 * (4 * 20 + 1.5) + 1.5, 4 * (4 * 15 + 1.5) + 1.5), abs=1.0)
    assert engine.runs == 2
    # One hand is followed: no second look. No colour: none either. No reading where it is: no hand.
    assert finder.find(frame, [hand]) == [] and engine.runs == 3
    assert finder.find(Frame(0, "camera", CAMERA, None, depth)) == [] and engine.runs == 4
    hole = depth.copy()
    hole[180:320, 240:420] = 0.0
    assert finder.find(Frame(0, "camera", CAMERA, color, hole)) == [] and engine.runs == 6
