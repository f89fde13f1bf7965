from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy_models import toy_hand
from toy_scenes import CAMERA, Blob, toy_frame

from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.engines.base import EngineError
from hand_pose_ros.options import ConfigError, replace
from hand_pose_ros.pipeline.pipeline import Pipeline
from hand_pose_ros.pipeline.timing import STAGES
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import Frame, Intrinsics, TrackingState

MakePipeline = Callable[..., Pipeline]
RIGHT = Blob(Side.RIGHT, (0.1, 0.02, 0.6))
LEFT = Blob(Side.LEFT, (-0.15, 0.02, 0.7))


def test_one_hand_in_metres(make_pipeline: MakePipeline) -> None:
    scene = make_pipeline().process(toy_frame(RIGHT, stamp=1.5))
    (hand,) = scene.hands
    assert (scene.stamp_ns, scene.frame_id, hand.side) == (1_500_000_000, "camera", Side.RIGHT)
    assert hand.state is TrackingState.DETECTED
    np.testing.assert_allclose(hand.joints, toy_hand() + np.array(RIGHT.center), atol=2e-3)
    np.testing.assert_allclose(hand.joint_std, 0.005)
    assert hand.joint_valid.all() and hand.score > 0.9
    np.testing.assert_array_equal(hand.wrist.position, hand.joints[0])


def test_a_left_hand_is_the_mirror_image_of_a_right_one(make_pipeline: MakePipeline) -> None:
    frame = toy_frame(RIGHT)
    mirrored = toy_frame(Blob(Side.LEFT, (-RIGHT.center[0], *RIGHT.center[1:])))
    (right,), (left,) = (make_pipeline().process(item).hands for item in (frame, mirrored))
    assert left.side is Side.LEFT
    np.testing.assert_allclose(left.joints, right.joints * [-1, 1, 1], atol=1e-4)
    assert left.roi.x + left.roi.width == pytest.approx(CAMERA.width - 1 - right.roi.x, abs=0.2)


