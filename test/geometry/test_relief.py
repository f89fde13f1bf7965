"""Depth as networks of two hands read it."""

from __future__ import annotations

import numpy as np
import pytest

from hand_pose_ros.geometry.relief import RELIEF_MAPS, relief
from hand_pose_ros.geometry.scene_crop import SceneCutter, Window
from hand_pose_ros.types import FloatArray

SIDE = 40


def of(depth: FloatArray, behind: float = 0.0) -> FloatArray:
    out = np.full((RELIEF_MAPS, *depth.shape), 7.0, dtype=np.float32)
    relief(depth, out, behind)
    return out


def scene(hand: float = 0.5, wall: float = 0.8) -> FloatArray:
    depth = np.full((SIDE, SIDE), wall, dtype=np.float32)
    depth[10:30, 10:30] = hand
    depth[:, :3] = 0.0
    return depth


def test_depths_start_at_what_is_near_in_the_middle() -> None:
    shown, there = of(scene())
    assert shown[20, 20] == pytest.approx(-0.1 / 0.15, abs=1e-5)
    assert shown[20, 35] == pytest.approx(0.2 / 0.15, abs=1e-5)
    assert (there[:, :3] == 0).all() and (shown[:, :3] == 0).all() and (there[:, 3:] == 1).all()


@pytest.mark.parametrize("distance", [0.3, 0.9, 2.5])
def test_it_is_the_same_at_any_distance(distance: float) -> None:
    np.testing.assert_allclose(of(scene(distance, distance + 0.3)), of(scene()), atol=1e-4)


def test_far_things_are_cut_off() -> None:
    shown, _ = of(scene(0.5, 3.0))
    assert shown.max() == 2.0
    # One flying pixel is not what is near.
    stray = scene()
    stray[20, 20] = 0.2
    np.testing.assert_allclose(of(stray)[0, 12, 12], of(scene())[0, 12, 12], atol=1e-5)
    assert of(stray)[0, 20, 20] == -2.0


def test_training_may_start_elsewhere() -> None:
    np.testing.assert_allclose(of(scene(), 0.03)[0, 20, 20], of(scene())[0, 20, 20] - 0.2, atol=1e-5)


def test_without_readings_in_the_middle_there_is_no_relief() -> None:
    depth = np.zeros((SIDE, SIDE), dtype=np.float32)
    depth[0] = 1.0
    assert not of(depth).any()


def test_a_cutter_cuts_colour_and_depth_of_one_window() -> None:
    rng = np.random.default_rng(0)
    color = rng.integers(0, 255, (90, 120, 3), dtype=np.uint8)
    depth = rng.uniform(0.5, 0.6, (90, 120)).astype(np.float32)
    cutter, window = SceneCutter(32, ("rgb", "relief")), Window(25.5, 35.5, 32.0)
    given = cutter.cut(window, color, depth)
    np.testing.assert_array_equal(given["rgb"][0], color[20:52, 10:42])
    np.testing.assert_array_equal(given["relief"][0], of(depth[20:52, 10:42]))
    assert given["relief"].any() and not cutter.cut(window, color)["relief"].any(), "nothing is left of the last cut"
    assert set(given) == {"rgb", "relief"} and set(SceneCutter(32).cut(window, color, depth)) == {"rgb"}


def test_how_large_things_are_is_told_with_it() -> None:
    depth = np.full((90, 120), 0.5, dtype=np.float32)
    color = np.zeros((90, 120, 3), dtype=np.uint8)
    cutter, window = SceneCutter(32, ("rgb", "relief", "view")), Window(25.5, 35.5, 40.0)
    given = cutter.cut(window, color, depth, focal=100.0)
    # 0.1 m behind what is nearest.
    np.testing.assert_allclose(given["view"], [[2.5, 0.6]], rtol=1e-6)
    assert not cutter.cut(window, color, None, focal=100.0)["view"].any()
    assert not cutter.cut(window, color, np.zeros_like(depth), focal=100.0)["view"].any()
