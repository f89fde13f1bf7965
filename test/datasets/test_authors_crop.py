"""Our reading, cropping and sampling against what the authors' loaders return for the same files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hand_pose_ros.datasets import authors_crop
from hand_pose_ros.datasets.authors_crop import authors_input, mirror_points_authors, to_real_camera
from hand_pose_ros.datasets.registry import CUBE_SIZES, open_dataset
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import Frame, Intrinsics

CASES = [
    (name, folder, split, index)
    for name, folder, split in (("dexycb", "dex", "s0_test"), ("ho3d", "ho", "test"), ("ho3d", "ho", "eval"))
    for index in (0, 1)
]


@pytest.mark.parametrize(("name", "folder", "split", "index"), CASES)
def test_equals_the_authors_loader(shared_dir: Path, name: str, folder: str, split: str, index: int) -> None:
    mini = shared_dir / "golden" / "keypoint_fusion" / "mini"
    stored = np.load(mini / f"loader_{name}_{split.removeprefix('s0_')}_{index}.npz")
    sample = open_dataset(name, mini / folder, split)[index]
    center = sample.center if split == "eval" else sample.joints.mean(axis=0)  # type: ignore[union-attr]
    assert center is not None
    ours = authors_input(
        sample.frame(),
        center,
        CUBE_SIZES[name],
        sample.side,
        np.random.default_rng(0),
        whole_millimetres=name == "dexycb",
        clamp_points=name == "ho3d",
    )
    np.testing.assert_array_equal(ours.rgb, stored["img_rgb"])
    np.testing.assert_allclose(ours.depth, stored["img_depth"], atol=2e-6)
    np.testing.assert_allclose(ours.crop_matrix, stored["M"], atol=1e-6)
    np.testing.assert_allclose(ours.center, stored["center"], atol=2e-4)
    np.testing.assert_array_equal(ours.cube, stored["cube"])
    np.testing.assert_array_equal(ours.intrinsics, stored["cam_para"])
    # The points are drawn at random from all of the crop's: theirs are among ours.
    middle = ours.center.astype(np.float64)
    camera = sample.intrinsics
    everything = authors_crop._points(ours.depth[0], ours.crop_matrix.astype(np.float64), camera, middle, ours.cube[0])
    if name == "ho3d":
        everything = everything.clip(-1, 1)
    for points in (stored["pcl"], ours.points):
        assert points.shape == (1024, 3)
        assert _largest_gap(points, everything) < 2e-5


def _largest_gap(points: np.ndarray, everything: np.ndarray) -> float:
    """The farthest that one of the points lies from its nearest neighbour (infinite beyond 1e-4)."""
    ordered = everything[np.argsort(everything[:, 0])]
    low, high = (np.searchsorted(ordered[:, 0], points[:, 0] + reach) for reach in (-1e-4, 1e-4))
    near = zip(points, low, high, strict=True)
    return max(np.abs(ordered[a:b] - p).max(axis=1).min(initial=np.inf) for p, a, b in near)


CAMERA = Intrinsics(600.0, 610.0, 300.0, 250.0, 640, 480)


@given(st.integers(0, 2**31))
def test_their_mirror_flips_pixels_and_undoes_itself(seed: int) -> None:
    points = np.random.default_rng(seed).uniform([-0.3, -0.3, 0.3], [0.3, 0.3, 1.0], (21, 3)).astype(np.float32)
    mirrored = mirror_points_authors(points, CAMERA)
    u, v = (np.stack([p[:, 0] / p[:, 2] * CAMERA.fx, p[:, 1]]) for p in (points, mirrored))
    np.testing.assert_allclose(v[0] + CAMERA.cx, 639 - (u[0] + CAMERA.cx), atol=1e-3)
    np.testing.assert_array_equal(v[1], u[1])
    np.testing.assert_allclose(to_real_camera(mirrored * 1000, Side.LEFT, CAMERA), points, atol=1e-6)
    np.testing.assert_allclose(to_real_camera(points * 1000, Side.RIGHT, CAMERA), points, atol=1e-6)


@pytest.mark.parametrize("center", [(0.0, 0.0, 0.6), (-0.45, 0.3, 0.6), (3.0, 0.0, 0.6), (0.0, 0.0, 0.2)])
def test_empty_and_cut_crops(center: tuple[float, float, float]) -> None:
    frame = Frame(0, "c", CAMERA, np.zeros((480, 640, 3), np.uint8), np.zeros((480, 640), np.float32))
    made = authors_input(frame, np.array(center, np.float32), 0.25, Side.RIGHT, np.random.default_rng(0))
    assert (made.depth == 1).all() and (made.points == 0).all()


@pytest.mark.parametrize("count", [1, 3, 1000])
def test_few_points_are_repeated(count: int) -> None:
    points = np.arange(3 * count, dtype=np.float32).reshape(count, 3)
    drawn = authors_crop._sample(points, np.random.default_rng(0))
    times = np.unique(drawn[:, 0], return_counts=True)[1]
    assert len(drawn) == 1024 and len(times) == count and times.max() - times.min() <= 1


def test_what_cannot_be_cropped_is_refused() -> None:
    frame = Frame(0, "c", CAMERA, None, np.zeros((480, 640), np.float32))
    with pytest.raises(ValueError, match="colour and depth"):
        authors_input(frame, np.array([0, 0, 1], np.float32), 0.25, Side.RIGHT, np.random.default_rng(0))
    frame = Frame(0, "c", CAMERA, np.zeros((480, 640, 3), np.uint8), np.zeros((480, 640), np.float32))
    with pytest.raises(ValueError, match="in front of the camera"):
        authors_input(frame, np.array([0, 0, -1], np.float32), 0.25, Side.RIGHT, np.random.default_rng(0))
