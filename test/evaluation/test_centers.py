"""Crop centres: the truth's, what a data set gives away, and our own finder's, on the toy networks."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import toy_models
from toy_scenes import CAMERA, Blob, toy_frame

from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.datasets.base import HandSample, SampleKey
from hand_pose_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from hand_pose_ros.evaluation.centers import FoundCenter, KnownCenter, given_center, true_center
from hand_pose_ros.evaluation.networks import open_estimator, open_finder
from hand_pose_ros.geometry.crop import mirror_points
from hand_pose_ros.options import replace
from hand_pose_ros.pipeline.estimator import KeypointFusionEstimator
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import BoundingBox

PLACE = (0.05, -0.03, 0.6)


def sample(side: Side = Side.RIGHT, marked: Side | None = None) -> HandSample:
    frame = toy_frame(Blob(side, PLACE, marked=marked))
    hand = toy_models.toy_hand()
    joints = (hand if side is Side.RIGHT else mirror_points(hand)) + np.float32(PLACE)
    return HandSample("toy", SampleKey("s", "0"), CAMERA, side, frame.color, frame.depth, joints, joints[0])


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> PipelineConfig:
    folder = tmp_path_factory.mktemp("toys")
    names = {
        "model": str(toy_models.hand_model(folder / "hand.onnx")),
        "finder.model": str(toy_models.finder_model(folder / "finder.onnx")),
    }
    return replace(PipelineConfig(), {**names, "threads": 1})


@pytest.fixture(scope="module")
def found(config: PipelineConfig) -> FoundCenter:
    return FoundCenter(open_finder(config), open_estimator(config), config)


@pytest.mark.parametrize("side", list(Side))
def test_both_sides_come_back_in_the_real_camera(config: PipelineConfig, found: FoundCenter, side: Side) -> None:
    hand = sample(side)
    for predictor in (KnownCenter("truth", open_estimator(config)), found):
        joints = predictor.predict(hand)
        assert joints is not None
        np.testing.assert_allclose(joints, hand.joints, atol=2.5e-3, err_msg=predictor.center)


def test_the_side_is_told_not_found(found: FoundCenter) -> None:
    # The finder takes it for a left hand, and its crop looks like one.
    joints = found.predict(dataclasses.replace(sample(Side.LEFT), side=Side.RIGHT))
    assert joints is not None
    np.testing.assert_allclose(joints.mean(axis=0), PLACE, atol=3e-3)
    left = found.predict(sample(Side.LEFT))
    assert left is not None and np.abs(left - joints).max() > 0.02, "mirrored hands differ"


def test_nothing_there_gives_nothing(config: PipelineConfig, found: FoundCenter) -> None:
    empty = toy_frame()
    nothing = dataclasses.replace(sample(), rgb=empty.color, depth=empty.depth)
    assert found.predict(nothing) is None
    assert KnownCenter("truth", open_estimator(config)).predict(nothing) is None
    assert found.predict(sample()) is not None, "and the next one is found again"


def test_centres_that_are_not_known(config: PipelineConfig) -> None:
    blind = dataclasses.replace(sample(), joints=None, wrist=None)
    assert true_center(blind) is None and given_center(blind) is None
    assert KnownCenter("given", open_estimator(config)).predict(blind) is None
    with pytest.raises(ValueError, match="got 'finder'"):
        KnownCenter("finder", open_estimator(config))


def test_the_given_centre_comes_from_box_and_distance() -> None:
    hand = dataclasses.replace(sample(), joints=None)
    assert hand.depth is not None
    box = BoundingBox(309.5, 149.5, 120, 120)  # about the blob's pixel, (369.5, 209.5)
    place = given_center(dataclasses.replace(hand, box=box))
    assert place is not None
    np.testing.assert_allclose(place, PLACE, atol=1e-4)
    # What is far from the wrist's distance is of something else.
    other = hand.depth.copy()
    other[150:200] = 1.2
    np.testing.assert_allclose(given_center(dataclasses.replace(hand, box=box, depth=other)), PLACE, atol=1e-4)
    blank = given_center(dataclasses.replace(hand, box=box, depth=np.zeros_like(other)))
    assert blank is not None and hand.wrist is not None and blank[2] == hand.wrist[2]
    stated = np.float32([1, 2, 3])
    assert given_center(dataclasses.replace(hand, center=stated)) is stated


def test_the_toy_networks_are_what_is_opened(config: PipelineConfig, tmp_path: Path) -> None:
    assert isinstance(open_estimator(config), KeypointFusionEstimator)
    assert isinstance(open_finder(config).engine, OnnxRuntimeEngine)
