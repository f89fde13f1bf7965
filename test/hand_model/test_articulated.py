"""The hand as a function of its state: where it is, and how it moves."""

from __future__ import annotations

import numpy as np
import pytest

from hand_pose_ros.hand_model.articulated import COLUMNS, PLACE, SHAPE, ArticulatedHand, HandState
from hand_pose_ros.hand_model.fit import HandFitter
from hand_pose_ros.hand_model.model import HandModel
from hand_pose_ros.hand_model.pose_prior import sample_betas, sample_pose
from hand_pose_ros.hand_model.rotation import axis_angle_to_matrix
from hand_pose_ros.skeleton import CANONICAL_TO_MANO, Side


def some_state(seed: int) -> HandState:
    rng = np.random.default_rng(seed)
    angles = np.concatenate([rng.normal(0, 1.0, 3), sample_pose(rng).astype(np.float64)]).reshape(16, 3)
    place = np.array([0.05, -0.02, 0.5]) + rng.normal(0, 0.05, 3)
    return HandState(axis_angle_to_matrix(angles), place, sample_betas(rng).astype(np.float64))


@pytest.fixture(scope="module")
def hand() -> ArticulatedHand:
    return ArticulatedHand(HandModel.bundled(Side.RIGHT), 200)


@pytest.mark.parametrize("side", list(Side))
def test_it_is_the_model(side: Side) -> None:
    """Points and joints are those of `HandModel.forward`; a left model's are its mirror image's."""
    model = HandModel.bundled(side)
    hand, state = ArticulatedHand(model, 150), some_state(1)
    posed = hand.pose(state)
    parameters = HandFitter(model).parameters_of(state)
    truth = model.forward_parameters(parameters)
    flip = np.array([-1.0 if side is Side.LEFT else 1.0, 1.0, 1.0])
    np.testing.assert_allclose(posed.joints * flip, truth.joints[CANONICAL_TO_MANO], atol=2e-6)
    gap = np.linalg.norm(posed.points[:, None] * flip - truth.vertices, axis=-1).min(axis=1)
    assert len(posed.points) == 150
    assert gap.max() < 2e-6


def test_the_points_are_spread_over_all_of_it(hand: ArticulatedHand) -> None:
    posed = hand.pose(some_state(2))
    apart = np.linalg.norm(posed.points[:, None] - posed.points, axis=-1)
    np.fill_diagonal(apart, 1.0)
    assert apart.min() > 0.002
    truth = HandModel.bundled(Side.RIGHT).forward_parameters(
        HandFitter(HandModel.bundled(Side.RIGHT)).parameters_of(some_state(2))
    )
    assert np.linalg.norm(truth.vertices[:, None] - posed.points, axis=-1).min(axis=1).max() < 0.015
    np.testing.assert_allclose(np.linalg.norm(posed.normals, axis=1), 1.0, atol=1e-9)


@pytest.mark.parametrize("seed", [3, 4])
def test_slopes_are_the_derivatives(hand: ArticulatedHand, seed: int) -> None:
    state = some_state(seed)
    posed = hand.pose(state)
    chosen = np.arange(len(posed.points))[::-1]
    slopes = hand.slopes(posed, chosen)
    small = 1e-5
    for column in range(COLUMNS):
        step = np.zeros(COLUMNS)
        step[column] = small
        ahead, back = hand.pose(hand.moved(state, step)), hand.pose(hand.moved(state, -step))
        joints = (ahead.joints - back.joints) / (2 * small)
        along = (((ahead.points - back.points) / (2 * small)) * posed.normals).sum(axis=1)
        # Angles also move the skin by the pose's correctives, which the slopes leave out: some mm per rad.
        exact = column in range(PLACE.start, SHAPE.stop) or column < 3
        tips = slice(16, 21)
        np.testing.assert_allclose(posed.joint_slopes[:16, :, column], joints[:16], atol=1e-7)
        np.testing.assert_allclose(posed.joint_slopes[tips, :, column], joints[tips], atol=1e-7 if exact else 0.012)
        np.testing.assert_allclose(slopes[:, column], along[chosen], atol=1e-7 if exact else 0.012)


def test_a_hand_that_has_fewer_points_gives_all(hand: ArticulatedHand) -> None:
    model = HandModel.bundled(Side.RIGHT)
    assert len(ArticulatedHand(model, 10**6).pose(some_state(5)).points) == model.num_vertices
