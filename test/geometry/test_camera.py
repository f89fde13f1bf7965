from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hand_pose_ros.geometry.camera import back_project, crop_intrinsics, mirror_intrinsics, project, scale_intrinsics
from hand_pose_ros.types import Intrinsics

cameras = st.builds(
    Intrinsics,
    fx=st.floats(100, 2000),
    fy=st.floats(100, 2000),
    cx=st.floats(0, 640),
    cy=st.floats(0, 480),
    width=st.just(640),
    height=st.just(480),
)
points = st.tuples(st.floats(-1, 1), st.floats(-1, 1), st.floats(0.1, 3)).map(np.array)


def test_the_principal_point_looks_ahead() -> None:
    camera = Intrinsics(600, 500, 320, 240, 640, 480)
    np.testing.assert_allclose(project(np.array([0.0, 0.0, 2.0]), camera), (320, 240))
    # x right, y down: 1 m at 2 m is half of the focal length.
    np.testing.assert_allclose(project(np.array([1.0, 1.0, 2.0]), camera), (620, 490))


@given(cameras, points)
def test_back_project_undoes_project(camera: Intrinsics, point: np.ndarray) -> None:
    np.testing.assert_allclose(back_project(project(point, camera), point[2], camera), point, atol=1e-9)


def test_shapes_are_kept() -> None:
    camera = Intrinsics(600, 600, 320, 240, 640, 480)
    many = np.ones((2, 5, 3))
    assert project(many, camera).shape == (2, 5, 2)
    assert back_project(np.zeros((2, 5, 2)), np.ones((2, 5)), camera).shape == (2, 5, 3)


@given(cameras, points, st.sampled_from([(320, 240), (160, 120), (1280, 960), (200, 300)]))
def test_scaling_keeps_places_in_the_picture(camera: Intrinsics, point: np.ndarray, size: tuple[int, int]) -> None:
    small = scale_intrinsics(camera, *size)
    assert (small.width, small.height) == size
    # Relative to the picture's edges, half a pixel before the first centre, nothing moves.
    before = (project(point, camera) + 0.5) / (640, 480)
    after = (project(point, small) + 0.5) / size
    np.testing.assert_allclose(after, before, atol=1e-9)


@given(cameras, points)
def test_a_window_shifts_pixels(camera: Intrinsics, point: np.ndarray) -> None:
    window = crop_intrinsics(camera, 40, 30, 100, 80)
    np.testing.assert_allclose(project(point, window), project(point, camera) - (40, 30), atol=1e-6)
    assert (window.width, window.height) == (100, 80)


@given(cameras, points)
def test_a_mirrored_camera_sees_the_mirrored_point_in_the_flipped_picture(
    camera: Intrinsics, point: np.ndarray
) -> None:
    u, v = project(point, camera)
    np.testing.assert_allclose(project(point * [-1, 1, 1], mirror_intrinsics(camera)), (639 - u, v), atol=1e-6)
    assert mirror_intrinsics(mirror_intrinsics(camera)).cx == pytest.approx(camera.cx)
