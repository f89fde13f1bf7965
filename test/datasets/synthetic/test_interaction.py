"""Two hands that meet: they touch and do not pass through each other, and the picture holds what the truth says."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hand_pose_ros.datasets.synthetic.arms import sample_arm
from hand_pose_ros.datasets.synthetic.interaction import _SOFT, free_distance, inside, moved, plan_meeting
from hand_pose_ros.datasets.synthetic.plans import carry_out
from hand_pose_ros.datasets.synthetic.renderer import Renderer
from hand_pose_ros.datasets.synthetic.scene_crops import (
    SCENE_PIXELS,
    SCENE_SPAN,
    SceneCrop,
    joint_box,
    plan_scene_crop,
    scene_record,
    square_camera,
)
from hand_pose_ros.datasets.synthetic.spec import HAND_LABEL, Label, SceneSpec, SyntheticConfig
from hand_pose_ros.geometry.camera import project
from hand_pose_ros.hand_model.collision import balls
from hand_pose_ros.skeleton import Side

PAIRS = SyntheticConfig(two_hands=1.0)


def meetings(count: int, config: SyntheticConfig, seed: int = 0) -> list[SceneSpec]:
    return carry_out([plan_meeting(np.random.default_rng([seed, k]), config) for k in range(count)])


@pytest.fixture(scope="module")
def samples(renderer: Renderer) -> list[SceneCrop]:
    return carry_out([plan_scene_crop(np.random.default_rng([3, k]), SyntheticConfig()) for k in range(48)], renderer)


def gap(spec: SceneSpec) -> float:
    """The smallest distance (m) between the surfaces of the balls of both hands; negative where they overlap."""
    (a, r), (b, s) = (balls(hand.joints) for hand in spec.hands)
    return float((np.linalg.norm(a[:, None] - b[None], axis=-1) - r[:, None] - s[None]).min())


def test_pairs_meet_without_passing_through_each_other() -> None:
    specs = [spec for spec in meetings(40, PAIRS) if len(spec.hands) == 2]
    gaps = np.array([gap(spec) for spec in specs])
    assert len(specs) >= 38
    assert gaps.min() > -1.2 * _SOFT
    assert (gaps < 0.004).mean() > 0.25  # many touch
    assert gaps.max() < 0.3
    for spec in specs:
        assert {hand.side for hand in spec.hands} == {Side.RIGHT, Side.LEFT}


@pytest.mark.parametrize("innermost", [True, False])
def test_the_way_out_is_as_long_as_needed(innermost: bool) -> None:
    spec = next(spec for spec in meetings(8, PAIRS) if len(spec.hands) == 2)
    first, second = spec.hands
    second = moved(second, (first.center - second.center).astype(np.float64))
    way = np.array([0.6, 0.0, 0.8])
    distance = free_distance(first, second, way, innermost)
    assert distance is not None and distance > 0
    hands = (first, moved(second, distance * way))
    assert gap(dataclasses.replace(spec, hands=hands)) > -1.2 * _SOFT
    if not innermost:
        for further in (0.01, 0.05, 0.1):
            assert gap(dataclasses.replace(spec, hands=(first, moved(hands[1], further * way)))) > -1.2 * _SOFT


def test_a_mirrored_arm_is_the_other_hands() -> None:
    arm = sample_arm(np.random.default_rng(0), Side.RIGHT)
    normal = np.array([0.0, 0.6, 0.8])
    mirrored = arm.mirrored(normal)
    assert np.linalg.det(mirrored.hand) == pytest.approx(1.0)
    # The forearm leaves along the model's own +x on the right, -x on the left.
    assert arm.forearm[:, 0] == pytest.approx(arm.elbow)
    assert -mirrored.forearm[:, 0] == pytest.approx(mirrored.elbow)
    assert mirrored.mirrored(normal).hand == pytest.approx(arm.hand)


def test_held_things_are_not_in_the_other_hand() -> None:
    specs = [s for s in meetings(40, dataclasses.replace(PAIRS, held_object=1.0)) if len(s.hands) == 2 and s.objects]
    assert len(specs) >= 8
    for spec in specs:
        assert min(inside(spec.objects[0], hand).sum() for hand in spec.hands) <= 3


def test_most_of_every_hand_is_in_the_picture() -> None:
    specs = meetings(40, SyntheticConfig())
    shares = []
    for spec in specs:
        for hand in spec.hands:
            u, v = project(hand.joints, spec.camera).T
            shares.append(float(((u >= 0) & (u < 640) & (v >= 0) & (v < 480)).mean()))
    assert np.mean(np.array(shares) >= 0.5) > 0.95


def test_a_square_camera_sees_the_box_in_its_middle() -> None:
    spec = meetings(1, PAIRS)[0]
    joints = np.stack([hand.joints for hand in spec.hands])
    box = joint_box(joints, square_camera(spec.camera, joint_box(joints, spec.camera)))
    assert 0.5 * (box[:2] + box[2:]) == pytest.approx(np.full(2, (SCENE_PIXELS - 1) / 2), abs=1e-2)
    assert (box[2:] - box[:2]).max() == pytest.approx(SCENE_PIXELS / SCENE_SPAN, abs=1e-2)


def test_the_truth_is_what_is_seen(samples: list[SceneCrop]) -> None:
    counts = [len(sample.spec.hands) for sample in samples]
    assert {1, 2} <= set(counts)
    for sample in samples:
        for hand, visible in zip(sample.spec.hands, sample.visible, strict=True):
            u, v = np.rint(project(hand.joints[visible], sample.intrinsics)).astype(int).T
            assert (sample.mask[v, u] == HAND_LABEL[hand.side]).all()
    assert np.mean([sample.visible.sum(axis=1).min() >= 5 for sample in samples if len(sample.visible)]) > 0.9


def test_records_have_one_layout(samples: list[SceneCrop]) -> None:
    records = [scene_record(sample) for sample in samples]
    layouts = {tuple((name, value.shape, value.dtype.str) for name, value in record.items()) for record in records}
    assert len(layouts) == 1
    for record, sample in zip(records, samples, strict=True):
        present = [side in {hand.side for hand in sample.spec.hands} for side in (Side.RIGHT, Side.LEFT)]
        assert record["present"].tolist() == present
        assert not record["joints"][~record["present"]].any()
        assert record["object_pixels"] == (sample.mask == Label.OBJECT).sum()
    assert any(record["object_present"] for record in records)
