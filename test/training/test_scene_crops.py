"""Crops of scenes: whatever is varied, truth and picture stay together."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from toy_scene_shards import PIXELS, toy_scenes  # noqa: E402

from hand_pose_ros.datasets.synthetic.spec import Label, Shape  # noqa: E402
from hand_pose_ros.hand_model.rotation import axis_angle_to_matrix  # noqa: E402
from hand_pose_ros.training.scene_crops import VALIDATION, SceneAugmentation, scene_crops  # noqa: E402

VARIED = SceneAugmentation(shift=0.1, scale=0.2, roll_part=1.0, mirror=0.5, color_gain=0.0)


def test_joints_stay_where_they_are_drawn() -> None:
    """A disc is bright where `uv` says that the joint is, and stays its hand's: right red, left blue."""
    batch = toy_scenes(8)
    batch["color"][:] = 40
    batch["valid"] = np.zeros((8, 2, 21), dtype=bool)
    batch["valid"][:, :, [0, 8]] = True
    for n, hand, joint in np.argwhere(batch["valid"] & batch["present"][:, :, None]):
        x, y, z = batch["joints"][n, hand, joint]
        at = (round(150 * x / z + (PIXELS - 1) / 2), round(150 * y / z + (PIXELS - 1) / 2))
        cv2.circle(batch["color"][n], at, 2, (255, 0, 0) if hand == 0 else (0, 0, 255), -1)
    changed, looked = 0, 0
    for seed in range(4):
        crops = scene_crops(batch, np.random.default_rng(seed), VARIED)
        for n, hand, joint in crops.valid.nonzero().tolist():
            u, v = (round(float(value)) for value in crops.uv[n, hand, joint])
            if 3 <= u < 253 and 3 <= v < 253 and not batch["present"][n].all():
                red, _, blue = crops.rgb[n, :, v, u].tolist()
                assert max(red, blue) > 0.6, (n, hand, joint)
                # A mirrored right hand is a left one, though still red.
                changed += (red > blue) != (hand == 0)
                looked += 1
    assert looked > 15 and 0.2 < changed / looked < 0.8


def test_the_same_camera_sees_object_and_hands() -> None:
    """Rolls and mirror images keep all distances, and the pixels are the camera's."""
    batch = toy_scenes(8)
    crops = scene_crops(batch, np.random.default_rng(1), VARIED)
    flat = np.where(batch["present"][:, :, None, None], batch["joints"], 0)
    for n in range(8):
        both = crops.present[n].all()
        before = np.linalg.norm(flat[n][batch["present"][n]].reshape(-1, 3) - batch["object_translation"][n], axis=1)
        ours = crops.joints[n][crops.present[n]].flip(0) if both else crops.joints[n][crops.present[n]]
        candidates = [ours, crops.joints[n][crops.present[n]]]
        after = [np.linalg.norm(c.reshape(-1, 3) - crops.object_translation[n], axis=1) for c in candidates]
        assert any(np.allclose(before, a, atol=1e-5) for a in after)
    pixels = crops.joints[..., :2] / crops.joints[..., 2:].clamp(min=0.05) * crops.intrinsics[:, None, None, :2]
    expected = pixels + crops.intrinsics[:, None, None, 2:]
    assert torch.allclose(crops.uv[crops.valid], expected[crops.valid], atol=1e-2)
    assert torch.allclose(torch.linalg.det(crops.object_rotation), torch.ones(8), atol=1e-5)


def test_plain_crop() -> None:
    """Without variation the joints' box fills 1 / 1.25 of the crop about its middle."""
    crops = scene_crops(toy_scenes(4), np.random.default_rng(0), VALIDATION)
    for n in range(4):
        uv = crops.uv[n][crops.valid[n]]
        low, high = uv.min(dim=0).values, uv.max(dim=0).values
        assert float((high - low).max()) == pytest.approx(256 / 1.25, rel=1e-3)
        assert torch.allclose((low + high) / 2, torch.full((2,), 127.5), atol=1e-2)
    assert crops.object_weight.tolist() == [0, 0, 0, 1]
    assert crops.object_mask[3].max() == 255 and crops.object_mask[:3].max() == 0


