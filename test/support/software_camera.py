"""A RealSense that is none: the SDK's software device, fed with synthetic frames through the SDK's own machinery."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any

import numpy as np
import pyrealsense2 as rs

from hand_pose_ros.types import ByteArray, Intrinsics

CAMERA = Intrinsics(100.0, 100.0, 79.5, 59.5, 160, 120)
RATE = 30


def intrinsics(camera: Intrinsics, model: Any = rs.distortion.none) -> Any:
    """The SDK's form of a pinhole camera."""
    told = rs.intrinsics()
    told.width, told.height, told.fx, told.fy = camera.width, camera.height, camera.fx, camera.fy
    told.ppx, told.ppy, told.model = camera.cx, camera.cy, model
    told.coeffs = list(camera.distortion) or [0.0] * 5
    return told


class SoftwareCamera:
    """A device with a depth and a colour sensor of one size; `play` shows pictures until `stop` or `unplug`.

    Args:
        camera: of both sensors.
        serial, usb: what it says of itself.
        baseline: the depth camera's place in the colour camera's frame, along x (metres).
        model: of the colour camera's distortion.
        domain: whose clock the stamps are of.
    """

    def __init__(
        self,
        camera: Intrinsics = CAMERA,
        serial: str = "0001",
        usb: str = "3.2",
        baseline: float = 0.0,
        model: Any = rs.distortion.none,
        domain: Any = rs.timestamp_domain.global_time,
    ) -> None:
        self.camera, self.domain, self.there = camera, domain, True
        self.depth_every = 1  # depth comes with every so many colour images
        self.device = rs.software_device()
        for key, value in (("name", "Synthetic RealSense"), ("serial_number", serial), ("usb_type_descriptor", usb)):
            self.device.register_info(getattr(rs.camera_info, key), value)
        self._depth = self.device.add_sensor("Stereo Module")
        self._depth.add_read_only_option(rs.option.depth_units, 0.001)
        self._color = self.device.add_sensor("RGB Camera")
        self._profiles = {
            "depth": self._stream(self._depth, rs.stream.depth, rs.format.z16, 2, rs.distortion.none),
            "color": self._stream(self._color, rs.stream.color, rs.format.rgb8, 3, model),
        }
        between = rs.extrinsics()
        between.rotation, between.translation = [1, 0, 0, 0, 1, 0, 0, 0, 1], [baseline, 0, 0]
        self._profiles["depth"].register_extrinsics_to(self._profiles["color"], between)
        self.device.create_matcher(rs.matchers.dlr_c)
        self._kept: deque[Any] = deque(maxlen=200)  # the SDK does not copy what it is given
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def devices(self) -> list[Any]:
        """What the SDK would list."""
        return [self.device] if self.there else []

    def play(self, color: ByteArray, depth_mm: Any, period_s: float = 1.0 / RATE) -> None:
        """Show the same pictures over and over, in a thread; the clock is the system's."""
        self._thread = threading.Thread(target=self._play, args=(color, depth_mm, period_s), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Show no more."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()

    def unplug(self) -> None:
        """No more frames, and gone from the list."""
        self.there = False
        self.stop()

    def _play(self, color: ByteArray, depth_mm: Any, period_s: float) -> None:
        number = 0
        while not self._end.wait(period_s):
            number += 1
            stamp_ms = time.time() * 1e3
            for sensor, name, pixels in ((self._depth, "depth", depth_mm), (self._color, "color", color)):
                if name == "depth" and number % self.depth_every:
                    continue
                # A sensor that nobody has opened takes no frames.
                if sensor.get_active_streams():
                    self._show(sensor, name, np.ascontiguousarray(pixels), stamp_ms, number)

    def _show(self, sensor: Any, name: str, pixels: Any, stamp_ms: float, number: int) -> None:
        frame = rs.software_video_frame()
        frame.pixels, frame.timestamp, frame.frame_number, frame.domain = pixels, stamp_ms, number, self.domain
        frame.bpp = pixels.dtype.itemsize * (pixels.shape[2] if pixels.ndim == 3 else 1)
        frame.stride = frame.bpp * pixels.shape[1]
        frame.profile = self._profiles[name].as_video_stream_profile()
        if name == "depth":
            frame.depth_units = 0.001
        self._kept.append(pixels)
        sensor.on_video_frame(frame)

    def _stream(self, sensor: Any, kind: Any, form: Any, size: int, model: Any) -> Any:
        video = rs.video_stream()
        video.type, video.fmt, video.bpp, video.index, video.uid = kind, form, size, 0, int(kind)
        video.width, video.height, video.fps = self.camera.width, self.camera.height, RATE
        video.intrinsics = intrinsics(self.camera, model)
        return sensor.add_video_stream(video, True)
