"""Axis-angles to matrices and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hand_pose_ros.hand_model.rotation import axis_angle_to_matrix, compose_axis_angles, matrix_to_axis_angle

number = st.floats(-1.0, 1.0)


@given(x=number, y=number, z=number, angle=st.floats(0.0, np.pi - 1e-3))
def test_round_trip(x: float, y: float, z: float, angle: float) -> None:
    axis = np.array([x, y, z + 1e-3])
    vector = axis / np.linalg.norm(axis) * angle
    np.testing.assert_allclose(matrix_to_axis_angle(axis_angle_to_matrix(vector)), vector, atol=1e-9)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_half_turns_keep_their_axis(axis: int) -> None:
    vector = np.zeros(3)
    vector[axis] = np.pi
    back = matrix_to_axis_angle(axis_angle_to_matrix(vector))
    np.testing.assert_allclose(np.abs(back), np.abs(vector), atol=1e-9)


@pytest.mark.parametrize("size", [0.0, 1e-9, 1e-5, 1e-4, 2e-4, 0.1, 3.0, 6.0])
def test_matrices_are_rotations_and_keep_the_dtype(size: float) -> None:
    vectors = np.full((2, 4, 3), size, dtype=np.float32)
    matrices = axis_angle_to_matrix(vectors)
    assert matrices.dtype == np.float32 and matrices.shape == (2, 4, 3, 3)
    np.testing.assert_allclose(
        matrices @ np.swapaxes(matrices, -1, -2), np.broadcast_to(np.eye(3), (2, 4, 3, 3)), atol=2e-6
    )


def test_a_quarter_turn_about_z_takes_x_to_y() -> None:
    matrix = axis_angle_to_matrix(np.array([0.0, 0.0, np.pi / 2]))
    np.testing.assert_allclose(matrix @ [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], atol=1e-12)


@pytest.mark.parametrize("scale", [0.0, 1e-7, 0.3, 2.0, 3.1])
def test_composition_equals_the_product_of_matrices(scale: float) -> None:
    first, second = np.random.default_rng(6).normal(size=(2, 40, 3)) * scale
    composed = axis_angle_to_matrix(compose_axis_angles(first, second))
    np.testing.assert_allclose(composed, axis_angle_to_matrix(first) @ axis_angle_to_matrix(second), atol=1e-9)
