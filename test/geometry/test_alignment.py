from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hand_pose_ros.geometry.alignment import procrustes, rigid_alignment, similarity_alignment


def random_motion(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q *= np.sign(np.diag(r))
    if np.linalg.det(q) < 0:
        q[:, 0] *= -1
    return rng.normal(size=(21, 3)), q, rng.normal(size=3)


@given(st.integers(0, 999), st.floats(0.1, 10))
def test_a_similarity_is_recovered(seed: int, scale: float) -> None:
    points, rotation, translation = random_motion(seed)
    r, t, s = similarity_alignment(points, scale * points @ rotation.T + translation)
    np.testing.assert_allclose(r, rotation, atol=1e-8)
    np.testing.assert_allclose(t, translation, atol=1e-7)
    assert s == pytest.approx(scale)


@given(st.integers(0, 999))
def test_a_rigid_motion_is_recovered_and_ignores_points_without_weight(seed: int) -> None:
    points, rotation, translation = random_motion(seed)
    target = points @ rotation.T + translation
    target[3] += 100.0
    weights = np.ones(21)
    weights[3] = 0.0
    r, t = rigid_alignment(points, target, weights)
    np.testing.assert_allclose(r, rotation, atol=1e-8)
    np.testing.assert_allclose(t, translation, atol=1e-8)


@given(st.integers(0, 999))
def test_a_mirror_image_is_not_reached_by_a_rotation(seed: int) -> None:
    points, _, _ = random_motion(seed)
    r, _, _ = similarity_alignment(points, points * [-1, 1, 1])
    assert np.linalg.det(r) == pytest.approx(1.0)
    assert np.abs(procrustes(points, points * [-1, 1, 1]) - points * [-1, 1, 1]).max() > 0.05


@given(st.integers(0, 999))
def test_procrustes_is_no_worse_than_doing_nothing(seed: int) -> None:
    source, target = random_motion(seed)[0], random_motion(seed + 1000)[0]
    assert np.square(procrustes(source, target) - target).sum() <= np.square(source - target).sum() + 1e-9


@pytest.mark.parametrize("shapes", [((2, 3), (2, 3)), ((5, 3), (4, 3)), ((5, 2), (5, 2))])
def test_shapes_are_checked(shapes: tuple[tuple[int, int], tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match=r"expected two equal \(N, 3\) point sets"):
        rigid_alignment(*map(np.zeros, shapes))
