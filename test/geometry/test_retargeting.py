"""The array that dex-retargeting takes, against its convention written down once more from its description."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_models import toy_hand

from hand_pose_ros.geometry.retargeting import dex_retargeting_joints
from hand_pose_ros.geometry.wrist import wrist_rotation
from hand_pose_ros.hand_model.rotation import axis_angle_to_matrix
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import DoubleArray

# Operator frame to MANO's, as the consumer's constants say: rows are the operator's x, y, z.
TO_MANO = {
    Side.RIGHT: np.array([[0, 0, -1], [-1, 0, 0], [0, 1, 0]]),
    Side.LEFT: np.array([[0, 0, -1], [1, 0, 0], [0, -1, 0]]),
}


def posed(side: Side, seed: int) -> DoubleArray:
    """A hand with noise, turned and moved at random."""
    random = np.random.default_rng(seed)
    mirror = np.array([1.0 if side is Side.RIGHT else -1.0, 1.0, 1.0])
    joints = toy_hand() * mirror + random.normal(0, 0.003, (21, 3))
    turn = axis_angle_to_matrix(random.normal(0, 1.5, 3))
    return np.asarray(joints @ turn.T + random.normal(0, 0.5, 3), dtype=np.float64)


def consumers_own(joints: DoubleArray, side: Side) -> DoubleArray:
    """Its way: the plane of wrist, index and middle MCP by least squares; x towards the wrist, z towards the index."""
    points = joints - joints[0]
    palm = points[[0, 5, 9]]
    normal = np.linalg.svd(palm - palm.mean(axis=0))[2][2]
    x = -palm[2] - (-palm[2] @ normal) * normal
    x /= np.linalg.norm(x)
    z = np.cross(x, normal)
    if z @ (palm[1] - palm[2]) < 0:
        normal, z = -normal, -z
    return np.asarray(points @ np.stack([x, normal, z], axis=1) @ TO_MANO[side])


@given(st.sampled_from(list(Side)), st.integers(0, 10_000))
def test_the_array_is_what_the_consumer_makes_of_the_same_joints(side: Side, seed: int) -> None:
    joints = posed(side, seed)
    np.testing.assert_allclose(dex_retargeting_joints(joints, side), consumers_own(joints, side), atol=1e-9)


@pytest.mark.parametrize("side", list(Side))
def test_it_is_the_wrist_frame_but_for_a_turn_about_z(side: Side) -> None:
    """TF and `~/left_wrist` serve where the palm's plane may be the little finger's."""
    for seed in range(20):
        joints = posed(side, seed)
        ours = (joints - joints[0]) @ wrist_rotation(joints, side)
        theirs = dex_retargeting_joints(joints, side)
        np.testing.assert_allclose(ours[:, 2], theirs[:, 2], atol=1e-9)
        one, other = (array[5, :2] / np.linalg.norm(array[5, :2]) for array in (ours, theirs))
        assert one @ other > np.cos(np.radians(45)), "the same side of the palm"


def test_a_hand_without_a_palm_is_refused() -> None:
    with pytest.raises(ValueError, match="line"):
        dex_retargeting_joints(np.zeros((21, 3)), Side.LEFT)
