"""Sizes, lens and depth camera put right: what becomes of images on their way into a frame."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from hand_pose_ros.geometry.registration import Extrinsics
from hand_pose_ros.pipeline.outside import HandBox
from hand_pose_ros.sources.frames import DepthCamera, FrameMaker
from hand_pose_ros.types import Intrinsics, InvalidData

CAMERA = Intrinsics(60.0, 61.0, 31.5, 23.5, 64, 48)
COLOR = np.arange(48 * 64 * 3, dtype=np.uint8).reshape(48, 64, 3)
DEPTH = np.linspace(0.3, 0.9, 48 * 64, dtype=np.float32).reshape(48, 64)


def test_images_that_fit_pass_through() -> None:
    frame = FrameMaker()(7, "c", CAMERA, COLOR, DEPTH)
    assert frame.color is COLOR and frame.depth is DEPTH and frame.intrinsics == CAMERA
    assert (frame.stamp_ns, frame.frame_id) == (7, "c")


def test_intrinsics_follow_the_size_of_the_image() -> None:
    """Calibrated at 640x480, images of 64x48: pixel centres stay pixel centres."""
    full = Intrinsics(600.0, 610.0, 319.5, 239.5, 640, 480)
    frame = FrameMaker()(0, "c", full, COLOR, None)
    found = frame.intrinsics
    assert (found.fx, found.fy, found.cx, found.cy) == pytest.approx((CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy))
    with pytest.raises(InvalidData, match="expected the image's size 64x48 or its aspect ratio, got 640x360"):
        FrameMaker()(0, "c", replace(full, height=360), COLOR, None)


def test_aligned_depth_of_another_size_is_stretched_without_means() -> None:
    small = np.array([[0.3, 0.9]], dtype=np.float32).repeat(12, axis=1).repeat(18, axis=0)
    frame = FrameMaker()(0, "c", CAMERA, COLOR, small)
    assert frame.depth is not None and frame.depth.shape == (48, 64)
    assert set(np.unique(frame.depth).tolist()) == set(np.unique(small).tolist())
    with pytest.raises(InvalidData, match=r"64x48.*got 24x24.*align_depth"):
        FrameMaker()(0, "c", CAMERA, COLOR, small.repeat(2, axis=0)[:24])


def test_both_images_are_put_straight_alike() -> None:
    lens = replace(CAMERA, distortion=(0.3, 0.1, 0.0, 0.0, 0.0), distortion_model="plumb_bob")
    color, depth = np.zeros_like(COLOR), np.zeros_like(DEPTH)
    color[5:9, 5:9], depth[5:9, 5:9] = 255, 0.5
    frame = FrameMaker()(0, "c", lens, color, depth)
    assert frame.intrinsics == CAMERA and frame.color is not None and frame.depth is not None
    middles = [np.argwhere(image).mean(axis=0) for image in (frame.color[..., 0] > 127, frame.depth > 0)]
    assert np.abs(middles[0] - middles[1]).max() < 0.6
    assert np.abs(middles[1] - 6.5).max() > 1.0, "a lens that does nothing tests nothing"


def test_boxes_follow_the_image() -> None:
    """A box about a bright patch is still about it when the lens is taken out."""
    lens = replace(CAMERA, distortion=(0.3, 0.1, 0.0, 0.0, 0.0), distortion_model="plumb_bob")
    box, make = HandBox(5, 4, 8, 6, score=0.5), FrameMaker()
    assert make.straight(box) is box, "no frame yet"
    color = np.zeros_like(COLOR)
    color[4:10, 5:13] = 255
    frame = make(0, "c", lens, color, None)
    assert frame.color is not None
    patch, moved = np.argwhere(frame.color[..., 0] > 127), make.straight(box)
    middle = np.array([moved.y + moved.height / 2, moved.x + moved.width / 2]) - 0.5
    assert np.abs(middle - patch.mean(axis=0)).max() < 0.7 and moved.score == 0.5
    assert np.abs(patch.mean(axis=0) - (6.5, 8.5)).max() > 1.0, "a lens that does nothing tests nothing"
    make(0, "c", CAMERA, COLOR, None)
    assert make.straight(box) is box


def test_depth_of_a_camera_beside_is_aligned() -> None:
    """At half the size and calibrated at full size; a wall and the shift that it has."""
    beside = DepthCamera(Intrinsics(30.0, 30.5, 15.5, 11.5, 32, 24), Extrinsics(np.eye(3), np.array([0.05, 0.0, 0.0])))
    wall = np.full((48, 64), 0.6, np.float32)
    wall[:, :32] = 0.0
    make = FrameMaker()
    for _ in range(2):
        frame = make(0, "c", CAMERA, COLOR, wall, beside)
    assert frame.depth is not None
    np.testing.assert_array_equal(np.flatnonzero(frame.depth[20]), np.arange(32 + 5, 64))  # 60 * 0.05 / 0.6 pixels
    moved = replace(beside, extrinsics=Extrinsics(np.eye(3), np.array([0.1, 0.0, 0.0])))
    frame = make(0, "c", CAMERA, COLOR, wall, moved)
    assert frame.depth is not None and np.flatnonzero(frame.depth[20])[0] == 32 + 10


def test_a_camera_that_changes_is_followed() -> None:
    make = FrameMaker()
    for camera in (CAMERA, replace(CAMERA, distortion=(0.2, 0.0, 0.0, 0.0), distortion_model="equidistant"), CAMERA):
        frame = make(0, "c", camera, COLOR, None)
        assert (frame.color is COLOR) is not bool(camera.distortion)
    large = cv2.resize(COLOR, (128, 96))
    assert make(0, "c", CAMERA, large, None).intrinsics.width == 128


def test_neither_image_is_an_error() -> None:
    with pytest.raises(InvalidData, match="got neither"):
        FrameMaker()(0, "c", CAMERA, None, None)
