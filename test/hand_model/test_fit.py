"""Inverse kinematics from 21 joints: close to the input, human in between."""

from __future__ import annotations

import numpy as np
import pytest

from hand_pose_ros.hand_model.fit import HandFitter, fit_hand
from hand_pose_ros.hand_model.model import HandModel
from hand_pose_ros.hand_model.pose_prior import mirror_pose, sample_betas, sample_pose
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import InvalidData


def posed_hand(model: HandModel, rng: np.random.Generator):
    pose = sample_pose(rng)
    if model.side is Side.LEFT:
        pose = mirror_pose(pose)
    orient = rng.normal(0, 1.2, 3).astype(np.float32)
    transl = rng.normal(0, 0.4, 3).astype(np.float32)
    return model.forward(orient, pose, sample_betas(rng), transl)


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize(
    ("noise", "joints_mm", "vertices_mm"), [(0.0, 2.0, 2.5), (0.003, 5.0, 6.0)], ids=["clean", "3 mm noise"]
)
def test_recovers_natural_poses(side: Side, noise: float, joints_mm: float, vertices_mm: float) -> None:
    model = HandModel.bundled(side)
    rng = np.random.default_rng(11)
    joint_errors, vertex_errors = [], []
    for _ in range(40):
        truth = posed_hand(model, rng)
        seen = (truth.joints + rng.normal(0, noise, (21, 3))).astype(np.float32)
        parameters, vertices = fit_hand(model, seen)
        fitted = model.forward_parameters(parameters)
        np.testing.assert_array_equal(fitted.vertices, vertices)
        joint_errors.append(np.linalg.norm(fitted.joints - seen, axis=1).mean())
        vertex_errors.append(np.linalg.norm(vertices - truth.vertices, axis=1).mean())
    assert np.mean(joint_errors) * 1e3 < joints_mm
    assert np.mean(vertex_errors) * 1e3 < vertices_mm


def test_the_shape_settles_over_a_track() -> None:
    model = HandModel.bundled(Side.RIGHT)
    rng = np.random.default_rng(5)
    betas = np.array([1.5, 0, 0, 0, 0, 0, 0, 0, 0, 0], dtype=np.float32)
    zero = np.zeros(3, dtype=np.float32)
    fitter = HandFitter(model)
    sizes = []
    for _ in range(60):
        joints = model.forward(zero, sample_pose(rng), betas, zero).joints
        parameters, _ = fitter.fit((joints + rng.normal(0, 0.003, (21, 3))).astype(np.float32))
        rest = model.shaped(parameters.betas)[1]
        sizes.append(np.linalg.norm(rest[4] - rest[0]) / np.linalg.norm(model.joint_template[4]))
    assert np.std(sizes[40:]) < 0.35 * np.std(sizes[:20])
    assert np.mean(sizes[40:]) == pytest.approx(1.0825, abs=0.03)
    fitter.reset()
    again, _ = fitter.fit(model.forward(zero, sample_pose(rng), -betas, zero).joints)
    assert again.betas[0] < 0


def test_a_shape_prior_is_kept_near() -> None:
    model = HandModel.bundled(Side.RIGHT)
    prior = sample_betas(np.random.default_rng(8))
    zero = np.zeros(3, dtype=np.float32)
    joints = model.forward(zero, sample_pose(np.random.default_rng(2)), prior, zero).joints
    with_prior, _ = fit_hand(model, joints, prior)
    without, _ = fit_hand(model, joints)
    assert np.linalg.norm(with_prior.betas - prior) < 0.5 * np.linalg.norm(without.betas - prior)


def test_rotations_stay_human_when_the_input_is_not() -> None:
    model = HandModel.bundled(Side.RIGHT)
    rng = np.random.default_rng(0)
    for _ in range(20):
        joints = rng.normal(0, 0.08, (21, 3)).astype(np.float32)
        parameters, vertices = fit_hand(model, joints)
        assert np.isfinite(vertices).all()
        hinges = parameters.hand_pose.reshape(15, 3)[[1, 2, 4, 5, 7, 8, 10, 11]]
        assert (np.linalg.norm(hinges, axis=1) < np.radians(130)).all()


@pytest.mark.parametrize(
    "joints", [np.zeros((20, 3), np.float32), np.zeros((21, 3)), np.full((21, 3), np.nan, np.float32)]
)
def test_bad_joints_are_refused(joints: np.ndarray) -> None:
    with pytest.raises(InvalidData, match="fit joints"):
        fit_hand(HandModel.bundled(Side.RIGHT), joints)
