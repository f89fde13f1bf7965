"""Meshes for predicted joints."""

from __future__ import annotations

import numpy as np
import pytest

from hand_pose_ros.evaluation.meshes import fit_meshes
from hand_pose_ros.evaluation.official_dexycb import write_results
from hand_pose_ros.hand_model.model import HandModel
from hand_pose_ros.skeleton import Side


def test_each_hand_gets_its_mesh_and_no_hand_none() -> None:
    model = HandModel.bundled(Side.RIGHT)
    rng = np.random.default_rng(0)
    zeros = np.zeros(10, dtype=np.float32)
    pose = np.zeros(45, dtype=np.float32)
    true = [
        model.forward(rng.normal(0, 0.5, 3).astype(np.float32), pose, zeros, np.float32([0, 0, 0.6])) for _ in range(2)
    ]
    joints = np.stack([true[0].joints, np.full((21, 3), np.nan, np.float32), true[1].joints])
    meshes = fit_meshes(model, joints)
    assert np.isnan(meshes[1]).all()
    for mesh, geometry in ((meshes[0], true[0]), (meshes[2], true[1])):
        assert np.linalg.norm(mesh - geometry.vertices, axis=1).mean() < 0.004


def test_one_hand_does_not_shape_the_next() -> None:
    model = HandModel.bundled(Side.RIGHT)
    pose, orient, place = np.zeros(45, np.float32), np.zeros(3, np.float32), np.float32([0, 0, 0.6])
    small, large = (model.forward(orient, pose, np.full(10, b, np.float32), place).joints for b in (-1.5, 1.5))
    np.testing.assert_array_equal(fit_meshes(model, np.stack([small, large]))[1], fit_meshes(model, large[None])[0])


def test_result_lines_need_every_sample() -> None:
    with pytest.raises(ValueError, match="of 3 samples, got 2"):
        write_results(None, [0, 0, 0], np.zeros((2, 21, 3), np.float32))  # type: ignore[arg-type]
