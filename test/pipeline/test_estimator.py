from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_models import toy_hand
from toy_scenes import CAMERA, Blob, toy_frame

from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.engines.base import Array, EngineError
from hand_pose_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from hand_pose_ros.options import replace
from hand_pose_ros.pipeline.estimator import DroppedHand, KeypointFusionEstimator
from hand_pose_ros.pipeline.timing import StageTimer
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import FloatArray, Frame

Engines = Mapping[str, OnnxRuntimeEngine]


def estimator(engines: Engines, model: str = "hand", **options: object) -> KeypointFusionEstimator:
    return KeypointFusionEstimator(engines[model], replace(PipelineConfig(), options))


def place(x: float, y: float, z: float) -> FloatArray:
    return np.array([x, y, z], dtype=np.float32)


@given(st.floats(-0.12, 0.12), st.floats(-0.05, 0.05), st.floats(0.4, 0.9), st.sampled_from(Side))
@settings(max_examples=10, deadline=None)
def test_metres_do_not_depend_on_where_the_crop_was_cut(
    engines: Engines, x: float, y: float, z: float, side: Side
) -> None:
    frame = toy_frame(Blob(side, (x, y, z), width=0.1))
    part = estimator(engines)
    expected = toy_hand() * (place(-1, 1, 1) if side is Side.LEFT else 1) + place(x, y, z)
    for offset in (place(0, 0, 0), place(0.03, -0.02, 0.04)):
        hand = part.estimate(frame, place(x, y, z) + offset, side, StageTimer())
        np.testing.assert_allclose(hand.joints, expected, atol=4e-3)
        assert hand.side is side


@pytest.mark.parametrize(
    ("center", "reason"),
    [
        (place(0, 0, -0.5), "behind_camera"),
        (place(0, 0, 0), "behind_camera"),
        (place(np.nan, 0, 0.6), "behind_camera"),
        (place(0.3, 0, 0.6), "no_depth"),
        (place(0, 0, 0.9), "no_depth"),
        (place(5, 0, 0.6), "no_depth"),
    ],
)
def test_places_without_a_hand(engines: Engines, center: FloatArray, reason: str) -> None:
    with pytest.raises(DroppedHand) as drop:
        estimator(engines).estimate(toy_frame(Blob(Side.RIGHT, (0, 0, 0.6))), center, Side.RIGHT, StageTimer())
    assert drop.value.reason == reason


def test_depth_limits_hold_in_the_crop(engines: Engines) -> None:
    frame = toy_frame(Blob(Side.RIGHT, (0, 0, 0.6)))
    for options in ({"min_depth": 0.61}, {"max_depth": 0.59}):
        with pytest.raises(DroppedHand, match="no_depth"):
            estimator(engines, **options).estimate(frame, place(0, 0, 0.6), Side.RIGHT, StageTimer())
    assert frame.depth is not None and frame.depth.max() == np.float32(0.6)


def test_results_of_one_frame_survive_the_next(engines: Engines) -> None:
    part = estimator(engines)
    first = part.estimate(toy_frame(Blob(Side.RIGHT, (0, 0, 0.6))), place(0, 0, 0.6), Side.RIGHT, StageTimer())
    before = first.joints.copy()
    part.estimate(toy_frame(Blob(Side.RIGHT, (0.1, 0, 0.8))), place(0.1, 0, 0.8), Side.RIGHT, StageTimer())
    np.testing.assert_array_equal(first.joints, before)


def test_a_frame_without_colour_is_seen_by_depth(engines: Engines) -> None:
    frame = toy_frame(Blob(Side.RIGHT, (0, 0, 0.6)))
    hand = estimator(engines).estimate(
        Frame(0, "camera", CAMERA, None, frame.depth), place(0, 0, 0.6), Side.RIGHT, StageTimer()
    )
    np.testing.assert_allclose(hand.center, (0, 0, 0.6), atol=2e-3)


def test_non_finite_output(engines: Engines) -> None:
    with pytest.raises(DroppedHand, match="non_finite"):
        estimator(engines, "broken").estimate(
            toy_frame(Blob(Side.RIGHT, (0, 0, 0.6))), place(0, 0, 0.6), Side.RIGHT, StageTimer()
        )


def test_another_network_is_refused(engines: Engines) -> None:
    with pytest.raises(EngineError, match=r"expected input rgb uint8 \(1, 128, 128, 3\), the network has"):
        estimator(engines, "finder")


def test_the_network_sees_no_specks_before_the_hand(engines: Engines, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = toy_frame(Blob(Side.RIGHT, (0, 0, 0.6), width=0.1))
    part = estimator(engines)
    run, nearest = part.engine.run, []

    def look(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        depth = inputs["depth"]
        nearest.append(float(depth[depth > 0].min()))
        return run(inputs)

    monkeypatch.setattr(part.engine, "run", look)
    assert frame.depth is not None
    speckled = frame.depth.copy()
    row, column = round(CAMERA.cy), round(CAMERA.cx)
    speckled[row : row + 2, column : column + 2] = 0.53
    for depth in (frame.depth, speckled):
        part.estimate(Frame(0, "toy", CAMERA, frame.color, depth), place(0, 0, 0.6), Side.RIGHT, StageTimer())
    assert nearest[0] == nearest[1] > 0.53
