"""A known object found in a depth image where a network sees it, and followed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from depth_pictures import box_depth

from hand_pose_ros.evaluation.two_hands_objects import Poses, mssd
from hand_pose_ros.geometry.camera import project
from hand_pose_ros.geometry.surface import box_surface
from hand_pose_ros.geometry.symmetry import Symmetry
from hand_pose_ros.hand_model.rotation import axis_angle_to_matrix
from hand_pose_ros.pipeline.object_fit import ObjectFit
from hand_pose_ros.pipeline.scene_network import SeenPlaces
from hand_pose_ros.types import DoubleArray, FloatArray, Intrinsics

CAMERA = Intrinsics(400.0, 400.0, 199.5, 149.5, 400, 300)
EXTENT = np.array([0.15, 0.1, 0.04])
SIGNS = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
ALIKE = Symmetry((((0.0, 0.0, 1.0), 2), ((1.0, 0.0, 0.0), 2))).rotations()


def _picture(turn: DoubleArray, place: DoubleArray) -> tuple[FloatArray, SeenPlaces]:
    """The box before a table, and the network's places on it: a few of its surface, and one elsewhere, less likely."""
    depth = box_depth(CAMERA, EXTENT, turn, place)
    row, column = np.nonzero(depth)
    depth[depth == 0] = 1.2
    some = np.linspace(0, len(row) - 1, 12).astype(int)[2:-2]
    pixels = np.concatenate([np.stack([column[some], row[some]], axis=1), [[5, 290]]]).astype(np.float64)
    return depth, SeenPlaces(pixels, np.array([*[0.7] * len(some), 0.2]))


def _error(found: tuple[DoubleArray, DoubleArray] | None, turn: DoubleArray, place: DoubleArray) -> float:
    assert found is not None
    pose, truth = Poses(found[0][None], found[1][None]), Poses(turn[None], place[None])
    return float(mssd(pose, truth, SIGNS * EXTENT, ALIKE)[0])


def test_it_is_found_and_followed() -> None:
    fit = ObjectFit(box_surface(EXTENT))
    for k in range(6):
        turn = axis_angle_to_matrix(np.array([0.5 + 0.05 * k, 0.6, 0.1 * k]))
        place = np.array([0.01 * k, -0.02, 0.5 + 0.01 * k])
        assert _error(fit.find(*_arguments(turn, place)), turn, place) < 0.012


def test_hands_are_not_the_object() -> None:
    """A flat hand beside the box, as a thing that would explain more of it than the box does alone."""
    turn, place = axis_angle_to_matrix(np.array([0.4, 0.5, 0.0])), np.array([0.0, 0.0, 0.5])
    depth, places = _picture(turn, place)
    joints = np.zeros((21, 3), dtype=np.float32)
    # A hand in one plane, fingers upwards, at the box's right.
    joints[:, 0] = 0.11 + 0.02 * (np.arange(21) % 5)
    joints[:, 1] = 0.08 - 0.008 * np.arange(21)
    joints[:, 2] = 0.5
    for u, v in project(joints, CAMERA).round().astype(int):
        depth[max(v - 8, 0) : v + 8, max(u - 8, 0) : u + 8] = 0.49
    assert _error(ObjectFit(box_surface(EXTENT)).find(depth, CAMERA, places, [joints]), turn, place) < 0.015


def test_what_is_not_there_is_not_found() -> None:
    turn, place = np.eye(3), np.array([0.0, 0.0, 0.5])
    depth, places = _picture(turn, place)
    fit = ObjectFit(box_surface(EXTENT))
    assert fit.find(np.zeros_like(depth), CAMERA, places, []) is None
    assert fit.find(depth, CAMERA, SeenPlaces(np.zeros((0, 2)), np.zeros(0)), []) is None
    assert fit.find(depth, CAMERA, SeenPlaces(np.full((2, 2), np.nan), np.ones(2)), []) is None
    assert fit.find(depth, CAMERA, SeenPlaces(np.full((2, 2), 1e9), np.ones(2)), []) is None
    # A thin stick where the box should be: most of the box would have been seen through.
    stick = np.full_like(depth, 1.2)
    stick[140:160, 198:202] = 0.48
    seen = SeenPlaces(np.array([[200.0, 145.0], [200.0, 155.0]]), np.ones(2))
    assert fit.find(stick, CAMERA, seen, []) is None


def test_in_vain_it_is_not_searched_thoroughly_in_every_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    turn, place = axis_angle_to_matrix(np.array([0.4, 0.5, 0.0])), np.array([0.0, 0.0, 0.5])
    fit, tried = ObjectFit(box_surface(EXTENT)), []
    first = ObjectFit._first

    def counted(own: ObjectFit, *given: Any) -> Any:
        tried.append(given[-1])
        return first(own, *given)

    monkeypatch.setattr(ObjectFit, "_first", counted)
    stick = np.full((300, 400), 1.2, dtype=np.float32)
    stick[140:160, 198:202] = 0.48
    for _ in range(8):
        assert fit.find(stick, CAMERA, SeenPlaces(np.array([[200.0, 150.0]]), np.ones(1)), []) is None
    assert [count == max(tried) for count in tried] == [True, *[False] * 5, True, False]
    for _ in range(12):  # there it is found again
        found = fit.find(*_arguments(turn, place))
    assert _error(found, turn, place) < 0.012


def test_the_same_frames_give_the_same_poses() -> None:
    turn, place = axis_angle_to_matrix(np.array([0.4, 0.5, 0.0])), np.array([0.0, 0.0, 0.5])
    first, second = ObjectFit(box_surface(EXTENT)), ObjectFit(box_surface(EXTENT))
    for _ in range(3):
        one, two = (fit.find(*_arguments(turn, place)) for fit in (first, second))
        assert one is not None and two is not None
        np.testing.assert_array_equal(one[1], two[1])


def _arguments(turn: DoubleArray, place: DoubleArray) -> tuple[FloatArray, Intrinsics, SeenPlaces, list[FloatArray]]:
    depth, places = _picture(turn, place)
    return depth, CAMERA, places, []
