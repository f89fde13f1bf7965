"""Lenses: pixels of a grid of points that OpenCV projects through the lens, back where a pinhole camera sees them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from hand_pose_ros.geometry.camera import project
from hand_pose_ros.geometry.lens import MODELS, Rectifier, check_lens, pinhole, rays, undistort_pixels
from hand_pose_ros.types import Intrinsics, InvalidData

LENSES = {
    "plumb_bob": (0.4, -0.3, 0.001, -0.002, 0.05),
    "rational_polynomial": (0.5, -0.1, 0.0005, -0.0005, 0.02, 0.1, -0.05, 0.01),
    "equidistant": (0.05, -0.02, 0.004, -0.001),
}
SIZE = (160, 120)


def lens(model: str) -> Intrinsics:
    return Intrinsics(130.0, 128.0, 81.5, 58.5, *SIZE, LENSES[model], model)


def points() -> np.ndarray:
    """(N, 3) metres, well inside the view."""
    x, y = np.meshgrid(np.linspace(-0.2, 0.2, 9), np.linspace(-0.15, 0.15, 7))
    z = 0.6 + 0.1 * x
    return np.stack([x, y, z], axis=-1).reshape(-1, 3)


def seen_through(camera: Intrinsics, xyz: np.ndarray) -> np.ndarray:
    """Pixels (N, 2) by OpenCV's forward model."""
    given = (np.zeros(3), np.zeros(3), camera.matrix, np.array(camera.distortion))
    if camera.distortion_model == "equidistant":
        return np.asarray(cv2.fisheye.projectPoints(xyz.reshape(-1, 1, 3), *given)[0]).reshape(-1, 2)
    return np.asarray(cv2.projectPoints(xyz, *given)[0]).reshape(-1, 2)


@pytest.mark.parametrize("model", LENSES)
def test_pixels_are_put_straight(model: str) -> None:
    camera = lens(model)
    bent, straight = seen_through(camera, points()), project(points(), pinhole(camera))
    assert np.abs(bent - straight).max() > 1.0, "a lens that does nothing tests nothing"
    np.testing.assert_allclose(undistort_pixels(bent, camera), straight, atol=0.05)


@pytest.mark.parametrize("model", LENSES)
def test_every_pixel_has_the_ray_that_the_lens_sends_to_it(model: str) -> None:
    camera = lens(model)
    directions = rays(camera).reshape(SIZE[1], SIZE[0], 3)[20:100:10, 30:130:10]
    pixels = np.stack(np.meshgrid(np.arange(30, 130, 10), np.arange(20, 100, 10)), axis=-1).reshape(-1, 2)
    np.testing.assert_allclose(seen_through(camera, directions.reshape(-1, 3).astype(float)), pixels, atol=0.05)


@pytest.mark.parametrize("model", LENSES)
def test_images_are_put_straight(model: str) -> None:
    """Bright dots, and depth only there, stand where the pinhole camera sees them."""
    camera = lens(model)
    color, depth = np.zeros((SIZE[1], SIZE[0], 3), np.uint8), np.zeros((SIZE[1], SIZE[0]), np.float32)
    for u, v in seen_through(camera, points()):
        cv2.circle(color, (round(u), round(v)), 2, (255, 255, 255), -1)
        depth[round(v) - 2 : round(v) + 3, round(u) - 2 : round(u) + 3] = 0.7
    rectifier = Rectifier(camera)
    assert rectifier.camera == pinhole(camera) and not rectifier.camera.distortion
    color, depth = rectifier.color(color), rectifier.depth(depth)
    assert set(np.unique(depth).tolist()) == {0.0, np.float32(0.7).item()}, "depth is never mixed"
    for u, v in np.rint(project(points(), rectifier.camera)).astype(int):
        assert color[v, u].min() > 100 and depth[v, u] > 0


def test_no_distortion_is_passed_through() -> None:
    rectifier = Rectifier(Intrinsics(130.0, 130.0, 80.0, 60.0, *SIZE))
    color, depth = np.zeros((SIZE[1], SIZE[0], 3), np.uint8), np.zeros((SIZE[1], SIZE[0]), np.float32)
    assert rectifier.color(color) is color and rectifier.depth(depth) is depth


@pytest.mark.parametrize(
    ("model", "coefficients", "text"),
    [
        ("mei", (0.1, 0.0, 0.0, 0.0), r"'mei'.*rectify the images"),
        ("plumb_bob", (0.1, 0.0), "expected 4 or 5 coefficients of plumb_bob, got 2"),
        ("equidistant", (0.1, 0.0, 0.0, 0.0, 0.0), "expected 4 coefficients"),
        ("plumb_bob", (0.1, np.nan, 0.0, 0.0), "finite"),
    ],
)
def test_what_cannot_be_taken_out_is_refused(model: str, coefficients: tuple[float, ...], text: str) -> None:
    with pytest.raises(InvalidData, match=text):
        check_lens(Intrinsics(130.0, 130.0, 80.0, 60.0, *SIZE, coefficients, model))
    assert set(LENSES) < set(MODELS)
