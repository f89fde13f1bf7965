from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_scenes import CAMERA, Blob, toy_frame

from hand_pose_ros.geometry.camera import project
from hand_pose_ros.geometry.crop import Crop, CropBuffers, crop_hand, crop_matrix, mirror_points
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import FloatArray, Frame, Intrinsics

SIZE = 0.25
centers = st.tuples(st.floats(-0.15, 0.15), st.floats(-0.1, 0.1), st.floats(0.3, 1.0)).map(
    lambda xyz: np.array(xyz, dtype=np.float32)
)
offsets = st.tuples(*[st.floats(-0.12, 0.12)] * 3).map(lambda xyz: np.array(xyz, dtype=np.float32))


def to_crop_pixel(crop: Crop, point: FloatArray) -> np.ndarray:
    """Where a point of the crop's camera frame lies in the crop."""
    u, v = project(point, crop.intrinsics)
    return (crop.matrix @ (u, v, 1.0))[:2]


def to_point(crop: Crop, pixel: np.ndarray, z: float) -> np.ndarray:
    """The way back: crop pixel -> (mirrored) picture -> metres."""
    u, v, _ = np.linalg.inv(crop.matrix) @ (*pixel, 1.0)
    camera = crop.intrinsics
    return np.array([(u - camera.cx) / camera.fx * z, (v - camera.cy) / camera.fy * z, z])


@given(centers, offsets, st.sampled_from(Side))
@settings(max_examples=30, deadline=None)
def test_project_crop_and_back(center: FloatArray, offset: FloatArray, side: Side) -> None:
    crop = crop_hand(toy_frame(Blob(Side.RIGHT, (0, 0, 0.6))), center, SIZE, side)
    point = crop.center + offset
    pixel = to_crop_pixel(crop, point)
    np.testing.assert_allclose(to_point(crop, pixel, float(point[2])), point, atol=1e-5)
    # In the real frame it is the same place: only x may have been negated.
    np.testing.assert_allclose(np.abs(crop.to_camera(point)), np.abs(point))
    np.testing.assert_allclose(crop.to_camera(crop.center), center, atol=1e-7)


@given(centers, st.sampled_from(Side))
@settings(max_examples=30, deadline=None)
def test_the_cube_fills_the_crop(center: FloatArray, side: Side) -> None:
    crop = crop_hand(toy_frame(Blob(Side.RIGHT, (0, 0, 0.6))), center, SIZE, side)
    np.testing.assert_allclose(to_crop_pixel(crop, crop.center), (63.5, 63.5), atol=1e-3)
    corner = crop.center + np.array([SIZE / 2, SIZE / 2, 0], dtype=np.float32)
    np.testing.assert_allclose(to_crop_pixel(crop, corner), (127.5, 127.5), atol=1e-3)


def test_pixels_land_where_the_matrix_says() -> None:
    frame = toy_frame(Blob(Side.RIGHT, (0.1, 0.02, 0.6), width=0.01))
    crop = crop_hand(frame, np.array([0.12, 0.0, 0.6], dtype=np.float32), SIZE)
    rows, columns = np.nonzero(crop.depth)
    expected = to_crop_pixel(crop, np.array([0.1, 0.02, 0.6], dtype=np.float32))
    np.testing.assert_allclose((columns.mean(), rows.mean()), expected, atol=0.6)
    assert set(np.unique(crop.depth)) == {np.float32(0), np.float32(0.6)}  # nothing between was invented
    assert crop.rgb[rows, columns, 1].min() > 0


