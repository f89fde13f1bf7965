"""Followed hands laid onto the depth image: which points are taken, and what becomes of the joints."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from exact_hands import CAMERA, drawn, hand_at
from toy_scenes import Blob, toy_frame

from hand_pose_ros.hand_model.model import HandGeometry, HandModel
from hand_pose_ros.options import replace
from hand_pose_ros.pipeline.estimator import NetworkHand
from hand_pose_ros.pipeline.hand_surface import HandSurfaces, points_about
from hand_pose_ros.pipeline.pipeline import Pipeline
from hand_pose_ros.pipeline.tracking import Track
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import FloatArray, Frame

F = np.float32
REACH = (0.15, 2.0)
BLOB = Blob(Side.RIGHT, (0.1, 0.02, 0.6))


def track_of(side: Side, hand: HandGeometry, seed: int = 0, number: int = 1) -> Track:
    """As a network sees it: each finger a little beside itself."""
    off = np.random.default_rng(seed).normal(0, 0.009, (6, 3))
    joints = hand.joints + off[[5, *np.repeat(np.arange(5), 4)]] * 0.7 + off[5] * 0.5
    return Track(number, NetworkHand(side, joints.astype(F), np.full(21, 0.008, F), 0.9, 0.9), 0)


def frame_of(depth: FloatArray | None) -> Frame:
    color = np.zeros((CAMERA.height, CAMERA.width, 3), dtype=np.uint8)
    return Frame(0, "camera", CAMERA, color, depth)


@pytest.fixture(scope="module")
def surfaces() -> HandSurfaces:
    return HandSurfaces({side: HandModel.bundled(side) for side in Side})


def error(joints: FloatArray, hand: HandGeometry) -> float:
    return float(np.linalg.norm(joints - hand.joints, axis=1).mean())


def test_both_hands_come_nearer_to_the_truth(surfaces: HandSurfaces) -> None:
    before, after = [], []
    for seed in range(8):
        surfaces.reset()
        right, left = hand_at(Side.RIGHT, (-0.02, 0.0, 0.5), seed), hand_at(Side.LEFT, (0.1, 0.0, 0.55), seed)
        tracks = [track_of(Side.RIGHT, right, seed, 1), track_of(Side.LEFT, left, seed + 50, 2)]
        found = surfaces.fit(tracks, frame_of(drawn(right, left)), REACH, True)
        assert sorted(found) == [1, 2]
        for track, hand in zip(tracks, (right, left), strict=True):
            before.append(error(track.hand.joints, hand))
            after.append(error(found[track.track_id].joints, hand))
    assert np.mean(after) < 0.75 * np.mean(before)


def test_one_person_has_one_shape(surfaces: HandSurfaces) -> None:
    right, left = hand_at(Side.RIGHT, (-0.02, 0.0, 0.5), 1), hand_at(Side.LEFT, (0.12, 0.0, 0.55), 2)
    tracks = [track_of(Side.RIGHT, right, 1, 1), track_of(Side.LEFT, left, 2, 2)]
    frame = frame_of(drawn(right, left))
    surfaces.reset()
    surfaces.fit(tracks, frame, REACH, True)
    assert tracks[0].shape is tracks[1].shape
    shape = tracks[0].shape
    assert shape is not None and shape.frames == 2
    surfaces.fit([], frame, REACH, True)  # nobody is there: another person may come
    surfaces.fit(tracks, frame, REACH, True)
    assert tracks[0].shape is not shape
    tracks = [track_of(Side.RIGHT, right, 1, 1), track_of(Side.RIGHT, right, 2, 2)]
    surfaces.fit(tracks, frame, REACH, False)
    assert tracks[0].shape is not tracks[1].shape


def test_without_enough_depth_nothing_is_fitted(surfaces: HandSurfaces) -> None:
    hand = hand_at(Side.RIGHT, (0.0, 0.0, 0.5), 3)
    track, depth = track_of(Side.RIGHT, hand), drawn(hand)
    assert surfaces.fit([track], frame_of(None), REACH, True) == {}
    assert surfaces.fit([track], frame_of(np.zeros_like(depth)), REACH, True) == {}
    assert surfaces.fit([track], frame_of(depth + F(0.3) * (depth > 0)), REACH, True) == {}
    assert surfaces.fit([track], frame_of(depth), (0.6, 2.0), True) == {}
    assert list(surfaces.fit([track], frame_of(depth), REACH, True)) == [1]


def test_joints_that_are_no_hands_are_left_to_the_pipeline(surfaces: HandSurfaces) -> None:
    hand = hand_at(Side.RIGHT, (0.0, 0.0, 0.5), 4)
    track = track_of(Side.RIGHT, hand)
    track.hand = NetworkHand(Side.RIGHT, np.tile(hand.joints[9], (21, 1)), np.full(21, np.inf, F), 0.9, 0.9)
    with np.errstate(all="ignore"):
        found = surfaces.fit([track], frame_of(drawn(hand)), REACH, True)
    assert all(np.isfinite(fitted.joints).all() for fitted in found.values())


def test_points_lie_about_the_hand_and_not_nearer_to_another() -> None:
    right, left = hand_at(Side.RIGHT, (-0.05, 0.0, 0.5), 5), hand_at(Side.LEFT, (0.03, 0.0, 0.52), 6)
    depth = drawn(right, left)
    depth[depth == 0] = 0.8  # a wall
    points = points_about(right.joints, [left.joints], depth, CAMERA, REACH)
    assert 30 < len(points) <= 400
    own = np.linalg.norm(points[:, None] - right.vertices, axis=-1).min(axis=1)
    other = np.linalg.norm(points[:, None] - left.vertices, axis=-1).min(axis=1)
    assert (own < other + 0.02).all()
    assert np.median(own) < 0.004
    everything = points_about(right.joints, [], depth, CAMERA, REACH)
    assert len(everything) > len(points)
    assert (np.abs(everything[:, 2] - right.joints[:, 2].mean()) < 0.2).all()


@pytest.mark.parametrize("place", [(2.0, 0.0, 0.5), (-2.0, 0.3, 0.5), (0.0, -2.0, 0.6)])
def test_a_hand_outside_the_picture_has_no_points(place: tuple[float, float, float]) -> None:
    hand = hand_at(Side.RIGHT, place, 7)
    depth = np.full((CAMERA.height, CAMERA.width), place[2], dtype=F)
    assert points_about(hand.joints, [], depth, CAMERA, REACH).shape == (0, 3)


def test_a_hand_that_fills_the_picture_is_thinned_out() -> None:
    hand = hand_at(Side.RIGHT, (0.0, 0.0, 0.25), 8)
    points = points_about(hand.joints, [], drawn(hand), CAMERA, (0.05, 2.0))
    assert 200 < len(points) <= 400


MakePipeline = Callable[..., Pipeline]


def test_the_pipeline_fits_where_it_is_told_to(make_pipeline: MakePipeline) -> None:
    """The toy hand is no hand and lies on a flat square: all that counts is whose joints are given."""
    (plain,) = make_pipeline().process(toy_frame(BLOB)).hands
    (fitted,) = make_pipeline(depth_fit=True).process(toy_frame(BLOB)).hands
    assert np.abs(fitted.joints - plain.joints).max() > 1e-3
    np.testing.assert_array_equal(fitted.wrist.position, fitted.joints[0])
    assert (fitted.joint_std > 0.0005).all() and fitted.joint_std.mean() < plain.joint_std.mean()


def test_the_mesh_is_the_fitted_one(make_pipeline: MakePipeline) -> None:
    (hand,) = make_pipeline(depth_fit=True, mesh=True).process(toy_frame(BLOB)).hands
    assert hand.mano is not None
    posed = HandModel.bundled(Side.RIGHT).forward_parameters(hand.mano)
    np.testing.assert_array_equal(posed.joints, hand.joints)
    np.testing.assert_array_equal(posed.vertices, hand.vertices)


def test_smoothed_joints_have_a_mesh_of_their_own(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(depth_fit=True, mesh=True, smoothing__enabled=True)
    for stamp in (0.0, 0.03):
        moved = Blob(Side.RIGHT, (0.1 + stamp, 0.02, 0.6))
        (hand,) = pipeline.process(toy_frame(moved, stamp=stamp)).hands
        assert hand.mano is not None and hand.vertices is not None
        posed = HandModel.bundled(Side.RIGHT).forward_parameters(hand.mano)
        assert np.linalg.norm(posed.joints - hand.joints, axis=1).mean() < 0.008


def test_it_can_be_switched_while_running(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline()
    (plain,) = pipeline.process(toy_frame(BLOB)).hands
    pipeline.reconfigure(replace(pipeline.config, {"depth_fit": True}))
    (fitted,) = pipeline.process(toy_frame(BLOB, stamp=0.03)).hands
    assert np.abs(fitted.joints - plain.joints).max() > 1e-3
    pipeline.reconfigure(replace(pipeline.config, {"depth_fit": False}))
    (again,) = pipeline.process(toy_frame(BLOB, stamp=0.06)).hands
    assert np.abs(again.joints - plain.joints).max() < 1e-3
