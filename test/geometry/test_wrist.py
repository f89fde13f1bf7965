from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_models import toy_hand

from hand_pose_ros.geometry.wrist import matrix_to_quaternion, quaternion_to_matrix, wrist_pose, wrist_rotation
from hand_pose_ros.skeleton import Side

angles = st.tuples(*[st.floats(-np.pi, np.pi)] * 3)


def rotation(angle: tuple[float, float, float]) -> np.ndarray:
    result = np.eye(3)
    for axis, value in enumerate(angle):
        a, b = [k for k in range(3) if k != axis]
        turn = np.eye(3)
        turn[a, a] = turn[b, b] = np.cos(value)
        turn[a, b], turn[b, a] = -np.sin(value), np.sin(value)
        result = result @ turn
    return result


def flat_hand() -> np.ndarray:
    """A right hand in the image plane, fingers up (y negative), seen from the palm: the thumb is on the right."""
    joints = toy_hand().astype(np.float64)
    joints[:, 2] = 0.0
    return joints + np.array([0, 0, 0.5])


MIRROR = np.array([-1.0, 1.0, 1.0])


def test_axes_of_a_right_hand_that_shows_its_palm() -> None:
    joints = flat_hand()
    x, y, z = wrist_rotation(joints, Side.RIGHT).T
    to_middle = joints[9] - joints[0]
    np.testing.assert_allclose(z, to_middle / np.linalg.norm(to_middle), atol=1e-12)
    np.testing.assert_allclose(x, (0, 0, -1), atol=1e-12)  # out of the palm, to the viewer
    assert y @ (joints[5] - joints[17]) > 0  # to the thumb's side


def test_axes_of_a_left_hand_that_shows_its_palm() -> None:
    joints = flat_hand() * MIRROR
    x, y, z = wrist_rotation(joints, Side.LEFT).T
    np.testing.assert_allclose(x, (0, 0, -1), atol=1e-12)
    assert z @ (joints[9] - joints[0]) > 0
    assert y @ (joints[5] - joints[17]) < 0  # to the little finger's side


def test_fingers_bend_to_the_side_of_x() -> None:
    joints = toy_hand()  # its fingers lean to the viewer, towards the palm's inner side
    x = wrist_rotation(joints, Side.RIGHT)[:, 0]
    assert (joints[8] - joints[5]) @ x > 0


@given(angles, st.sampled_from(Side))
def test_it_turns_with_the_hand(angle: tuple[float, float, float], side: Side) -> None:
    turn = rotation(angle)
    joints = toy_hand().astype(np.float64) * (MIRROR if side is Side.LEFT else 1.0)
    frame = wrist_rotation(joints, side)
    np.testing.assert_allclose(wrist_rotation(joints @ turn.T, side), turn @ frame, atol=1e-9)
    np.testing.assert_allclose(frame.T @ frame, np.eye(3), atol=1e-12)
    assert np.linalg.det(frame) == pytest.approx(1.0)


def test_a_left_hand_is_the_mirrored_right_one() -> None:
    joints = toy_hand().astype(np.float64)
    right, left = wrist_rotation(joints, Side.RIGHT), wrist_rotation(joints * MIRROR, Side.LEFT)
    # x and z are mirrored; y, their cross product, is mirrored and reversed.
    np.testing.assert_allclose(left, MIRROR[:, None] * right * [1, -1, 1], atol=1e-12)


def test_position_is_the_wrist() -> None:
    joints = toy_hand() + np.array([0.1, 0.2, 0.6], dtype=np.float32)
    pose = wrist_pose(joints, Side.RIGHT)
    np.testing.assert_array_equal(pose.position, joints[0])
    np.testing.assert_allclose(quaternion_to_matrix(pose.quaternion), wrist_rotation(joints, Side.RIGHT), atol=1e-6)


@pytest.mark.parametrize("joints", [np.zeros((21, 3)), np.linspace([0, 0, 0.5], [0, 0.2, 0.5], 21)])
def test_a_palm_on_a_line_has_no_frame(joints: np.ndarray) -> None:
    with pytest.raises(ValueError, match="palm joints lie on a line"):
        wrist_rotation(joints, Side.RIGHT)


@given(angles)
def test_quaternions_round_trip(angle: tuple[float, float, float]) -> None:
    turn = rotation(angle)
    quaternion = matrix_to_quaternion(turn)
    assert np.linalg.norm(quaternion) == pytest.approx(1.0) and quaternion[3] >= 0
    np.testing.assert_allclose(quaternion_to_matrix(quaternion), turn, atol=1e-9)


@pytest.mark.parametrize(
    ("diagonal", "quaternion"), [((1, -1, -1), (1, 0, 0, 0)), ((-1, 1, -1), (0, 1, 0, 0)), ((-1, -1, 1), (0, 0, 1, 0))]
)
def test_half_turns(diagonal: tuple[int, ...], quaternion: tuple[int, ...]) -> None:
    np.testing.assert_allclose(np.abs(matrix_to_quaternion(np.diag(np.array(diagonal, float)))), quaternion)
