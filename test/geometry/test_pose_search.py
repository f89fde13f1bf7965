"""The search of a pose that explains a depth image, and what a pose is worth."""

from __future__ import annotations

import numpy as np
import pytest
from depth_pictures import box_depth

from hand_pose_ros.evaluation.two_hands_objects import Poses as TruePoses
from hand_pose_ros.evaluation.two_hands_objects import mssd
from hand_pose_ros.geometry.pose_search import DepthPatch, Explained, Poses, PoseScore, PoseSearch, even_rotations
from hand_pose_ros.geometry.surface import box_surface
from hand_pose_ros.geometry.symmetry import Symmetry
from hand_pose_ros.hand_model.rotation import axis_angle_to_matrix
from hand_pose_ros.types import DoubleArray, FloatArray, Intrinsics

CAMERA = Intrinsics(150.0, 150.0, 49.5, 39.5, 100, 80)
EXTENT = np.array([0.14, 0.08, 0.05])
PLACE = np.array([0.01, -0.02, 0.5])
TURN = axis_angle_to_matrix(np.array([0.5, 0.7, 0.2]))
SIGNS = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
ALIKE = Symmetry((((0.0, 0.0, 1.0), 2), ((1.0, 0.0, 0.0), 2))).rotations()


def _score(depth: FloatArray, belief: FloatArray | None = None) -> PoseScore:
    believed = np.ones_like(depth) if belief is None else belief
    return PoseScore(DepthPatch(depth, believed, CAMERA), box_surface(EXTENT))


def _worth(score: PoseScore, poses: Poses, reach: float) -> Explained:
    return score.worth(score.look(poses), reach)


def _poses(rotation: DoubleArray, place: DoubleArray) -> Poses:
    return Poses(rotation[None].astype(np.float32), place[None].astype(np.float32))


def _error(found: Poses) -> float:
    pose = TruePoses(found.rotation.astype(np.float64), found.translation.astype(np.float64))
    return float(mssd(pose, TruePoses(TURN[None], PLACE[None]), SIGNS * EXTENT, ALIKE)[0])


def test_the_true_pose_is_measured_and_not_contradicted() -> None:
    depth = box_depth(CAMERA, EXTENT, TURN, PLACE)
    depth[depth == 0] = 0.9  # a wall
    found = _worth(_score(depth), _poses(TURN, PLACE), 0.01)
    assert found.measured[0] > 0.95 and found.contradicted[0] < 0.05 and found.value[0] > 0
    # Nearer than it is: all of it was seen through.
    nearer = _worth(_score(depth), _poses(TURN, PLACE - np.array([0, 0, 0.1])), 0.01)
    assert nearer.measured[0] < 0.05 and nearer.contradicted[0] > 0.95 and nearer.value[0] < 0
    # Behind: it may be there, hidden.
    behind = _worth(_score(depth), _poses(TURN, PLACE + np.array([0, 0, 0.2])), 0.01)
    assert behind.contradicted[0] < 0.05 and nearer.value[0] < behind.value[0] < found.value[0]


def test_where_nothing_was_measured_nothing_is_told() -> None:
    told = _worth(_score(np.zeros((80, 100), dtype=np.float32)), _poses(TURN, PLACE), 0.01)
    assert told.value[0] == told.measured[0] == told.contradicted[0] == 0


def test_outside_of_the_patch_nothing_is_told() -> None:
    depth = np.full((80, 100), 0.9, dtype=np.float32)
    told = _worth(_score(depth), _poses(TURN, PLACE + np.array([2.0, 0, 0])), 0.01)
    assert told.value[0] == told.contradicted[0] == 0


def test_what_is_not_believed_is_worth_nothing() -> None:
    depth = box_depth(CAMERA, EXTENT, TURN, PLACE)
    believed, doubted = (_score(depth, np.full_like(depth, value)) for value in (1.0, 0.0))
    pose = _poses(TURN, PLACE)
    assert _worth(believed, pose, 0.01).value[0] > 0 > _worth(doubted, pose, 0.01).value[0]


def test_a_step_draws_the_surface_to_what_was_measured() -> None:
    score = _score(box_depth(CAMERA, EXTENT, TURN, PLACE))
    pose = _poses(axis_angle_to_matrix(np.array([0.05, -0.04, 0.03])) @ TURN, PLACE + np.array([0.004, -0.003, 0.008]))
    before = _error(pose)
    for _ in range(6):
        pose = score.drawn(score.look(pose), 0.03)
    assert _error(pose) < 0.35 * before


@pytest.mark.parametrize("hidden", [False, True])
def test_the_search_finds_the_pose(hidden: bool) -> None:
    depth = box_depth(CAMERA, EXTENT, TURN, PLACE)
    if hidden:  # by a bar before its middle
        depth[:, 46:54] = 0.35
    search = PoseSearch(families=96, children=2, apart=6, together=3, turn=0.3, shift=0.02)
    places = np.tile(PLACE + np.array([0.02, 0.01, 0.015]), (256, 1)).astype(np.float32)
    first = Poses(even_rotations(256).astype(np.float32), places)
    found, explained = search(_score(depth), first)
    assert _error(found) < 0.012
    assert explained.measured[0] > (0.5 if hidden else 0.85)
    again, _ = search(_score(depth), first)
    np.testing.assert_array_equal(found.translation, again.translation)


def test_even_rotations_are_rotations_spread_evenly() -> None:
    turns = even_rotations(512)
    np.testing.assert_allclose(turns @ turns.transpose(0, 2, 1), np.tile(np.eye(3), (512, 1, 1)), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(turns), 1.0)
    # No turn is farther from the nearest of them than 35 degrees.
    rng = np.random.default_rng(0)
    for turn in axis_angle_to_matrix(rng.uniform(-2, 2, (50, 3))):
        cosine = (np.einsum("nij,ij->n", turns, turn).max() - 1) / 2
        assert np.degrees(np.arccos(cosine)) < 35
