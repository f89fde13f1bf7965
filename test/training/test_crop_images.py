"""Crops cut on the device are those that OpenCV cuts, as the pipeline does."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hand_pose_ros.training.crop_images import sample_crops, stored_crops, stored_drawn  # noqa: E402
from hand_pose_ros.training.hand_crops import (  # noqa: E402
    VALIDATION,
    CropAugmentation,
    CropBatch,
    crop_batch,
    crop_drawn,
    draw,
    flags,
)

NOISELESS = CropAugmentation(color_noise=0.0, depth_noise=0.0)
PUBLISHED = dataclasses.replace(
    VALIDATION, center_std=0.0, center_range=0.01, turn=np.pi, scale=(0.8, 1.2), one_of=True, color_gain=0.2
)


def raw(count: int = 12, size: int = 160) -> dict[str, np.ndarray]:
    """Smooth pictures, so that what differs between interpolations is small, with sharp edges in depth."""
    rng = np.random.default_rng(3)
    color = np.stack([cv2.resize(rng.integers(0, 255, (9, 9, 3), np.uint8), (size, size)) for _ in range(count)])
    depth = np.kron(rng.integers(4000, 60000, (count, 10, 10)), np.ones((1, size // 10, size // 10))).astype(np.uint16)
    focal = size * 0.6 / (1.25 * 0.25)
    return {
        "color": color,
        "depth": depth,
        "intrinsics": np.tile(np.array([focal, 1.1 * focal, 60.0, 90.0], np.float32), (count, 1)),
        "joints": rng.normal((0.03, -0.02, 0.6), 0.03, (count, 21, 3)).astype(np.float32),
        "center": np.tile(np.array([0.03, -0.02, 0.6], np.float32), (count, 1)),
        "negative": np.arange(count) % 4 == 1,
        "wrong_side": np.arange(count) % 8 == 1,
    }


@pytest.mark.parametrize("augmentation", [VALIDATION, NOISELESS, PUBLISHED])
def test_device_and_opencv_agree(augmentation: CropAugmentation) -> None:
    batch = raw()
    draws = draw(flags(batch)[0] & ~flags(batch)[1], np.random.default_rng(1), augmentation)
    reference, cut = crop_drawn(batch, draws), sample_crops(stored_drawn(batch, draws))
    for name in CropBatch._fields[2:]:
        assert torch.equal(getattr(reference, name), getattr(cut, name)), name
    # OpenCV rounds colours to whole steps of 255 and places to a 32nd of a pixel.
    assert torch.allclose(reference.rgb, cut.rgb, atol=0.012)
    assert float((reference.rgb - cut.rgb).abs().mean()) < 0.002
    # The nearest pixel may be another one just where two are equally near.
    assert float((~torch.isclose(reference.depth, cut.depth, atol=1e-5)).float().mean()) < 2e-3


def test_noise_is_as_strong_as_it_is_drawn_and_the_same_again() -> None:
    still = dataclasses.replace(VALIDATION, center_std=0.0)
    batch = raw()
    plain = sample_crops(stored_crops(batch, np.random.default_rng(0), still))
    noisy = dataclasses.replace(still, depth_noise=0.01, color_noise=0.05)
    draws = draw(np.zeros(12, bool), np.random.default_rng(0), noisy)
    first, second = (sample_crops(stored_drawn(batch, draws)) for _ in range(2))
    assert torch.equal(first.depth, second.depth) and torch.equal(first.rgb, second.rgb)
    for n, sigma in enumerate(draws.depth_sigma):
        error = (first.depth - plain.depth)[n][plain.depth[n] > 0]
        assert float(error.std()) == pytest.approx(float(sigma), rel=0.1)
    middle = (plain.rgb > 0.3) & (plain.rgb < 0.7)  # not cut at black and white
    assert float((first.rgb - plain.rgb)[middle].std()) == pytest.approx(0.05, rel=0.1)
    assert bool((first.depth == 0).any()) == bool((plain.depth == 0).any())


def marked(u: int, v: int) -> dict[str, np.ndarray]:
    """One crop with a bright spot at a pixel and all joints on the ray through it."""
    batch = raw(1)
    fx, fy, cx, cy = batch["intrinsics"][0]
    batch["color"][:] = 0
    batch["color"][0, v - 1 : v + 2, u - 1 : u + 2] = 255
    batch["joints"][0] = ((u - cx) / fx * 0.61, (v - cy) / fy * 0.61, 0.61)
    return batch


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("augmentation", [NOISELESS, dataclasses.replace(NOISELESS, roll_std=0.0, turn=np.pi)])
def test_joints_are_where_the_picture_shows_them(seed: int, augmentation: CropAugmentation) -> None:
    visible = dataclasses.replace(augmentation, no_color=0.0, wrong_side=0.5, color_gain=0.0, roll_std=0.3)
    crops = sample_crops(stored_crops(marked(95, 70), np.random.default_rng(seed), visible))
    x, y, z = crops.joints[0, 5].double()
    fx, fy, cx, cy = crops.intrinsics[0].double()
    place = crops.crop_matrix[0].double() @ torch.stack([x / z * fx + cx, y / z * fy + cy, torch.ones_like(x)])
    bright = crops.rgb[0].mean(0).double()
    rows, columns = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
    found = torch.stack([(bright * columns).sum(), (bright * rows).sum()]) / bright.sum()
    assert torch.allclose(found, place[:2], atol=0.3)
    assert float(z) == pytest.approx(0.61, abs=1e-6)


def test_the_published_augmentation_varies_one_thing_at_a_time() -> None:
    draws = draw(np.ones(4000, bool), np.random.default_rng(0), PUBLISHED)
    turned, moved = draws.turn != 0, (draws.offset != 0).any(axis=1)
    scaled = draws.size != PUBLISHED.cube_size
    ways = turned.astype(int) + moved + scaled
    assert ways.max() == 1
    for share in (turned, moved, scaled, ways == 0):
        assert share.mean() == pytest.approx(0.25, abs=0.03)
    assert np.abs(draws.offset).max() <= 0.01 and not draws.mirror.any() and not draws.hide_color.any()
    assert 0.8 <= draws.size.min() / 0.25 < 0.82 and 1.18 < draws.size.max() / 0.25 <= 1.2


def test_the_same_generator_gives_the_same_crops_both_ways() -> None:
    """`crop_batch` and `stored_crops` draw alike."""
    reference = crop_batch(raw(), np.random.default_rng(7), NOISELESS)
    cut = sample_crops(stored_crops(raw(), np.random.default_rng(7), NOISELESS))
    assert torch.equal(reference.joints, cut.joints) and torch.equal(reference.cube, cut.cube)
