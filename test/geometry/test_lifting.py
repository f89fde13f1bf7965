from __future__ import annotations

import numpy as np
import pytest
from exact_hands import CAMERA, exact_hand, painted_depth
from hypothesis import given, settings
from hypothesis import strategies as st

from hand_pose_ros.geometry.camera import project
from hand_pose_ros.geometry.lifting import (
    SKIN_DEPTH,
    SKIN_PROFILE,
    Root,
    agree,
    blend,
    joint_std,
    place_joints,
    place_shape,
    rays,
    read_depth,
    root_from_bones,
    root_from_depth,
    root_from_shape,
    strut_lengths,
)
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import DoubleArray

LIMITS = (0.15, 2.0)
SKIN = SKIN_DEPTH * SKIN_PROFILE
SMALL = np.full(21, 1e-3)
sides = st.sampled_from(Side)
seeds = st.integers(0, 40)
wrists = st.tuples(st.floats(-0.1, 0.1), st.floats(0.0, 0.1), st.floats(0.35, 1.2))


def _told(joints: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
    return project(joints, CAMERA), joints[:, 2] - joints[0, 2]


@given(sides, wrists, seeds)
@settings(max_examples=40)
def test_depth_gives_the_wrist_exactly(side: Side, wrist: tuple[float, float, float], seed: int) -> None:
    joints = exact_hand(side, wrist, seed)
    uv, relative = _told(joints)
    root = root_from_depth(read_depth(painted_depth(joints), uv, LIMITS), relative, SMALL)
    # Where joints hide each other the nearer one is read: those do not agree, or by millimetres.
    assert root is not None and root.z == pytest.approx(wrist[2], abs=2.5e-3)
    assert root.support >= 8
    np.testing.assert_allclose(place_joints(uv, relative, wrist[2], CAMERA), joints, atol=1e-9)


def test_readings_that_all_fit_give_the_exact_root() -> None:
    relative = np.linspace(-0.08, 0.06, 21)
    readings = np.tile((0.7 + relative - SKIN)[:, None], (1, 9))
    root = root_from_depth(readings, relative, SMALL)
    assert root is not None and root.z == pytest.approx(0.7, abs=1e-9) and root.support == 21


@given(st.integers(0, 12), st.floats(-0.3, 0.5), st.integers(0, 1000))
@settings(max_examples=40)
def test_holes_occluders_and_background_do_not_pull(bad: int, by: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    relative = rng.uniform(-0.08, 0.06, 21)
    readings = np.tile((0.7 + relative - SKIN)[:, None], (1, 9))
    wrong = rng.permutation(21)[:bad]
    kinds = rng.integers(0, 3, bad)
    readings[wrong[kinds == 0]] = np.nan
    # A flat thing in front of the hand or behind it, and readings of anything.
    readings[wrong[kinds == 1]] = 0.7 + (by if abs(by) > 0.1 else 0.12)
    readings[wrong[kinds == 2]] = rng.uniform(0.2, 1.9, (int((kinds == 2).sum()), 9))
    root = root_from_depth(readings, relative, SMALL)
    assert root is not None and root.z == pytest.approx(0.7, abs=6e-3)


def test_a_hole_at_the_joint_itself_is_stepped_over() -> None:
    joints = exact_hand(Side.RIGHT, (0.0, 0.08, 0.6))
    uv, relative = _told(joints)
    depth = painted_depth(joints)
    for u, v in np.rint(uv).astype(int):
        depth[v, u] = 0
    root = root_from_depth(read_depth(depth, uv, LIMITS), relative, SMALL)
    assert root is not None and root.z == pytest.approx(0.6, abs=2.5e-3)


def test_an_occluder_that_hides_most_joints_loses_against_what_is_known_otherwise() -> None:
    joints = exact_hand(Side.LEFT, (0.0, 0.08, 0.8))
    uv, relative = _told(joints)
    depth = painted_depth(joints)
    for u, v in np.rint(uv[:13]).astype(int):
        joint = np.abs(uv - (u, v)).sum(axis=1).argmin()
        depth[v - 6 : v + 7, u - 6 : u + 7] = 0.4 + joints[joint, 2] - 0.8 - SKIN[joint]
    readings = read_depth(depth, uv, LIMITS)
    fooled = root_from_depth(readings, relative, SMALL)
    told = root_from_depth(readings, relative, SMALL, Root(0.8, 0.05, 20))
    assert fooled is not None and fooled.z == pytest.approx(0.4, abs=5e-3)
    assert told is not None and told.z == pytest.approx(0.8, abs=5e-3)


@pytest.mark.parametrize("readings", [np.full((21, 9), np.nan), np.linspace(0.3, 1.9, 21)[:, None].repeat(9, axis=1)])
def test_where_too_few_agree_there_is_no_root(readings: DoubleArray) -> None:
    assert root_from_depth(readings, np.zeros(21), SMALL) is None


def test_readings_outside_the_image_and_the_limits_are_none() -> None:
    depth = np.full((480, 640), 0.1, dtype=np.float32)
    depth[100:140, 100:140] = 0.5
    readings = read_depth(depth, np.array([[120.0, 120.0], [-50.0, 10.0], [1e9, 0.0], [300.0, 300.0]]), LIMITS)
    assert (readings[0] == 0.5).all() and np.isnan(readings[1:]).all()


@given(sides, wrists, seeds)
@settings(max_examples=40)
def test_bones_give_the_distance_without_depth(side: Side, wrist: tuple[float, float, float], seed: int) -> None:
    joints = exact_hand(side, wrist, seed)
    uv, relative = _told(joints)
    root = root_from_bones(uv, relative, strut_lengths(joints), CAMERA, SMALL)
    assert root.z == pytest.approx(wrist[2], rel=1e-5)
    assert 0.05 * root.z < root.std < 0.1 * root.z


@given(sides, wrists, seeds, st.sampled_from([2, 3, 4, 6, 7, 8, 10, 11, 12, 14, 15, 16, 18, 19, 20]), st.floats(10, 40))
@settings(max_examples=40)
def test_a_wrong_finger_joint_hardly_moves_the_distance(
    side: Side, wrist: tuple[float, float, float], seed: int, joint: int, by: float
) -> None:
    joints = exact_hand(side, wrist, seed)
    uv, relative = _told(joints)
    uv[joint] += by
    limit = 0.12
    assert root_from_bones(uv, relative, strut_lengths(joints), CAMERA, SMALL).z == pytest.approx(wrist[2], rel=limit)
    assert root_from_shape(uv, joints - joints[0], CAMERA, np.full(21, 2.0)).z == pytest.approx(wrist[2], rel=limit)


def test_hands_twice_as_large_are_taken_to_be_twice_as_far() -> None:
    joints = exact_hand(Side.RIGHT, (0.0, 0.05, 0.5))
    uv, relative = _told(joints)
    assert root_from_bones(uv, 2 * relative, 2 * strut_lengths(joints), CAMERA, SMALL).z == pytest.approx(1.0, rel=1e-5)


@given(sides, wrists, seeds)
@settings(max_examples=40)
def test_a_shape_is_put_where_it_is_seen(side: Side, wrist: tuple[float, float, float], seed: int) -> None:
    joints = exact_hand(side, wrist, seed)
    uv, shape = project(joints, CAMERA), joints - joints[0]
    std = np.full(21, 2.0)
    assert root_from_shape(uv, shape, CAMERA, std).z == pytest.approx(wrist[2], rel=1e-4)
    np.testing.assert_allclose(place_shape(uv, shape, wrist[2], CAMERA, std), joints, atol=1e-9)


@given(wrists, wrists, st.floats(0.005, 0.05), st.floats(0.005, 0.05), st.floats(0.005, 0.05))
@settings(max_examples=40)
def test_both_hands_that_agree_stay_and_grow_surer(
    a: tuple[float, float, float], b: tuple[float, float, float], right: float, left: float, between: float
) -> None:
    wrist = np.array([a, b])
    seen = rays(project(wrist, CAMERA), CAMERA)
    roots = (Root(a[2], right, 21), Root(b[2], left, 21))
    result = agree(*roots, seen, wrist[1] - wrist[0], np.full(3, between))
    for before, after, z in zip(roots, result, wrist[:, 2], strict=True):
        assert after.z == pytest.approx(z, abs=1e-9) and after.std < before.std


def test_the_surer_hand_carries_the_other_one() -> None:
    wrist = np.array([[0.1, 0.0, 0.6], [-0.1, 0.0, 0.7]])
    seen = rays(project(wrist, CAMERA), CAMERA)
    offset, only_depth = wrist[1] - wrist[0], np.array([np.inf, np.inf, 0.005])
    right, left = agree(Root(0.6, 0.004, 21), Root(0.78, 0.05, 20), seen, offset, only_depth)
    assert right.z == pytest.approx(0.6, abs=2e-3) and left.z == pytest.approx(0.7, abs=5e-3)
    # An offset that contradicts what both roots are sure of is not believed.
    told = agree(Root(0.6, 0.004, 21), Root(0.7, 0.004, 21), seen, offset + np.array([0, 0, 0.3]), only_depth)
    assert [root.z for root in told] == [0.6, 0.7]
    # One that knows nothing changes nothing.
    blind = agree(Root(0.6, 0.004, 21), Root(0.78, 0.05, 20), seen, np.zeros(3), np.full(3, np.inf))
    assert [root.z for root in blind] == pytest.approx([0.6, 0.78])


@given(wrists, seeds, st.integers(0, 5))
@settings(max_examples=15)
def test_the_stated_deviation_is_the_scatter(wrist: tuple[float, float, float], seed: int, draw: int) -> None:
    joints = exact_hand(Side.RIGHT, wrist, seed)
    uv, relative = _told(joints)
    rng = np.random.default_rng(draw)
    root = Root(wrist[2], 0.02, 21)
    stated = joint_std(joints, np.full(21, 2.0), np.full(21, 0.01), root, CAMERA.fx)
    noise = [
        place_joints(
            uv + rng.normal(0, 2.0, uv.shape), relative + rng.normal(0, 0.01, 21), root.z + rng.normal(0, 0.02), CAMERA
        )
        - joints
        for _ in range(400)
    ]
    scatter = np.sqrt((np.stack(noise) ** 2).mean(axis=(0, 2)))
    np.testing.assert_allclose(scatter, stated, rtol=0.15)


def test_the_surer_opinion_counts_more() -> None:
    told, expected = Root(0.70, 0.03, 21), Root(0.67, 0.01, 0)
    root = blend(told, expected)
    assert root.z == pytest.approx((0.70 / 9 + 0.67) / (1 / 9 + 1)) and 0.01 < root.std < 0.03 and root.support == 21
    same = blend(told, Root(0.70, 0.03, 0))
    assert same.z == 0.70 and same.std == pytest.approx(0.03)


def test_a_single_bad_frame_hardly_moves_a_hand_and_a_jump_is_followed() -> None:
    bad = Root(1.2, 0.05, 21)
    root = Root(0.6, 0.01, 21)
    seen = []
    for _ in range(40):
        root = blend(bad, Root(root.z, float(np.hypot(root.std, 0.017)), 0))
        seen.append(root.z)
    assert seen[0] < 0.65 and seen == sorted(seen) and seen[-1] == pytest.approx(1.2, abs=0.03)
