"""Frames through the RealSense SDK itself, from its software device: pairing, alignment, intrinsics, faults."""

# ruff: noqa: E402  (after `needs`)

from __future__ import annotations

import builtins
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from needs import needs

needs("pyrealsense2", remedy="pip install pyrealsense2; apt install libusb-1.0-0")

import pyrealsense2 as rs
from software_camera import CAMERA, SoftwareCamera, intrinsics

from hand_pose_ros.config import CameraConfig
from hand_pose_ros.geometry.camera import project
from hand_pose_ros.options import replace
from hand_pose_ros.sources import realsense
from hand_pose_ros.sources.realsense import CameraAbout, RealSense, camera_frames
from hand_pose_ros.sources.realsense_optics import intrinsics_from
from hand_pose_ros.sources.realsense_sdk import CameraError, CameraMissing, connected, sdk
from hand_pose_ros.types import Intrinsics

CONFIG = CameraConfig(source="pyrealsense2", width=CAMERA.width, height=CAMERA.height)
COLOR = np.dstack([np.full((120, 160), value, np.uint8) for value in (200, 100, 50)])
WALL_MM = 1000


def scene_mm() -> Any:
    """A wall one metre away, in it the depth of a block half a metre away, columns 60 to 99."""
    depth = np.full((120, 160), WALL_MM, np.uint16)
    depth[40:80, 60:100] = 500
    return depth


@pytest.fixture
def cameras() -> Iterator[Callable[..., SoftwareCamera]]:
    made: list[SoftwareCamera] = []

    def make(**more: Any) -> SoftwareCamera:
        made.append(SoftwareCamera(**more))
        made[-1].play(COLOR, scene_mm())
        return made[-1]

    yield make
    for camera in made:
        camera.stop()


def test_frames_have_colour_depth_in_metres_stamp_and_camera(cameras: Any) -> None:
    before = time.time_ns()
    with RealSense(CONFIG, devices=cameras().devices) as camera:
        frame = camera.read(10.0)
        again = camera.read(10.0)
    assert frame.intrinsics == CAMERA and frame.frame_id == "camera_color_optical_frame"
    assert frame.color is not None and frame.depth is not None
    assert (frame.color == COLOR).all()
    assert frame.depth[10, 40] == pytest.approx(1.0) and frame.depth[60, 80] == pytest.approx(0.5)
    assert before <= frame.stamp_ns < again.stamp_ns <= time.time_ns()
    # Nothing of it is the SDK's memory, which is used again.
    assert frame.color.flags.owndata and frame.depth.flags.owndata


def test_depth_is_aligned_to_colour(cameras: Any) -> None:
    """The depth camera sits 50 mm beside: what is half a metre away moves by 100 px/rad * 0.05 / 0.5 = 10 pixels."""
    with RealSense(CONFIG, devices=cameras(baseline=0.05).devices) as camera:
        frame = camera.read(10.0)
    assert frame.depth is not None
    near = np.flatnonzero(np.abs(frame.depth[60] - 0.5) < 0.01)
    assert abs(near[0] - 70) <= 1 and abs(near[-1] - 109) <= 1
    assert camera.color_in_depth == pytest.approx((-0.05, 0.0, 0.0), abs=1e-6)


def test_a_frameset_without_depth_is_left_out(cameras: Any) -> None:
    device = cameras()
    with RealSense(CONFIG, devices=device.devices) as camera:
        camera.read(10.0)
        before, device.depth_every = camera.incomplete, 3
        stamps = [frame.stamp_ns for frame in (camera.read(10.0) for _ in range(4)) if frame.depth is not None]
    assert len(stamps) == 4 and stamps == sorted(set(stamps))
    assert camera.incomplete > before


@pytest.mark.parametrize("stream", ["color", "depth"])
def test_one_stream_alone(cameras: Any, stream: str) -> None:
    with RealSense(CONFIG, color=stream == "color", depth=stream == "depth", devices=cameras().devices) as camera:
        frame = camera.read(10.0)
    assert (frame.color is None) == (stream == "depth") and (frame.depth is None) == (stream == "color")
    assert frame.frame_id == f"camera_{stream}_optical_frame"


