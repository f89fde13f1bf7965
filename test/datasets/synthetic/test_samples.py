from __future__ import annotations

import numpy as np
import pytest

from hand_pose_ros.datasets.synthetic.renderer import Renderer
from hand_pose_ros.datasets.synthetic.samples import (
    CROP_PIXELS,
    NEGATIVE_CLEARANCE,
    CropSample,
    crop_camera,
    frame_sample,
    hand_crop_sample,
)
from hand_pose_ros.datasets.synthetic.scene import models, sample_scene
from hand_pose_ros.datasets.synthetic.spec import Label, SyntheticConfig
from hand_pose_ros.geometry.camera import project
from hand_pose_ros.geometry.crop import crop_hand
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import Frame


@pytest.fixture(scope="module")
def crops(renderer: Renderer) -> list[CropSample]:
    config = SyntheticConfig(negatives=0.3)
    return [hand_crop_sample(renderer, np.random.default_rng([3, i]), config) for i in range(60)]


def test_crops_look_at_the_middle_of_the_joints(crops: list[CropSample]) -> None:
    for crop in crops:
        assert project(crop.center, crop.intrinsics) == pytest.approx((CROP_PIXELS - 1) / 2, abs=1e-3)
        if not crop.negative:
            assert crop.center == pytest.approx(crop.joints.mean(axis=0), abs=1e-5)


def test_seen_joints_lie_just_behind_the_seen_surface(crops: list[CropSample]) -> None:
    gaps = []
    for crop in crops:
        pixels = np.rint(project(crop.joints, crop.intrinsics)).astype(int) if not crop.negative else None
        for joint in np.flatnonzero(crop.visible):
            assert pixels is not None
            u, v = pixels[joint]
            assert crop.mask[v, u] == Label.RIGHT_HAND
            if crop.depth[v, u] > 0:
                gaps.append(crop.joints[joint, 2] - crop.depth[v, u])
    assert len(gaps) > 200
    # Half a finger's thickness, give or take the sensor's noise.
    assert 0.003 < float(np.median(gaps)) < 0.02
    assert float(np.mean(np.abs(gaps) < 0.035)) > 0.9


def test_negatives_have_no_right_hand_at_the_centre(crops: list[CropSample]) -> None:
    negatives = [crop for crop in crops if crop.negative]
    assert len(negatives) > 5
    assert any(crop.wrong_side for crop in negatives)
    for crop in negatives:
        assert not crop.visible.any()
        middle = crop.mask[60:100, 60:100]
        near = np.abs(crop.depth[60:100, 60:100] - crop.center[2]) < NEGATIVE_CLEARANCE / 2
        assert not ((middle == Label.RIGHT_HAND) & near).any()


def test_a_crop_can_be_cropped_again_as_a_frame(crops: list[CropSample]) -> None:
    """The trainer moves the centre: the joints fall where the second crop's matrix says."""
    crop = next(crop for crop in crops if not crop.negative)
    frame = Frame(0, "", crop.intrinsics, crop.color, crop.depth)
    moved = (crop.center + np.array([0.01, -0.01, 0.01])).astype(np.float32)
    again = crop_hand(frame, moved, 0.25)
    place = again.matrix @ np.append(project(moved, crop.intrinsics), 1.0)
    assert place[:2] == pytest.approx(63.5, abs=1e-3)
    # At the centre's depth the crop spans the cube: one crop pixel is 1/0.8 of the picture's.
    assert again.matrix[0, 0] == pytest.approx(128 / 160 * 1.25 * moved[2] / crop.center[2])


def test_equal_seeds_give_equal_samples(renderer: Renderer) -> None:
    config = SyntheticConfig()
    for make in (hand_crop_sample, frame_sample):
        a, b, c = (make(renderer, np.random.default_rng(seed), config) for seed in (11, 11, 12))
        assert np.array_equal(a.color, b.color)
        assert np.array_equal(a.depth, b.depth)
        assert not np.array_equal(a.color, c.color)


def test_frames_know_their_hands(renderer: Renderer) -> None:
    config = SyntheticConfig(second_hand=1.0, no_hand=0.3)
    counts = []
    for seed in range(30):
        sample = frame_sample(renderer, np.random.default_rng([5, seed]), config)
        assert sample.color.shape == (120, 160, 3)
        counts.append(len(sample.hands))
        for hand in sample.hands:
            label = Label.RIGHT_HAND if hand.truth.side is Side.RIGHT else Label.LEFT_HAND
            assert hand.visible_fraction == 0 or (sample.mask == label).any()
        if not sample.hands:
            assert not np.isin(sample.mask, [Label.RIGHT_HAND, Label.LEFT_HAND]).any()
    assert set(counts) >= {0, 2}


@pytest.mark.parametrize("seed", range(5))
def test_truth_parameters_give_the_truth_mesh(seed: int) -> None:
    for hand in sample_scene(np.random.default_rng(seed), SyntheticConfig(second_hand=1.0)).hands:
        mano = hand.mano
        geometry = models()[hand.side].forward(mano.global_orient, mano.hand_pose, mano.betas, mano.transl)
        assert geometry.vertices == pytest.approx(hand.vertices, abs=1e-5)
        assert geometry.joints == pytest.approx(hand.joints, abs=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_the_forearm_leaves_the_hand_away_from_its_fingers(seed: int) -> None:
    """Once the forearms of left hands ran through their fingers."""
    for hand in sample_scene(np.random.default_rng(seed), SyntheticConfig(second_hand=1.0)).hands:
        fingers, arm = hand.joints[9] - hand.joints[0], hand.elbow - hand.joints[0]
        cosine = fingers @ arm / (np.linalg.norm(fingers) * np.linalg.norm(arm))
        assert cosine < -0.3
        # The stub is bent, the hand is not.
        palm = np.linalg.norm(hand.vertices - hand.joints[0], axis=1) > 0.06
        assert hand.surface[palm] == pytest.approx(hand.vertices[palm], abs=1e-6)


def test_crop_camera_spans_the_cube_and_a_quarter_more() -> None:
    camera = crop_camera(np.array([0.2, -0.1, 0.8]))
    edge = project(np.array([0.2 + 0.15625, -0.1, 0.8]), camera)
    assert edge[0] == pytest.approx(CROP_PIXELS - 0.5)
