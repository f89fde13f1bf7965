"""Symmetries as groups of rotations: closed, without repetition, and about the right axes."""

from __future__ import annotations

import numpy as np
import pytest

from hand_pose_ros.geometry.symmetry import Symmetry
from hand_pose_ros.types import InvalidData

X, Y, Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("symmetry", "size"),
    [
        (Symmetry(), 1),
        (Symmetry(((Z, 2),)), 2),
        (Symmetry((((0.0, 0.0, 3.0), 4),)), 4),
        (Symmetry(((Z, 2), (X, 2))), 4),
        (Symmetry(((Z, 4), (X, 2))), 8),
        (Symmetry(continuous=Y), 72),
        (Symmetry(((X, 2),), continuous=Z), 144),
    ],
)
def test_the_rotations_are_a_group(symmetry: Symmetry, size: int) -> None:
    rotations = symmetry.rotations()
    assert rotations.shape == (size, 3, 3)
    np.testing.assert_allclose(rotations[0], np.eye(3), atol=1e-12)
    np.testing.assert_allclose(rotations @ np.swapaxes(rotations, 1, 2), np.tile(np.eye(3), (size, 1, 1)), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(rotations), 1)
    flat = rotations.reshape(size, 9)
    apart = np.abs(flat[:, None] - flat[None]).max(axis=2)
    assert (apart[~np.eye(size, dtype=bool)] > 1e-3).all()
    # A product of two is one of them.
    products = (rotations[:, None] @ rotations[None, :10]).reshape(-1, 9)
    distance = np.abs(products[:, None] - flat[None]).max(axis=2).min(axis=1)
    assert distance.max() < 1e-9


@pytest.mark.parametrize("axis", [X, Y, Z])
def test_a_half_turn_keeps_its_axis(axis: tuple[float, float, float]) -> None:
    turn = Symmetry(((axis, 2),)).rotations()[1]
    np.testing.assert_allclose(turn @ axis, axis, atol=1e-12)
    np.testing.assert_allclose(turn, 2 * np.outer(axis, axis) - np.eye(3), atol=1e-12)


def test_steps_of_a_continuous_symmetry() -> None:
    turned = Symmetry(continuous=Z).rotations(steps=4) @ np.array(X)
    np.testing.assert_allclose(turned, [[1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]], atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"discrete": (((0.0, 0.0, 0.0), 2),)}, "axes of three numbers and a length"),
        ({"continuous": (0.0, 0.0, 0.0)}, "axes of three numbers"),
        ({"discrete": ((Z, 1),)}, "two or more parts"),
    ],
)
def test_wrong_symmetries_are_refused(arguments: dict[str, object], says: str) -> None:
    with pytest.raises(InvalidData, match=says):
        Symmetry(**arguments)  # type: ignore[arg-type]
