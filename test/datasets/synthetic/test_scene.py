from __future__ import annotations

import numpy as np
import pytest

from hand_pose_ros.datasets.synthetic.props import gripped_box
from hand_pose_ros.datasets.synthetic.scene import sample_scene
from hand_pose_ros.datasets.synthetic.spec import HandTruth, Label, SceneSpec, Shape, SyntheticConfig
from hand_pose_ros.skeleton import BONES, MCPS, TIPS, Side
from hand_pose_ros.types import DoubleArray

ALONE = SyntheticConfig(
    second_hand=0.0, held_object=0.0, occluder=0.0, max_clutter=0, body=0.0, background=0.0, long_arm=0.0, lap=0.0
)


def scenes(count: int, **changes: float) -> list[SceneSpec]:
    config = SyntheticConfig(**{**vars(ALONE), **changes})
    return [sample_scene(np.random.default_rng([4, seed]), config, Side.RIGHT) for seed in range(count)]


def bone_points(hand: HandTruth) -> DoubleArray:
    ends = hand.joints[np.array(BONES)].astype(np.float64)
    return np.concatenate([ends[:, 0] + share * (ends[:, 1] - ends[:, 0]) for share in (0.0, 0.25, 0.5, 0.75, 1.0)])


def test_a_gripped_box_lies_between_thumb_and_fingers_and_reaches_beyond_them() -> None:
    specs = scenes(40, gripped_box=1.0)
    found = [(spec.hands[0], spec.objects[0]) for spec in specs if spec.objects]
    assert len(found) > 30
    for hand, box in found:
        assert box.shape is Shape.BOX
        places = (bone_points(hand) - box.translation) @ box.rotation
        half = box.extent / 2
        assert not (np.abs(places) < half - 1e-3).all(axis=1).any()
        thumb, finger = ((hand.joints[tip] - box.translation) @ box.rotation for tip in (TIPS[0], TIPS[2]))
        assert thumb[2] < 0 < finger[2]
        palm = ((hand.joints[list(MCPS)].mean(axis=0) - box.translation) @ box.rotation)[0]
        assert palm < -half[0]
    assert np.mean([box.extent[:2].max() > 0.1 for _, box in found]) > 0.5


def test_fingers_that_touch_hold_no_box() -> None:
    (spec,) = scenes(1)
    hand = spec.hands[0]
    joints = hand.joints.copy()
    joints[list(TIPS)] = joints[TIPS[0]] + np.linspace(0.0, 0.002, 5)[:, None].astype(np.float32)
    closed = HandTruth(hand.side, joints, hand.vertices, hand.surface, hand.mano, hand.skin, hand.elbow)
    assert gripped_box(np.random.default_rng(0), closed) is None


def test_stretched_arms_come_from_every_side_and_go_on_straight() -> None:
    angles, bends = [], []
    for spec in scenes(80, long_arm=1.0, body=0.0, min_distance=0.6):
        hand = spec.hands[0]
        along = hand.elbow - hand.joints[0]
        assert abs(along[2]) < 0.8 * np.linalg.norm(along)
        angles.append(np.arctan2(along[1], along[0]))
        upper = next(p for p in spec.primitives if p.label is Label.OTHER and p.shape is Shape.CAPSULE)
        shoulder = upper.transform[:, 3]
        outward = shoulder - hand.elbow
        bends.append(outward @ along / (np.linalg.norm(outward) * np.linalg.norm(along)))
    assert np.histogram(angles, bins=4, range=(-np.pi, np.pi))[0].min() > 8
    assert float(np.median(bends)) > 0.85


@pytest.mark.parametrize("partial", [0.0, 1.0])
def test_partial_views_are_as_frequent_as_asked(partial: float) -> None:
    outside = []
    for spec in scenes(60, partial=partial, min_distance=0.6, max_distance=0.9):
        joints, camera = spec.hands[0].joints, spec.camera
        u = joints[:, 0] / joints[:, 2] * camera.fx + camera.cx
        v = joints[:, 1] / joints[:, 2] * camera.fy + camera.cy
        outside.append(bool(((u < 0) | (v < 0) | (u > camera.width) | (v > camera.height)).any()))
    assert np.mean(outside) < 0.1 if partial == 0.0 else np.mean(outside) > 0.6


def test_a_lap_has_two_thighs() -> None:
    with_lap, without = scenes(1, lap=1.0)[0], scenes(1)[0]
    count = [sum(p.label is Label.OTHER for p in spec.primitives) for spec in (with_lap, without)]
    assert count[0] >= 2