@given(centers)
@settings(max_examples=15, deadline=None)
def test_a_left_crop_is_the_right_crop_of_the_flipped_picture(center: FloatArray) -> None:
    rng = np.random.default_rng(0)
    color = np.repeat(np.repeat(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8), 10, 0), 10, 1)
    depth = np.repeat(np.repeat(rng.uniform(0.3, 1, (48, 64)).astype(np.float32), 10, 0), 10, 1)
    camera = Intrinsics(600, 610, 325.0, 236.0, 640, 480)
    flipped_camera = Intrinsics(600, 610, 639 - 325.0, 236.0, 640, 480)
    frame = Frame(0, "camera", camera, color, depth)
    flipped = Frame(0, "camera", flipped_camera, color[:, ::-1].copy(), depth[:, ::-1].copy())
    left = crop_hand(frame, center, SIZE, Side.LEFT)
    right = crop_hand(flipped, mirror_points(center), SIZE, Side.RIGHT)
    assert left.mirrored and not right.mirrored
    np.testing.assert_allclose(left.matrix, right.matrix, atol=1e-9)
    np.testing.assert_array_equal(left.center, right.center)
    # Sampling may round the other way on the borders of the 10 px patches, and nowhere else.
    assert np.mean(left.depth != right.depth) < 0.1
    assert np.mean(np.abs(left.rgb.astype(int) - right.rgb.astype(int)) > 2) < 0.1


def test_mirroring_twice_is_nothing_and_leaves_the_input_alone() -> None:
    points = np.arange(6, dtype=np.float32).reshape(2, 3)
    once = mirror_points(points)
    np.testing.assert_array_equal(once, [[0, 1, 2], [-3, 4, 5]])
    np.testing.assert_array_equal(mirror_points(once), points)
    np.testing.assert_array_equal(points, np.arange(6).reshape(2, 3))


def test_outside_the_picture_is_nothing() -> None:
    frame = toy_frame(Blob(Side.RIGHT, (0, 0, 0.6), width=3.0))
    crop = crop_hand(frame, np.array([-0.32, 0, 0.6], dtype=np.float32), SIZE)
    assert (crop.depth[:, :63] == 0).all() and (crop.depth[:, 66:] > 0).all()


@pytest.mark.parametrize("missing", ["color", "depth"])
def test_a_missing_image_is_all_zero(missing: str) -> None:
    frame = toy_frame(Blob(Side.RIGHT, (0, 0, 0.6)))
    color, depth = (None, frame.depth) if missing == "color" else (frame.color, None)
    crop = crop_hand(Frame(0, "camera", CAMERA, color, depth), np.array([0, 0, 0.6], dtype=np.float32), SIZE)
    assert crop.rgb.any() == (missing == "depth") and crop.depth.any() == (missing == "color")
    assert crop.rgb.shape == (128, 128, 3) and crop.depth.dtype == np.float32


@pytest.mark.parametrize("z", [0.0, -0.5, np.nan])
def test_a_centre_behind_the_camera_is_refused(z: float) -> None:
    with pytest.raises(ValueError, match="expected a centre in front of the camera"):
        crop_hand(toy_frame(), np.array([0, 0, z], dtype=np.float32), SIZE)


def test_the_matrix_scales_with_distance() -> None:
    near, far = (crop_matrix(CAMERA, np.array([0, 0, z], dtype=np.float32), SIZE) for z in (0.5, 1.0))
    assert far[0, 0] == pytest.approx(2 * near[0, 0]) == pytest.approx(2 * 128 * 0.5 / (SIZE * 600))


@pytest.mark.parametrize("side", list(Side))
def test_buffers_take_the_same_crop_and_are_filled_anew(side: Side) -> None:
    buffers = CropBuffers(np.full((128, 128, 3), 7, dtype=np.uint8), np.full((128, 128), 7, dtype=np.float32))
    center = np.array([0.12, 0.05, 0.6], dtype=np.float32)
    seen = toy_frame(Blob(Side.RIGHT, (0.1, 0.05, 0.6)))
    for frame in (seen, Frame(0, "camera", CAMERA, None, seen.depth), Frame(0, "camera", CAMERA, seen.color, None)):
        fresh, kept = crop_hand(frame, center, SIZE, side), crop_hand(frame, center, SIZE, side, into=buffers)
        assert kept.rgb is buffers.rgb and kept.depth is buffers.depth
        np.testing.assert_array_equal(kept.rgb, fresh.rgb)
        np.testing.assert_array_equal(kept.depth, fresh.depth)
