from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hand_pose_ros.geometry.scene_crop import MIN_SIDE, Window, window_around

windows = st.builds(Window, st.floats(-50, 700), st.floats(-50, 500), st.floats(20, 900))


@given(windows, st.sampled_from([64, 128, 256]))
def test_the_way_back_undoes_the_way_there(window: Window, size: int) -> None:
    image = np.array([[0.0, 0.0], [319.5, 239.5], [640.0, 13.0]])
    there = image @ window.matrix(size)[:2, :2].T + window.matrix(size)[:2, 2]
    np.testing.assert_allclose(window.to_image(there, size), image, atol=1e-8)


def test_outer_edges_of_the_pixels_lie_on_each_other() -> None:
    window = Window(100.0, 50.0, 64.0)
    edges = window.to_image(np.array([[-0.5, -0.5], [255.5, 255.5]]), 256)
    np.testing.assert_allclose(edges, [[68.0, 18.0], [132.0, 82.0]])


def test_a_window_of_the_crops_size_copies_pixels() -> None:
    image = np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    out = np.full((32, 32, 3), 7, dtype=np.uint8)
    # Pixels 10..41 and 20..51: the middle lies between 25 and 26, and 35 and 36.
    Window(25.5, 35.5, 32.0).cut(image, out)
    np.testing.assert_array_equal(out, image[20:52, 10:42])


def test_outside_the_image_is_black() -> None:
    image = np.full((40, 40, 3), 200, dtype=np.uint8)
    out = np.full((16, 16, 3), 7, dtype=np.uint8)
    Window(0.5 - 1, 19.5, 16.0).cut(image, out)
    assert (out[:, :8] == 0).all() and (out[:, 8:] == 200).all()


def test_a_window_holds_its_points_with_a_margin() -> None:
    window = window_around(np.array([[10.0, 20.0], [50.0, 30.0]]))
    assert window == Window(30.0, 25.0, 50.0)
    assert window_around(np.array([[10.0, 20.0]])).side == MIN_SIDE
    assert window.share_inside(np.array([[10.0, 20.0], [5.0, 0.0], [4.0, 0.0], [55.0, 50.0]])) == 0.75


@pytest.mark.parametrize("pixels", [np.zeros((0, 2)), np.array([[np.nan, 1.0]])])
def test_no_window_of_nothing(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected finite pixels"):
        window_around(pixels)