def test_two_hands_keep_their_numbers_while_they_move(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline()
    seen = []
    for k in range(12):
        shift = 0.02 * k
        left = Blob(Side.LEFT, (LEFT.center[0] - shift / 4, LEFT.center[1], LEFT.center[2]))
        right = Blob(Side.RIGHT, (RIGHT.center[0], RIGHT.center[1] - shift / 4, RIGHT.center[2] + shift))
        scene = pipeline.process(toy_frame(left, right, stamp=k / 30))
        by_side = {hand.side: hand for hand in scene.hands}
        for blob in (left, right):
            joints = toy_hand() * ([-1, 1, 1] if blob.side is Side.LEFT else 1) + np.array(blob.center)
            np.testing.assert_allclose(by_side[blob.side].joints, joints, atol=3e-3)
        seen.append({side: (hand.track_id, hand.state) for side, hand in by_side.items()})
    numbers = {side: {entry[side][0] for entry in seen} for side in Side}
    assert all(len(ids) == 1 for ids in numbers.values()) and numbers[Side.LEFT] != numbers[Side.RIGHT]
    assert {state for entry in seen[1:] for _, state in entry.values()} == {TrackingState.TRACKED}


def test_every_scene_has_all_stage_timings(make_pipeline: MakePipeline) -> None:
    for frame in (toy_frame(), toy_frame(RIGHT)):
        timings = make_pipeline().process(frame).timings_ms
        assert tuple(timings) == STAGES
        assert sum(value for name, value in timings.items() if name != "total") <= timings["total"]


def _without_depth(frame: Frame) -> Frame:
    return Frame(frame.stamp_ns, frame.frame_id, frame.intrinsics, frame.color, None)


def _with_empty_depth(frame: Frame) -> Frame:
    return Frame(frame.stamp_ns, frame.frame_id, frame.intrinsics, frame.color, np.zeros((480, 640), np.float32))


@pytest.mark.parametrize("strip", [_without_depth, _with_empty_depth])
def test_no_depth_is_counted_and_hands_come_back(make_pipeline: MakePipeline, strip: Callable[[Frame], Frame]) -> None:
    pipeline = make_pipeline()
    first = pipeline.process(toy_frame(RIGHT, stamp=0.0))
    blind = pipeline.process(strip(toy_frame(RIGHT, stamp=0.1)))
    assert blind.hands == () and blind.dropped == {"no_depth": 1}
    after = pipeline.process(toy_frame(RIGHT, stamp=0.2))
    assert after.hands[0].track_id == first.hands[0].track_id
    assert pipeline.counts["no_depth"] == 1 and pipeline.counts["frames"] == 3 and pipeline.counts["hands"] == 2


def test_depth_alone_works_for_a_followed_hand(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline()
    pipeline.process(toy_frame(RIGHT))
    frame = toy_frame(RIGHT, stamp=0.03)
    (hand,) = pipeline.process(Frame(frame.stamp_ns, "camera", CAMERA, None, frame.depth)).hands
    np.testing.assert_allclose(hand.joints, toy_hand() + np.array(RIGHT.center), atol=2e-3)


def test_non_finite_joints_drop_the_hand_and_count_it(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline("broken")
    scene = pipeline.process(toy_frame(RIGHT, LEFT))
    assert scene.hands == () and scene.dropped == {"non_finite": 2} and pipeline.counts["non_finite"] == 2


def test_uncertain_joints_are_given_but_marked(make_pipeline: MakePipeline) -> None:
    (hand,) = make_pipeline("doubtful").process(toy_frame(RIGHT)).hands
    assert not hand.joint_valid.any()


@pytest.mark.parametrize(
    ("options", "blobs", "sides"),
    [
        ({"sides": "right"}, (RIGHT, LEFT), [Side.RIGHT]),
        ({"sides": "left"}, (RIGHT, LEFT), [Side.LEFT]),
        ({"sides": "left"}, (RIGHT,), []),
        ({"max_hands": 1}, (RIGHT,), [Side.RIGHT]),
        ({"max_depth": 0.65}, (RIGHT, LEFT), [Side.RIGHT]),
        ({"min_depth": 0.65}, (RIGHT, LEFT), [Side.LEFT]),
        ({"tracking__min_score": 0.99}, (RIGHT, LEFT), []),
        ({}, (Blob(Side.RIGHT, (0.1, 0.0, 0.6), marked=Side.LEFT),), [Side.RIGHT]),
        ({"sides": "left"}, (Blob(Side.RIGHT, (0.1, 0.0, 0.6), marked=Side.LEFT),), []),
    ],
)
def test_limits(
    make_pipeline: MakePipeline, options: dict[str, object], blobs: tuple[Blob, ...], sides: list[Side]
) -> None:
    pipeline = make_pipeline(**options)
    for stamp in (0.0, 0.03):
        scene = pipeline.process(toy_frame(*blobs, stamp=stamp))
        assert [hand.side for hand in scene.hands] == sides


def test_max_hands_keeps_one_of_two(make_pipeline: MakePipeline) -> None:
    assert len(make_pipeline(max_hands=1).process(toy_frame(RIGHT, LEFT)).hands) == 1


@pytest.mark.parametrize(
    ("stamps", "reason"),
    [((5.0, 1.0), "reset_stamp_jump"), ((1.0, 5.0), "reset_gap"), ((1.0, 1.1), None), ((1.0, 1.0), None)],
)
def test_jumps_of_time_forget_the_hands(
    make_pipeline: MakePipeline, stamps: tuple[float, float], reason: str | None
) -> None:
    pipeline = make_pipeline(smoothing__enabled=True)
    first, second = (pipeline.process(toy_frame(RIGHT, stamp=stamp)).hands[0] for stamp in stamps)
    resets = {name: count for name, count in pipeline.counts.items() if name.startswith("reset")}
    assert resets == ({reason: 1} if reason else {})
    assert (second.track_id == first.track_id) is (reason is None)
    assert second.state is (TrackingState.DETECTED if reason else TrackingState.TRACKED)


def test_another_camera_forgets_the_hands(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline()
    pipeline.process(toy_frame(RIGHT))
    frame = toy_frame(RIGHT, stamp=0.03)
    pipeline.process(Frame(frame.stamp_ns, "other", frame.intrinsics, frame.color, frame.depth))
    assert pipeline.counts["reset_camera"] == 1


def test_a_lost_hand_is_found_again_in_the_same_frame(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(finder__period=1000)
    pipeline.process(toy_frame(RIGHT, stamp=0.0))
    moved = Blob(Side.RIGHT, (-0.25, 0.02, 0.9))
    (hand,) = (scene := pipeline.process(toy_frame(moved, stamp=0.03))).hands
    assert scene.dropped == {"no_depth": 1}
    assert hand.state is TrackingState.DETECTED
    np.testing.assert_allclose(hand.joints.mean(axis=0), moved.center, atol=2e-3)


def test_a_second_hand_is_looked_for_every_period(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(finder__period=4)
    pipeline.process(toy_frame(RIGHT))
    counts = [len(pipeline.process(toy_frame(RIGHT, LEFT, stamp=0.03 * k)).hands) for k in range(1, 6)]
    assert counts == [1, 1, 1, 2, 2]


def test_a_hand_that_leaves_is_absent_at_once(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline()
    pipeline.process(toy_frame(RIGHT, LEFT))
    assert [hand.side for hand in pipeline.process(toy_frame(LEFT, stamp=0.03)).hands] == [Side.LEFT]


def test_without_tracking_every_frame_is_a_detection(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(tracking__enabled=False)
    states = [pipeline.process(toy_frame(RIGHT, stamp=0.03 * k)).hands[0].state for k in range(3)]
    assert states == [TrackingState.DETECTED] * 3


def test_a_side_that_was_wrong_is_corrected_while_followed(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline()
    first = pipeline.process(toy_frame(RIGHT)).hands[0]
    # From now on the hand shows what a left hand shows: looks from both sides turn it over.
    turned = Blob(Side.LEFT, RIGHT.center)
    sides = [pipeline.process(toy_frame(turned, stamp=0.03 * k)).hands[0] for k in range(1, 5)]
    told = [hand.side for hand in sides]
    assert told[-1] is Side.LEFT and told == sorted(told, key=lambda side: side is Side.LEFT)
    assert {hand.track_id for hand in sides} == {first.track_id}


def test_reset_forgets(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline()
    first = pipeline.process(toy_frame(RIGHT))
    pipeline.reset()
    again = pipeline.process(toy_frame(RIGHT, stamp=0.03))
    assert again.hands[0].state is TrackingState.DETECTED
    assert again.hands[0].track_id != first.hands[0].track_id


def test_options_change_while_running(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline()
    assert len(pipeline.process(toy_frame(RIGHT, LEFT)).hands) == 2
    pipeline.reconfigure(replace(pipeline.config, {"sides": "left"}))
    assert [hand.side for hand in pipeline.process(toy_frame(RIGHT, LEFT, stamp=0.03)).hands] == [Side.LEFT]
    with pytest.raises(ConfigError, match="cannot be changed while running: threads"):
        pipeline.reconfigure(replace(pipeline.config, {"threads": 3}))


def test_models_are_loaded_from_the_configuration(toy_folder: Path) -> None:
    values = {"model": str(toy_folder / "hand.onnx"), "finder.model": str(toy_folder / "finder.onnx"), "mesh": False}
    pipeline = Pipeline(replace(PipelineConfig(), values))
    assert len(pipeline.process(toy_frame(RIGHT)).hands) == 1
    description = pipeline.describe()
    assert description["model"] == values["model"] and "onnxruntime" in description["model_engine"]


def test_the_wrong_model_is_refused_at_start(toy_folder: Path) -> None:
    values = {"model": str(toy_folder / "finder.onnx"), "finder.model": str(toy_folder / "finder.onnx")}
    with pytest.raises(EngineError, match="hand pose model: expected input rgb"):
        Pipeline(replace(PipelineConfig(), values))
    with pytest.raises(EngineError, match="tensorrt was asked for"):
        Pipeline(replace(PipelineConfig(), {**values, "engine": "tensorrt"}))


sizes = st.integers(1, 80)
blobs = st.builds(
    Blob,
    st.sampled_from(Side),
    st.tuples(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3), st.floats(0.05, 3.0)),
    st.floats(0.02, 0.5),
)


@given(sizes, sizes, st.lists(st.tuples(st.lists(blobs, max_size=3), st.floats(0, 0.4)), min_size=1, max_size=6))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_comes_a_scene_goes_out(
    make_pipeline: MakePipeline, height: int, width: int, stream: list[tuple[list[Blob], float]]
) -> None:
    pipeline = make_pipeline(mesh=True, smoothing__enabled=True, tracking__min_score=0.1, finder__threshold=0.05)
    camera = Intrinsics(width, width, width / 2, height / 2, width, height)
    for scene_blobs, stamp in stream:
        scene = pipeline.process(toy_frame(*scene_blobs, stamp=stamp, camera=camera))
        assert len(scene.hands) <= 2 and scene.stamp_ns == round(stamp * 1e9)
        for hand in scene.hands:  # HandEstimate has checked that all is finite
            assert hand.roi.x >= 0 and hand.roi.x + hand.roi.width <= width - 1
            assert (hand.joints[:, 2] > 0).all()


def test_one_person_has_one_hand_of_each_side(make_pipeline: MakePipeline) -> None:
    two_rights = (RIGHT, Blob(Side.RIGHT, LEFT.center))
    hands = make_pipeline().process(toy_frame(*two_rights)).hands
    assert len({hand.side for hand in hands}) == len(hands)
    people = make_pipeline(one_person=False).process(toy_frame(*two_rights)).hands
    assert [hand.side for hand in people] == [Side.RIGHT, Side.RIGHT]
