"""Depth of one camera in another: scenes of planes, whose distance along every ray is known exactly."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from hand_pose_ros.geometry.lens import rays
from hand_pose_ros.geometry.registration import DepthRegistration, Extrinsics, _keep_nearest
from hand_pose_ros.types import FloatArray, Intrinsics, InvalidData

# A RealSense D435: 640x480 depth of 87 degrees, and colour of 69 degrees, 15 mm beside it and a little turned.
DEPTH = Intrinsics(193.0, 193.0, 160.0, 119.0, 320, 240)
TURN = cv2.Rodrigues(np.array([0.004, -0.006, 0.003]))[0]
BESIDE = Extrinsics(TURN, np.array([0.015, 0.0003, 0.0002]))
HERE = Extrinsics(np.eye(3), np.zeros(3))
# Colour with pixels of half the width, equal ones, and larger ones.
COLORS = {
    "finer": Intrinsics(460.0, 460.0, 322.0, 181.0, 640, 360),
    "alike": Intrinsics(193.0, 193.0, 160.0, 119.0, 320, 240),
    "a little finer": Intrinsics(308.0, 308.0, 161.0, 121.0, 320, 240),
    "coarser": Intrinsics(115.0, 115.0, 80.0, 60.0, 160, 120),
    "three times as fine": Intrinsics(560.0, 560.0, 400.0, 300.0, 800, 600),
}


def cast(camera: Intrinsics, normal: np.ndarray, distance: float, extrinsics: Extrinsics = HERE) -> FloatArray:
    """z (H, W) of the plane normal . p = distance, given in the depth camera's frame, along each ray of `camera`.

    `extrinsics` lead from the depth camera's frame to that of `camera`.
    """
    turned = extrinsics.rotation @ normal
    along = distance + turned @ extrinsics.translation
    return (along / (rays(camera).astype(np.float64) @ turned)).reshape(camera.height, camera.width).astype(np.float32)


@pytest.mark.parametrize("name", COLORS)
@pytest.mark.parametrize("normal", [(0.0, 0.0, 1.0), (0.3, -0.2, 0.9), (-0.6, 0.1, 0.8)])
def test_a_plane_is_where_it_is_and_has_no_holes(name: str, normal: tuple[float, float, float]) -> None:
    color, unit = COLORS[name], np.array(normal) / np.linalg.norm(normal)
    depth, expected = cast(DEPTH, unit, 0.6), cast(color, unit, 0.6, BESIDE)
    found = DepthRegistration(DEPTH, color, BESIDE)(depth)
    inner = found[4:-4, 4:-4]
    if name != "alike":  # there the depth camera does not see the whole of the view
        assert (inner > 0).all(), "holes"
    seen = inner > 0
    assert seen.mean() > 0.9
    # A reading stands for a depth pixel: it may be off by as much as the plane falls over one.
    slope = np.abs(np.gradient(expected)).max() * max(1.0, color.fx / DEPTH.fx)
    error = np.abs(inner - expected[4:-4, 4:-4])[seen]
    assert error.max() < 1.1 * slope + 2e-4
    assert np.median(error) < 0.6 * slope + 2e-4


def test_the_same_camera_gives_the_same_image() -> None:
    depth = np.where(np.random.default_rng(3).random((240, 320)) < 0.3, 0, cast(DEPTH, np.array([0.1, 0, 0.99]), 0.5))
    np.testing.assert_allclose(DepthRegistration(DEPTH, DEPTH, HERE)(depth.astype(np.float32)), depth, atol=1e-6)


@pytest.mark.parametrize("name", COLORS)
def test_a_near_thing_hides_what_is_behind_it_and_casts_a_shadow(name: str) -> None:
    """A square before a wall: its edges stand where the colour camera sees them, nothing shines through it."""
    color, wall, near = COLORS[name], 1.2, 0.4
    depth = np.full((DEPTH.height, DEPTH.width), wall, np.float32)
    depth[80:161, 120:201] = near
    apart = Extrinsics(np.eye(3), np.array([0.03, 0.0, 0.0]))
    found = DepthRegistration(DEPTH, color, apart)(depth)
    scale = color.fx / DEPTH.fx
    left, right = (
        (u - DEPTH.cx) * scale + color.cx + color.fx * 0.03 / near for u in (120 - 0.5, 200 + 0.5)
    )  # edges of the square
    top, bottom = ((v - DEPTH.cy) * scale + color.cy for v in (80 - 0.5, 160 + 0.5))
    edge = scale / 2 + 1
    columns, rows = np.arange(color.width), np.arange(color.height)
    inside = np.ix_((rows > top + edge) & (rows < bottom - edge), (columns > left + edge) & (columns < right - edge))
    np.testing.assert_allclose(found[inside], near, atol=1e-6)
    beside = np.ix_((rows > top + edge) & (rows < bottom - edge), columns > right + edge)
    assert found[beside].size and not np.isclose(found[beside], near).any(), "the square grew"
    shadow = color.fx * 0.03 * (1 / near - 1 / wall)
    hidden = np.ix_(
        (rows > top + edge) & (rows < bottom - edge), (columns > left - shadow + edge) & (columns < left - edge)
    )
    assert found[hidden].size and not found[hidden].any(), "what the depth camera cannot see is made up"


def test_a_lens_of_the_depth_camera_is_taken_out() -> None:
    bent = Intrinsics(193.0, 193.0, 160.0, 119.0, 320, 240, (0.1, -0.05, 0.001, 0.001, 0.0), "plumb_bob")
    normal, color = np.array([0.3, -0.2, 0.9]) / np.linalg.norm([0.3, -0.2, 0.9]), COLORS["a little finer"]
    found = DepthRegistration(bent, color, BESIDE)(cast(bent, normal, 0.6))
    expected = cast(color, normal, 0.6, BESIDE)
    middle = (slice(60, 180), slice(80, 240))
    assert np.abs(found[middle] - expected[middle]).max() < 3 * np.abs(np.gradient(expected)).max()


def test_points_behind_the_colour_camera_are_left_out() -> None:
    depth = np.full((DEPTH.height, DEPTH.width), 0.2, np.float32)
    found = DepthRegistration(DEPTH, COLORS["alike"], Extrinsics(np.eye(3), np.array([0.0, 0.0, -0.3])))(depth)
    assert not found.any()


def test_another_size_is_refused() -> None:
    with pytest.raises(InvalidData, match="expected 320x240, got 4x3"):
        DepthRegistration(DEPTH, DEPTH, HERE)(np.zeros((3, 4), np.float32))


def test_the_nearest_of_many_is_kept() -> None:
    random = np.random.default_rng(5)
    pixels, z = random.integers(0, 50, 4000), random.random(4000).astype(np.float32)
    image = np.full(50, np.inf, np.float32)
    _keep_nearest(image, pixels, z)
    np.testing.assert_array_equal(image, [z[pixels == index].min() for index in range(50)])
