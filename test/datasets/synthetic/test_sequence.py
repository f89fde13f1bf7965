from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hand_pose_ros.datasets.synthetic.actors import INSTANTS, cast_of
from hand_pose_ros.datasets.synthetic.motion import FOREARM, gesture_sequence
from hand_pose_ros.datasets.synthetic.renderer import Renderer
from hand_pose_ros.datasets.synthetic.scene import models
from hand_pose_ros.datasets.synthetic.sequence import generate_sequence
from hand_pose_ros.datasets.synthetic.spec import SequenceConfig
from hand_pose_ros.geometry.camera import project
from hand_pose_ros.options import ConfigError
from hand_pose_ros.skeleton import MCPS, WRIST, Side
from hand_pose_ros.types import Frame, Scene

SMALL = SequenceConfig(frames=6, fps=10.0, width=160, height=120, exposures=1)


@pytest.fixture(scope="module")
def both(renderer: Renderer) -> list[tuple[Frame, Scene]]:
    config = replace(SMALL, frames=20, hands="both", second_enters=0.6, sensor="ideal")
    return list(generate_sequence(3, config, renderer))


@pytest.mark.parametrize("exposures", [1, 5])
def test_equal_seeds_give_equal_sequences(renderer: Renderer, exposures: int) -> None:
    config = replace(SMALL, frames=3, exposures=exposures)
    first, second, other = (list(generate_sequence(seed, config, renderer)) for seed in (7, 7, 8))
    for (a, truth_a), (b, truth_b) in zip(first, second, strict=True):
        assert a.stamp_ns == b.stamp_ns == truth_a.stamp_ns
        assert a.color is not None and b.color is not None and np.array_equal(a.color, b.color)
        assert a.depth is not None and b.depth is not None and np.array_equal(a.depth, b.depth)
        assert all(np.array_equal(p.joints, q.joints) for p, q in zip(truth_a.hands, truth_b.hands, strict=True))
    one, another = first[0][0].color, other[0][0].color
    assert one is not None and another is not None and not np.array_equal(one, another)


def test_stamps_follow_the_rate(both: list[tuple[Frame, Scene]]) -> None:
    stamps = np.array([frame.stamp_ns for frame, _ in both])
    assert (np.diff(stamps) == 100_000_000).all()
    assert all((f.stamp_ns, f.frame_id) == (s.stamp_ns, s.frame_id) for f, s in both)


def test_the_second_hand_comes_in_later(both: list[tuple[Frame, Scene]]) -> None:
    sides = [{hand.side for hand in scene.hands} for _, scene in both]
    assert all(Side.RIGHT in there for there in sides)
    assert all(Side.LEFT not in there for there in sides[:12])
    assert Side.LEFT in sides[-1]


def test_truth_lies_just_behind_the_seen_surface(both: list[tuple[Frame, Scene]]) -> None:
    """Wrist and knuckles: the surface in front of them is their own hand's in most frames."""
    gaps = []
    for frame, scene in both:
        assert frame.depth is not None
        for hand in scene.hands:
            for joint in (WRIST, *MCPS):
                if hand.joint_valid[joint]:
                    u, v = np.rint(project(hand.joints[joint], frame.intrinsics)).astype(int)
                    gaps.append(float(hand.joints[joint, 2] - frame.depth[v, u]))
    assert len(gaps) > 60
    assert 0.004 < float(np.median(gaps)) < 0.03
    assert float(np.mean(np.array(gaps) > -0.005)) > 0.95


def test_truth_is_complete_and_agrees_with_itself(both: list[tuple[Frame, Scene]]) -> None:
    for frame, scene in both:
        camera = frame.intrinsics
        for hand in scene.hands:
            pixels = project(hand.joints, camera)
            inside = (pixels > -0.5).all(axis=1) & (pixels < (camera.width - 0.5, camera.height - 0.5)).all(axis=1)
            assert np.array_equal(hand.joint_valid, inside)
            assert (hand.joint_std == 0).all()
            assert hand.mano is not None
            again = models()[hand.side].forward_parameters(hand.mano)
            assert again.joints == pytest.approx(hand.joints, abs=1e-5)
            assert hand.wrist.position == pytest.approx(hand.joints[WRIST], abs=1e-6)
            low, high = pixels[inside].min(axis=0), pixels[inside].max(axis=0)
            box = hand.roi
            assert box.x <= low[0] + 0.5 and box.x + box.width >= high[0] - 0.5
            assert box.y <= low[1] + 0.5 and box.y + box.height >= high[1] - 0.5


