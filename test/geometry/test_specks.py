"""Patches of depth in front of a hand, which no surface holds, go; what may be a hand stays."""

from __future__ import annotations

import numpy as np
import pytest

from hand_pose_ros.geometry.specks import remove_specks
from hand_pose_ros.types import FloatArray

MIDDLE, REACH = 0.6, 0.125


def palm() -> FloatArray:
    depth = np.zeros((128, 128), dtype=np.float32)
    depth[30:100, 30:100] = MIDDLE
    return depth


@pytest.mark.parametrize("beside", [False, True])
def test_a_speck_goes(beside: bool) -> None:
    depth = palm()
    rows = slice(50, 54)
    columns = slice(101, 104) if beside else slice(60, 63)
    clean = depth.copy()
    depth[rows, columns] = MIDDLE - 0.06
    clean[rows, columns] = 0
    assert remove_specks(depth, MIDDLE, REACH) == 12
    np.testing.assert_array_equal(depth, clean)


@pytest.mark.parametrize(
    ("size", "depth_of_it"),
    [
        (6, MIDDLE - 0.06),  # a fingertip that points at the camera
        (3, MIDDLE + 0.06),  # behind
        (3, MIDDLE - 0.035),  # hardly before the hand
        (3, MIDDLE - 0.2),  # before the cube: no network sees it
    ],
)
def test_other_patches_stay(size: int, depth_of_it: float) -> None:
    depth = palm()
    depth[50 : 50 + size, 60 : 60 + size] = depth_of_it
    before = depth.copy()
    assert remove_specks(depth, MIDDLE, REACH) == 0
    np.testing.assert_array_equal(depth, before)


@pytest.mark.parametrize("cube", [0.15, 0.25, 0.35, 0.5])
def test_a_fingertip_stays_in_a_cube_of_any_size(cube: float) -> None:
    depth = palm()
    tip = round(0.014 / (cube / 128))
    depth[50 : 50 + tip, 60 : 60 + tip] = MIDDLE - 0.06
    before = depth.copy()
    assert remove_specks(depth, MIDDLE, cube / 2) == 0
    np.testing.assert_array_equal(depth, before)


def test_a_finger_that_comes_forward_stays() -> None:
    depth = palm()
    # 4 pixels wide, towards the camera by 5 mm each pixel: its end is small and near, but nothing parts it.
    depth[40:60, 60:64] = (MIDDLE - 0.005 * np.arange(20, dtype=np.float32))[:, None]
    before = depth.copy()
    assert remove_specks(depth, MIDDLE, REACH) == 0
    np.testing.assert_array_equal(depth, before)


@pytest.mark.parametrize("middle", [0.05, 9.0, 40.0])
def test_any_distance_is_taken(middle: float) -> None:
    depth = np.full((128, 128), middle, dtype=np.float32)
    depth[10, 10] = middle - 0.045
    # Nearer than a millimetre is nothing, farther than 8 m is not looked at.
    assert remove_specks(depth, middle, REACH) == (1 if middle < 8 else 0)
    assert (depth[64] == np.float32(middle)).all()


def test_nothing_there() -> None:
    assert remove_specks(np.zeros((128, 128), dtype=np.float32), MIDDLE, REACH) == 0
