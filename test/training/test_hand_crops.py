"""Crops for training are the crops of the pipeline, displaced and varied."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from hand_pose_ros.training.hand_crops import VALIDATION, CropAugmentation, CropBatch, crop_batch


def raw(count: int = 4) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    size, z = 160, 0.6
    focal = size * z / (1.25 * 0.25)
    joints = rng.normal((0.0, 0.0, z), 0.03, (count, 21, 3)).astype(np.float32)
    return {
        "color": rng.integers(1, 255, (count, size, size, 3), dtype=np.uint8),
        "depth": np.full((count, size, size), 6000, np.uint16),
        "intrinsics": np.tile(np.array([focal, focal, 79.5, 79.5], np.float32), (count, 1)),
        "joints": joints,
        "center": np.tile(np.array([0.0, 0.0, z], np.float32), (count, 1)),
        "negative": np.array([False, True, True, False])[:count],
        "wrong_side": np.array([False, False, True, False])[:count],
    }


def test_flags_say_hand_and_side() -> None:
    batch = crop_batch(raw(), np.random.default_rng(0), VALIDATION)
    assert batch.is_hand.tolist() == [True, False, True, True]
    assert batch.expected_side.tolist() == [True, True, False, True]


def test_joints_project_into_the_crop_where_the_matrix_says() -> None:
    still = dataclasses.replace(VALIDATION, center_std=0.0)
    batch = crop_batch(raw(), np.random.default_rng(0), still)
    pixel = batch.crop_matrix[0].double() @ torch.tensor([79.5, 79.5, 1.0], dtype=torch.float64)
    assert torch.allclose(pixel[:2], torch.tensor([63.5, 63.5], dtype=torch.float64), atol=1e-3)
    scale = float(batch.crop_matrix[0, 0, 0] * batch.intrinsics[0, 0])
    assert scale == pytest.approx(128 * 0.6 / 0.25, rel=1e-5)
    assert torch.allclose(batch.joints_nl * 0.125 + batch.center[:, None], batch.joints, atol=1e-6)


def test_variation_hides_colour_and_punches_holes_as_often_as_it_says() -> None:
    varied = CropAugmentation(no_color=1.0, hole=1.0, depth_noise=0.0)
    batch = crop_batch(raw(), np.random.default_rng(1), varied)
    assert float(batch.rgb.max()) == 0
    assert all((depth == 0).any() for depth in batch.depth)
    plain = crop_batch(raw(), np.random.default_rng(1), VALIDATION)
    assert float(plain.rgb.min()) > 0 and torch.allclose(plain.depth, torch.tensor(0.6))


@pytest.mark.parametrize("wrong_side", [0.0, 1.0])
def test_a_rolled_camera_sees_the_joints_where_the_picture_shows_them(wrong_side: float) -> None:
    data = raw(1)
    data["joints"][0, :] = (0.03, -0.02, 0.6)
    focal = float(data["intrinsics"][0, 0])
    u, v = round(79.5 + 0.03 / 0.6 * focal), round(79.5 - 0.02 / 0.6 * focal)
    data["color"][:] = 0
    data["color"][0, v - 1 : v + 2, u - 1 : u + 2] = 255
    rolled = dataclasses.replace(VALIDATION, roll_std=1.0, wrong_side=wrong_side)
    angles = []
    for seed in range(5):
        batch = crop_batch(data, np.random.default_rng(seed), rolled)
        x, y, z = batch.joints[0, 0].tolist()
        fx, fy, cx, cy = batch.intrinsics[0].tolist()
        expected = batch.crop_matrix[0].double() @ torch.tensor([x / z * fx + cx, y / z * fy + cy, 1.0]).double()
        bright = batch.rgb[0].mean(0)
        rows, columns = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
        assert float((bright * columns).sum() / bright.sum()) == pytest.approx(float(expected[0]), abs=0.8)
        assert float((bright * rows).sum() / bright.sum()) == pytest.approx(float(expected[1]), abs=0.8)
        angles.append(float(np.arctan2(y, x)))
    assert np.ptp(angles) > 0.3  # it did roll


def test_the_same_generator_gives_the_same_batch() -> None:
    first, second = (crop_batch(raw(), np.random.default_rng(7), CropAugmentation()) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_mirrored_hands_are_of_the_wrong_side_and_keep_their_geometry() -> None:
    always = dataclasses.replace(VALIDATION, wrong_side=1.0, center_std=0.0)
    given = raw()
    batch = crop_batch(given, np.random.default_rng(2), always)
    assert batch.expected_side.tolist() == [False, True, False, False]
    plain = crop_batch(given, np.random.default_rng(2), dataclasses.replace(always, wrong_side=0.0))
    assert torch.allclose(batch.joints[0] * torch.tensor([-1.0, 1.0, 1.0]), plain.joints[0])
    assert torch.equal(batch.rgb[0].flip(2), plain.rgb[0])
    assert crop_pixel(batch) == pytest.approx((127 - crop_pixel(plain)[0], crop_pixel(plain)[1]), abs=1e-2)


def crop_pixel(batch: CropBatch) -> tuple[float, float]:
    """Where the first hand's index finger's tip is in its crop."""
    fx, fy, cx, cy = batch.intrinsics[0].double()
    x, y, z = batch.joints[0, 8].double()
    pixel = batch.crop_matrix[0].double() @ torch.stack([x / z * fx + cx, y / z * fy + cy, torch.ones_like(x)])
    return float(pixel[0]), float(pixel[1])