@pytest.mark.parametrize(("view", "hands"), [("facing", "right"), ("egocentric", "left"), ("facing", "both")])
def test_motion_is_smooth_and_arms_hold_together(view: str, hands: str) -> None:
    config = SequenceConfig(frames=40, view=view, hands=hands)
    cast = cast_of(np.random.default_rng(4), config)
    for actor in cast.actors:
        motion = actor.motion
        assert np.linalg.norm(motion.elbows - motion.wrists, axis=1) == pytest.approx(FOREARM, abs=1e-6)
        truths = [motion.at(instant) for instant in range(0, 40 * INSTANTS, INSTANTS)]
        joints = np.stack([truth.joints for truth in truths])
        # Fingertips stay below 6 m/s at 30 frames/s, and nothing jumps from one instant to the next.
        assert np.linalg.norm(np.diff(joints, axis=0), axis=2).max() < 0.2
        close = np.stack([motion.at(instant).joints for instant in range(30)])
        assert np.linalg.norm(np.diff(close, axis=0), axis=2).max() < 0.015
        for truth in truths:
            fingers, arm = truth.joints[9] - truth.joints[0], truth.elbow - truth.joints[0]
            assert fingers @ arm / (np.linalg.norm(fingers) * np.linalg.norm(arm)) < -0.2


def test_a_held_object_moves_with_the_hand(renderer: Renderer) -> None:
    config = replace(SMALL, held_object=True, frames=8)
    places = []
    for _, scene in generate_sequence(0, config, renderer):
        (hand,), (item,) = scene.hands, scene.objects
        assert item.rotation @ item.rotation.T == pytest.approx(np.eye(3), abs=1e-5)
        places.append(np.linalg.norm(item.translation - hand.joints[WRIST]))
    assert np.ptp(places) < 1e-5


@pytest.mark.parametrize("view", ["facing", "egocentric"])
def test_two_hands_hold_one_thing_and_go_with_it(view: str) -> None:
    config = SequenceConfig(frames=12, fps=10.0, hands="both", together=True, view=view, pace=0.8)
    cast = cast_of(np.random.default_rng(5), config)
    right, left = (actor.motion for actor in cast.actors)
    places = []
    for index in range(12):
        spec = cast.at(index * INSTANTS)
        (item,), hands = spec.objects, spec.hands
        assert [hand.side for hand in hands] == [Side.RIGHT, Side.LEFT]
        # Where the wrists and palms lie in the object's own axes.
        joints = np.stack([hand.joints[[0, 5, 17]] for hand in hands])
        places.append((joints - item.translation) @ item.rotation)
        assert min(np.linalg.norm(hand.joints - item.translation, axis=1).min() for hand in hands) < 0.13
    assert np.ptp(np.stack(places), axis=0).max() < 0.006  # palms give by the fingers' share only
    for motion in (right, left):
        assert np.linalg.norm(motion.elbows - motion.wrists, axis=1) == pytest.approx(FOREARM, abs=1e-6)
        bend = np.einsum("ni,ni->n", motion.forearms[:, :, 0], motion.rotations[:, :, 0])
        assert bend.min() > 0.3  # no wrist is bent by more than 70 degrees
    apart = np.linalg.norm(right.wrists - left.wrists, axis=1)
    assert apart.min() > 0.08 and np.ptp(apart) < 1e-9


def test_noise_stays_where_nothing_moves_only_when_asked(renderer: Renderer) -> None:
    for still, least, most in ((True, 0.98, 1.0), (False, 0.0, 0.7)):
        config = replace(SMALL, still=still, frames=2)
        ideal = [frame.depth for frame, _ in generate_sequence(2, replace(config, sensor="ideal"), renderer)]
        (first, _), (second, _) = generate_sequence(2, config, renderer)
        assert first.depth is not None and second.depth is not None
        unmoved = (ideal[0] == ideal[1]) & (first.depth > 0) & (second.depth > 0)
        assert unmoved.sum() > 5000
        assert least <= float((first.depth == second.depth)[unmoved].mean()) <= most


def test_gestures_pass_through_the_key_poses() -> None:
    poses = gesture_sequence(np.random.default_rng(0), ("flat", "fist"), 200, 100.0)
    assert np.abs(poses[:90]).max() < 0.6
    assert np.abs(poses[180:]).max() > 1.2
    assert np.abs(np.diff(poses, axis=0)).max() < 0.15


def test_impossible_wishes_are_refused() -> None:
    with pytest.raises(ConfigError, match="min_distance"):
        SequenceConfig(min_distance=0.9, max_distance=0.5)
    with pytest.raises(ConfigError, match="together"):
        SequenceConfig(together=True)
    with pytest.raises(ConfigError, match="wave"):
        next(iter(generate_sequence(0, replace(SMALL, gestures="fist,wave"))))
