"""Poses to draw from: within limits, varied, free of themselves, smooth in time."""

from __future__ import annotations

import numpy as np
import pytest

from hand_pose_ros.hand_model.anatomy import ANGLES, LIMITS_DEGREES, NUM_ANGLES, joints_of_poses, pose_from_angles
from hand_pose_ros.hand_model.collision import segment_distance
from hand_pose_ros.hand_model.model import HandModel
from hand_pose_ros.hand_model.pose_prior import (
    KEY_POSES,
    TOLERATED_OVERLAP,
    choose_free,
    draw_candidates,
    overlap_of,
    sample_angles,
    sample_betas,
    sample_pose,
    sample_pose_sequence,
)
from hand_pose_ros.skeleton import CANONICAL_TO_MANO, Side

MIDDLE_TIP, INDEX_TIP, THUMB_TIP = 18, 17, 16


def single(angle: str, degrees: float) -> np.ndarray:
    angles = np.zeros(NUM_ANGLES)
    angles[ANGLES.index(angle)] = degrees
    return joints_of_poses(pose_from_angles(angles)[None])[0]


@pytest.mark.parametrize(
    ("angle", "joint", "axis", "sign"),
    [
        ("index_mcp_flexion", INDEX_TIP, 1, -1),  # towards the palm
        ("middle_pip_flexion", MIDDLE_TIP, 1, -1),
        ("index_mcp_radial", INDEX_TIP, 2, 1),  # towards the thumb
        ("middle_mcp_radial", MIDDLE_TIP, 2, 1),
        ("thumb_cmc_adduction", THUMB_TIP, 2, -1),  # towards the fingers
        ("thumb_cmc_abduction", THUMB_TIP, 1, -1),  # in front of the palm
        ("thumb_ip_flexion", THUMB_TIP, 2, -1),
    ],
)
def test_angles_move_joints_the_anatomical_way(angle: str, joint: int, axis: int, sign: int) -> None:
    moved = single(angle, 15.0)[joint] - joints_of_poses(np.zeros((1, 45), dtype=np.float32))[0, joint]
    assert moved[axis] * sign > 0.002


def test_pronation_turns_the_pulp_towards_the_fingers() -> None:
    def pulp(pronation: float) -> np.ndarray:
        angles = np.zeros((2, NUM_ANGLES))
        angles[:, ANGLES.index("thumb_cmc_pronation")] = pronation
        angles[1, ANGLES.index("thumb_ip_flexion")] = 30.0
        straight, bent = joints_of_poses(pose_from_angles(angles))[:, THUMB_TIP]
        return (bent - straight) / np.linalg.norm(bent - straight)

    turned = pulp(40.0) - pulp(0.0)
    assert turned[2] < -0.1 and turned[0] < -0.1  # to the little finger's side and to the fingertips


def test_joints_without_skinning_equal_the_model() -> None:
    model = HandModel.bundled(Side.RIGHT)
    pose = sample_pose(np.random.default_rng(4))
    zero = np.zeros(3, dtype=np.float32)
    expected = model.forward(zero, pose, np.zeros(10, dtype=np.float32), zero).joints[CANONICAL_TO_MANO]
    # Tips differ by the pose correctives of their skin.
    np.testing.assert_allclose(joints_of_poses(pose[None])[0, :16], expected[:16], atol=1e-6)
    np.testing.assert_allclose(joints_of_poses(pose[None])[0, 16:], expected[16:], atol=3e-3)


@pytest.mark.parametrize("name", sorted(KEY_POSES))
def test_key_poses_keep_the_limits_and_do_not_pass_through_themselves(name: str) -> None:
    angles = KEY_POSES[name]
    assert (angles >= LIMITS_DEGREES[:, 0]).all() and (angles <= LIMITS_DEGREES[:, 1]).all()
    assert overlap_of(angles[None])[0] <= TOLERATED_OVERLAP


@pytest.mark.parametrize("finger", ["index", "middle", "ring", "little"])
def test_pinches_touch(finger: str) -> None:
    joints = joints_of_poses(pose_from_angles(KEY_POSES[f"pinch_{finger}"])[None])[0]
    tip = {"index": 17, "middle": 18, "ring": 19, "little": 20}[finger]
    assert np.linalg.norm(joints[THUMB_TIP] - joints[tip]) < 0.02