def test_wider_about_an_object() -> None:
    batch = toy_scenes(4)
    batch["object_extent"][3] = 0.6
    around = dataclasses.replace(VALIDATION, around_object=True)
    plain, wide = (scene_crops(batch, np.random.default_rng(0), a).intrinsics[3, 0] for a in (VALIDATION, around))
    assert wide < 0.7 * plain


@pytest.mark.parametrize("seed", range(3))
def test_hand_model_turns_along(seed: int) -> None:
    """The hand's turn against the object's is the same before and after, but for the mirror."""
    batch = toy_scenes(4)
    crops = scene_crops(batch, np.random.default_rng(seed), dataclasses.replace(VARIED, mirror=0.0))
    for n in range(4):
        before = batch["object_rotation"][n].T @ axis_angle_to_matrix(batch["mano"][n, 0, :3].astype(np.float64))
        after = crops.object_rotation[n].numpy().T @ axis_angle_to_matrix(
            crops.pose[n, 0, 0].numpy().astype(np.float64)
        )
        np.testing.assert_allclose(before, after, atol=1e-5)
    mirrored = scene_crops(batch, np.random.default_rng(seed), dataclasses.replace(VALIDATION, mirror=1.0))
    expected = batch["mano"][:, 1, :48].reshape(4, 16, 3) * (1, -1, -1)
    np.testing.assert_allclose(mirrored.pose[:, 0], expected, atol=1e-5)


def test_bodies_of_revolution_have_no_width() -> None:
    batch = toy_scenes(8)
    batch["object_present"][:] = True
    batch["object_shape"][:] = [*list(Shape)[:5], 0, 0, 0]
    crops = scene_crops(batch, np.random.default_rng(0), VALIDATION)
    widths = (crops.object_box.amax(dim=1) > 0).tolist()
    assert widths[:5] == [[True] * 3, [False] * 3, [False, False, True], [False, False, True], [False, False, True]]


def test_only_the_object_is_segmented() -> None:
    batch = toy_scenes(4)
    batch["mask"][:] = Label.RIGHT_HAND
    assert scene_crops(batch, np.random.default_rng(0), VALIDATION).object_mask.max() == 0


def test_a_picture_without_hands_is_taken_whole() -> None:
    batch = toy_scenes(1)
    batch["present"][:] = False
    crops = scene_crops(batch, np.random.default_rng(0), VALIDATION)
    assert not crops.valid.any() and float(crops.joints.abs().max()) == 0
    assert float(crops.intrinsics[0, 0]) == pytest.approx(150 * 256 / (1.25 * (PIXELS - 1)), rel=1e-4)


def test_depth_goes_with_the_picture() -> None:
    """Where a disc is drawn and nearer, the relief is lower, however the crop is turned and mirrored."""
    batch = toy_scenes(8)
    bright = batch["color"].max(axis=3) > 200
    batch["depth"] = np.where(bright, 6000, 8000).astype(np.uint16)
    varied = dataclasses.replace(VARIED, no_depth=0.0, reference_std=0.0)
    crops = scene_crops(batch, np.random.default_rng(3), varied)
    plain = scene_crops({k: v for k, v in batch.items() if k != "depth"}, np.random.default_rng(3), varied)
    assert plain.relief is None and torch.equal(plain.rgb, crops.rgb), "depth changes nothing else"
    shown, there = crops.relief[:, 0], crops.relief[:, 1] > 0
    near = crops.rgb.max(dim=1).values > 0.95
    far = there & (crops.rgb.max(dim=1).values < 0.2)
    assert near.any() and shown[near & there].mean() < shown[far].mean() - 1.0


def test_some_crops_have_no_depth() -> None:
    batch = toy_scenes(8)
    batch["depth"] = np.full((8, PIXELS, PIXELS), 6000, dtype=np.uint16)
    many = [scene_crops(batch, np.random.default_rng(seed), SceneAugmentation(no_depth=0.5), 64) for seed in range(4)]
    with_depth = torch.cat([crops.relief[:, 1].amax(dim=(1, 2)) for crops in many])
    assert 0 < with_depth.sum() < len(with_depth)
    assert scene_crops(batch, np.random.default_rng(0), VALIDATION, 64).relief[:, 1].amax(dim=(1, 2)).all()
