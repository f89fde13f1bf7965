"""The hand model laid onto measured points of its surface."""

from __future__ import annotations

import numpy as np
import pytest

from hand_pose_ros.hand_model.model import HandGeometry, HandModel
from hand_pose_ros.hand_model.normals import vertex_normals
from hand_pose_ros.hand_model.pose_prior import mirror_pose, sample_betas, sample_pose
from hand_pose_ros.hand_model.surface_fit import HandShape, SurfaceFit
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import DoubleArray, FloatArray, InvalidData

STD = np.full(21, 0.008, dtype=np.float32)
NOTHING = np.empty((0, 3))


def hand_at(model: HandModel, rng: np.random.Generator, betas: FloatArray) -> HandGeometry:
    pose = sample_pose(rng)
    pose = mirror_pose(pose) if model.side is Side.LEFT else pose
    orient = rng.normal(0, 1.0, 3).astype(np.float32)
    place = np.array([0.0, 0.0, 0.5], dtype=np.float32) + rng.normal(0, 0.03, 3).astype(np.float32)
    return model.forward(orient, pose, betas, place)


def seen_from_the_camera(model: HandModel, hand: HandGeometry) -> DoubleArray:
    """The vertices that face the camera, whatever else of the hand is before them."""
    facing = (vertex_normals(hand.vertices, model.faces) * hand.vertices).sum(axis=1) < 0
    return hand.vertices[facing].astype(np.float64)


def guessed(hand: HandGeometry, rng: np.random.Generator, noise: float = 0.008) -> FloatArray:
    """As a network sees it: fingers err along their length, together."""
    errors = rng.normal(0, noise / 2, (21, 3))
    for base in range(1, 21, 4):
        errors[base : base + 4] += rng.normal(0, noise, 3) * np.array([[0.3], [0.7], [1.0], [1.3]])
    return (hand.joints + errors).astype(np.float32)


def error(joints: FloatArray, hand: HandGeometry) -> float:
    return float(np.linalg.norm(joints - hand.joints, axis=1).mean())


@pytest.mark.parametrize("side", list(Side))
def test_measured_points_bring_the_joints_nearer(side: Side) -> None:
    model = HandModel.bundled(side)
    fit, rng = SurfaceFit(model), np.random.default_rng(7)
    before, without, after = [], [], []
    for _ in range(25):
        truth = hand_at(model, rng, sample_betas(rng))
        joints = guessed(truth, rng)
        points = seen_from_the_camera(model, truth)[::3]
        before.append(error(joints, truth))
        without.append(error(fit(joints, STD, NOTHING, HandShape()).joints, truth))
        after.append(error(fit(joints, STD, points, HandShape()).joints, truth))
    assert np.mean(after) < 0.7 * np.mean(before)
    assert np.mean(after) < 0.85 * np.mean(without) < 0.85 * np.mean(before)


def test_joints_vertices_and_parameters_agree() -> None:
    model, rng = HandModel.bundled(Side.LEFT), np.random.default_rng(8)
    truth = hand_at(model, rng, sample_betas(rng))
    fitted = SurfaceFit(model)(guessed(truth, rng), STD, seen_from_the_camera(model, truth), HandShape())
    again = model.forward_parameters(fitted.parameters)
    np.testing.assert_array_equal(again.joints, fitted.joints)
    np.testing.assert_array_equal(again.vertices, fitted.vertices)


def test_joints_with_measured_points_are_surer() -> None:
    model, rng = HandModel.bundled(Side.RIGHT), np.random.default_rng(12)
    fit, truth = SurfaceFit(model), hand_at(model, np.random.default_rng(13), sample_betas(rng))
    joints, points = guessed(truth, rng), seen_from_the_camera(model, truth)
    without = fit(joints, STD, NOTHING, HandShape()).joint_std
    measured = fit(joints, STD, points, HandShape()).joint_std
    unsure = fit(joints, 3 * STD, points, HandShape()).joint_std
    assert (measured < without).all() and (unsure > measured).all()
    # Points of the palm alone tell little of the tips.
    near = np.linalg.norm(points - truth.joints[9], axis=1) < 0.03
    palm = fit(joints, STD, points[near], HandShape()).joint_std
    assert (palm[[5, 9, 13]] / measured[[5, 9, 13]]).mean() < (palm[[8, 12, 20]] / measured[[8, 12, 20]]).mean()


def test_what_lies_apart_does_not_draw_it() -> None:
    """A table 5 cm behind the hand, or a wall of points before it: hardly any of its joints move by them."""
    model, rng = HandModel.bundled(Side.RIGHT), np.random.default_rng(9)
    fit = SurfaceFit(model)
    for offset in (0.05, -0.06):
        truth = hand_at(model, rng, sample_betas(rng))
        far = truth.joints[:, 2].max() + offset if offset > 0 else truth.joints[:, 2].min() + offset
        x, y = np.meshgrid(np.linspace(-0.1, 0.1, 16), np.linspace(-0.1, 0.1, 16))
        wall = np.column_stack((x.ravel(), y.ravel(), np.full(x.size, far)))
        alone = fit(guessed(truth, np.random.default_rng(1)), STD, NOTHING, HandShape())
        beside = fit(guessed(truth, np.random.default_rng(1)), STD, wall, HandShape())
        assert np.linalg.norm(alone.joints - beside.joints, axis=1).max() < 0.004


def test_the_same_points_give_the_same_hand() -> None:
    model, rng = HandModel.bundled(Side.RIGHT), np.random.default_rng(10)
    truth = hand_at(model, rng, sample_betas(rng))
    joints, points = guessed(truth, rng), seen_from_the_camera(model, truth)
    first = SurfaceFit(model)(joints, STD, points, HandShape())
    second = SurfaceFit(model)(joints, STD, points, HandShape())
    np.testing.assert_array_equal(first.joints, second.joints)


def test_the_shape_is_learnt_over_frames() -> None:
    """The size of the hand, which one look leaves open, is known better after forty."""
    model, rng = HandModel.bundled(Side.RIGHT), np.random.default_rng(11)
    fit = SurfaceFit(model)
    missed: dict[int, list[float]] = {1: [], 40: []}
    for _ in range(10):
        betas, shape = sample_betas(rng), HandShape()
        for frame in range(1, 41):
            truth = hand_at(model, rng, betas)
            fit(guessed(truth, rng), STD, seen_from_the_camera(model, truth)[::4], shape)
            if frame in missed:
                bones = [np.linalg.norm(model.shaped(b.astype(np.float32))[1][4]) for b in (shape.betas, betas)]
                missed[frame].append(abs(bones[0] - bones[1]))
    assert np.mean(missed[40]) < 0.75 * np.mean(missed[1])
    assert shape.frames == 40


def test_joints_that_are_none() -> None:
    fit = SurfaceFit(HandModel.bundled(Side.RIGHT))
    shape = HandShape()
    with pytest.raises(InvalidData, match="NaN"):
        fit(np.full((21, 3), np.nan, dtype=np.float32), STD, NOTHING, shape)
    assert shape.frames == 0