def test_samples_keep_the_limits_and_do_not_pass_through_themselves() -> None:
    rng = np.random.default_rng(0)
    angles = np.stack([sample_angles(rng) for _ in range(150)])
    assert (angles >= LIMITS_DEGREES[:, 0]).all() and (angles <= LIMITS_DEGREES[:, 1]).all()
    assert (overlap_of(angles) <= TOLERATED_OVERLAP + 1e-6).all()
    # Rich: every joint uses a good part of its range, open and closed hands are both common.
    assert (np.ptp(angles, axis=0) > 0.4 * np.ptp(LIMITS_DEGREES, axis=1)).all()
    bend = angles[:, ANGLES.index("middle_pip_flexion")]
    assert 0.1 < (bend < 20).mean() < 0.7 and 0.1 < (bend > 70).mean() < 0.7


def test_samples_are_deterministic_by_seed() -> None:
    first = sample_pose(np.random.default_rng(9))
    np.testing.assert_array_equal(first, sample_pose(np.random.default_rng(9)))
    assert first.dtype == np.float32 and first.shape == (45,)
    assert sample_betas(np.random.default_rng(9)).shape == (10,)


@pytest.mark.parametrize("fps", [15.0, 30.0, 60.0])
def test_sequences_are_smooth(fps: float) -> None:
    poses = sample_pose_sequence(np.random.default_rng(2), 120, fps)
    assert poses.shape == (120, 45) and poses.dtype == np.float32
    joints = joints_of_poses(poses)
    speed = np.linalg.norm(np.diff(joints, axis=0), axis=2).max() * fps
    assert 0.02 < speed < 3.0  # metres per second, a quick fingertip
    jump = np.linalg.norm(np.diff(joints, n=2, axis=0), axis=2).max() * fps**2
    assert jump < 120.0


@pytest.mark.parametrize(("n", "fps"), [(0, 30.0), (5, 0.0)])
def test_impossible_sequences_are_refused(n: int, fps: float) -> None:
    with pytest.raises(ValueError, match="expected n"):
        sample_pose_sequence(np.random.default_rng(0), n, fps)


def test_segment_distance_against_dense_sampling() -> None:
    rng = np.random.default_rng(1)
    a, b, c, d = rng.normal(size=(4, 30, 3)).astype(np.float32)
    t = np.linspace(0, 1, 200)[:, None, None]
    first, second = a + t * (b - a), c + t * (d - c)
    dense = np.linalg.norm(first[:, None] - second[None], axis=-1).min(axis=(0, 1))
    np.testing.assert_allclose(segment_distance(a, b, c, d), dense, atol=2e-2)


def test_thumbs_reach_everywhere_whatever_the_fingers_do() -> None:
    rng = np.random.default_rng(11)
    angles, _ = choose_free(np.stack([draw_candidates(rng) for _ in range(1500)]))
    straight = angles[angles[:, 6::4].max(axis=1) < 30]
    for thumb in (angles[:, :3], straight[:, :3]):
        reach = np.percentile(thumb, [2, 98], axis=0)
        # Most of the saddle joint's range, across the palm as well as out of its plane.
        assert (reach[1] - reach[0] > 0.7 * (LIMITS_DEGREES[:3, 1] - LIMITS_DEGREES[:3, 0])).all()


def test_many_poses_are_chosen_as_each_alone() -> None:
    candidates = np.stack([draw_candidates(np.random.default_rng(seed)) for seed in range(20)])
    angles, poses = choose_free(candidates)
    for row in range(20):
        one_angles, one_pose = choose_free(candidates[row : row + 1])
        assert np.array_equal(one_angles[0], angles[row])
        assert np.array_equal(one_pose[0], poses[row])
    assert (overlap_of(angles) <= TOLERATED_OVERLAP).all()


def test_poses_can_be_kept_between_named_ones() -> None:
    drawn = np.concatenate([draw_candidates(np.random.default_rng(seed), ("fist", "fist")) for seed in range(60)])
    assert np.median(drawn, axis=0) == pytest.approx(KEY_POSES["fist"], abs=6.0)