def test_a_hardware_clock_is_anchored_at_the_systems(cameras: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("software_camera.time.time", lambda real=time.time: real() - 1e6)
    device = cameras(domain=rs.timestamp_domain.hardware_clock)
    with RealSense(CONFIG, depth=False, devices=device.devices) as camera:
        stamps = [camera.read(10.0).stamp_ns for _ in range(3)]
    assert abs(time.time_ns() - stamps[-1]) < 5e9
    assert stamps[0] < stamps[1] < stamps[2]


def test_the_camera_of_a_serial_number_is_taken(cameras: Any) -> None:
    devices = [*cameras(serial="1").devices(), *cameras(serial="2").devices()]
    with RealSense(replace(CONFIG, {"serial": "2"}), devices=lambda: devices) as camera:
        assert camera.about.serial == "2"
    with pytest.raises(CameraMissing, match=r"expected 3 .*got 1 \(Synthetic RealSense\), 2"):
        RealSense(replace(CONFIG, {"serial": "3"}), devices=lambda: devices).__enter__()


@pytest.mark.parametrize(
    ("usb", "words"), [("3.2", "offers 160x120 at 30; set camera.width"), ("2.1", "by USB 2.1 it offers less")]
)
def test_a_profile_that_is_not_there_is_answered_by_those_that_are(cameras: Any, usb: str, words: str) -> None:
    with pytest.raises(CameraError, match=words):
        RealSense(replace(CONFIG, {"width": 1920}), devices=cameras(usb=usb).devices).__enter__()


def test_usb_2_is_warned_of() -> None:
    assert CameraAbout("D435", "1", "5.16", "3.2", "color").warnings() == ()
    (warning,) = CameraAbout("D435", "1", "5.16", "2.1", "color").warnings()
    assert "USB 2.1" in warning and "USB 3 port" in warning


def test_no_camera_says_what_to_look_at() -> None:
    with pytest.raises(CameraMissing, match=r"no RealSense camera is connected: .*lsusb.*udev"):
        RealSense(CONFIG, devices=list).__enter__()
    assert isinstance(connected(), list)  # the SDK itself is asked; a machine may have one


@pytest.mark.parametrize(
    ("text", "remedy"),
    [("No module named 'pyrealsense2'", "pip install"), ("libusb-1.0.so.0: cannot open", "apt install libusb-1.0-0")],
)
def test_a_missing_wheel_or_library_says_how_to_install_it(
    text: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def refuse(name: str, *more: Any) -> Any:
        if name == "pyrealsense2":
            raise ImportError(text)
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(CameraError, match=remedy):
        sdk()


def test_a_camera_that_is_in_use_says_so(cameras: Any) -> None:
    device = cameras()
    with RealSense(CONFIG, devices=device.devices), pytest.raises(CameraMissing, match="end the program that uses it"):
        RealSense(CONFIG, devices=device.devices).__enter__()


def test_silence_ends_the_reading(cameras: Any) -> None:
    device = cameras()
    with RealSense(CONFIG, devices=device.devices) as camera:
        camera.read(10.0)
        device.stop()
        with pytest.raises(CameraMissing, match="unplugged or hangs"):
            for _ in range(100):
                camera.read(0.2)


def test_unplugged_and_back(cameras: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(realsense, "SILENCE_S", 0.3)
    monkeypatch.setattr(realsense, "RETRY_S", 0.1)
    plugged: list[SoftwareCamera] = []
    said: list[tuple[str, bool]] = []
    camera = RealSense(CONFIG, devices=lambda: plugged[-1].devices() if plugged else [])
    threading.Timer(0.3, lambda: plugged.append(cameras(serial="first"))).start()
    frames = camera_frames(camera, lambda: True, lambda *told: said.append(told))
    first = next(frames)
    plugged[-1].unplug()
    threading.Timer(0.5, lambda: plugged.append(cameras(serial="second"))).start()
    while camera.about.serial != "second":
        last = next(frames)
    frames.close()
    assert last.stamp_ns > first.stamp_ns
    words = ("no RealSense camera is connected", "Synthetic RealSense first", "unplugged", "Synthetic RealSense second")
    assert all(word in text for word, (text, _) in zip(words, said, strict=False))
    assert [good for _, good in said] == [False, True, False, True]
    assert len(said) == 4, "an event is told once"


MODELS = (rs.distortion.brown_conrady, rs.distortion.modified_brown_conrady, rs.distortion.inverse_brown_conrady)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: str(model).rpartition(".")[2])
def test_distortion_is_plumb_bobs(model: Any) -> None:
    """A ray's pixel by our camera is the pixel whose ray the SDK gives."""
    lens = Intrinsics(610.0, 612.0, 320.5, 241.0, 640, 480, (-0.055, 0.065, -0.0008, 0.0005, -0.021))
    told = intrinsics(lens, model)
    ours = intrinsics_from(told)
    assert ours.fx == pytest.approx(lens.fx)
    if model != rs.distortion.inverse_brown_conrady:
        assert ours.distortion == pytest.approx(lens.distortion)
        return
    for pixel in ([10.0, 20.0], [320.0, 100.0], [600.0, 450.0]):
        ray = np.array(rs.rs2_deproject_pixel_to_point(told, pixel, 1.0))
        assert distorted(ray, ours) == pytest.approx(pixel, abs=0.05)


def distorted(ray: Any, camera: Intrinsics) -> Any:
    """plumb_bob, as OpenCV has it."""
    x, y, _ = ray
    k1, k2, p1, p2, k3 = camera.distortion
    s = x * x + y * y
    radial = 1 + k1 * s + k2 * s**2 + k3 * s**3
    xd = x * radial + 2 * p1 * x * y + p2 * (s + 2 * x * x)
    yd = y * radial + p1 * (s + 2 * y * y) + 2 * p2 * x * y
    return project(np.array([xd, yd, 1.0]), camera)


def test_no_distortion_is_none_and_a_fisheye_is_refused() -> None:
    assert intrinsics_from(intrinsics(CAMERA, rs.distortion.inverse_brown_conrady)).distortion == ()
    fisheye = Intrinsics(100.0, 100.0, 80.0, 60.0, 160, 120, (0.1, 0.0, 0.0, 0.0, 0.0))
    with pytest.raises(CameraError, match="got kannala_brandt4"):
        intrinsics_from(intrinsics(fisheye, rs.distortion.kannala_brandt4))


def test_it_ends_at_once_although_the_camera_is_silent(cameras: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node has two seconds to end."""
    monkeypatch.setattr(realsense, "SILENCE_S", 1e6)
    device, told = cameras(), threading.Event()
    device.stop()
    frames = camera_frames(RealSense(CONFIG, devices=device.devices), lambda: not told.is_set(), lambda *said: None)
    threading.Timer(0.3, told.set).start()
    assert list(frames) == []
