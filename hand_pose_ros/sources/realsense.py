"""A RealSense read in this process by pyrealsense2: no ROS, and no image goes over DDS.

The SDK pairs colour and depth (its syncer) and aligns depth to colour, as realsense-ros does with `align_depth.enable`
and `enable_sync`. The sensors are driven directly rather than through `rs.pipeline`, so that the SDK's software device
takes the same way as a camera of metal: tests play synthetic frames through all of it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from types import ModuleType, TracebackType
from typing import Any, Final

import numpy as np

from hand_pose_ros.config import CameraConfig
from hand_pose_ros.sources.realsense_optics import intrinsics_from
from hand_pose_ros.sources.realsense_sdk import MISSING, USB3, CameraError, CameraMissing, connected, info, sdk
from hand_pose_ros.types import Frame, Intrinsics

COLOR: Final = "color"
DEPTH: Final = "depth"
# No frame for so long (s): the camera is gone, or hangs.
SILENCE_S: Final = 2.0
# Between two looks for a camera that is not there (s).
RETRY_S: Final = 1.0
# Between two looks at whether to go on (s).
_PATIENCE_S: Final = 0.1
# Framesets that wait in the SDK; the newest is taken.
_QUEUE: Final = 2
# A hardware clock's stamps that come out this far from now (s) are anchored anew.
_ADRIFT_S: Final = 0.5


@dataclass(frozen=True)
class CameraAbout:
    """What is known of an open camera; `usb` is the connection's version ("3.2"), "" where it is not told."""

    name: str
    serial: str
    firmware: str
    usb: str
    streams: str

    def text(self) -> str:
        """One line."""
        usb = f", USB {self.usb}" if self.usb else ""
        firmware = f", firmware {self.firmware}" if self.firmware else ""
        return f"{self.name} {self.serial}{usb}{firmware}: {self.streams}"

    def warnings(self) -> tuple[str, ...]:
        """What will work, but not well."""
        if not self.usb.startswith(("1", "2")):
            return ()
        return (f"the camera {self.serial} is connected by USB {self.usb}, where frames are late or lost: {USB3}",)


class RealSense:
    """An open camera; a context manager.

    Args:
        config: which camera, image size and rate.
        color, depth: which streams; with both, depth is aligned to colour.
        devices: lists the devices there are.

    Raises:
        CameraMissing: on entering: there is no such camera.
        CameraError: on entering: it has no such profile, is in use, or the SDK is not installed.
    """

    def __init__(
        self,
        config: CameraConfig,
        *,
        color: bool = True,
        depth: bool = True,
        devices: Callable[[], list[Any]] | None = None,
    ) -> None:
        if not (color or depth):
            raise CameraError("camera: expected colour, depth or both to be read, got neither")
        self.config = config
        self.streams = (COLOR,) * color + (DEPTH,) * depth
        self.incomplete = 0
        self._devices = devices or connected
        self._sensors: list[Any] = []
        self._anchor_ns: int | None = None

    def check(self) -> None:
        """Whether it could be opened; it is not.

        Raises:
            CameraMissing, CameraError: as on entering.
        """
        self._find()

    def __enter__(self) -> RealSense:
        rs = sdk()
        device, profiles, self.intrinsics = self._find()
        usb = info(device, "usb_type_descriptor")
        self.frame_id = f"{self.config.name}_{self.streams[0]}_optical_frame"  # realsense-ros' names
        self.about = CameraAbout(
            info(device, "name"), info(device, "serial_number"), info(device, "firmware_version"), usb, self._told()
        )
        self.color_in_depth = _translation(profiles)
        self._align = rs.align(rs.stream.color) if len(self.streams) > 1 else None
        self._device = device  # its sensors live no longer than it
        self._open(rs, device, profiles)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def read(self, timeout_s: float) -> Frame:
        """The newest frame with all streams; older ones that wait are left out.

        Raises:
            CameraMissing: none came in time.
        """
        end = time.monotonic() + timeout_s
        while (left := end - time.monotonic()) > 0:
            frame = self.poll(left)
            if frame is not None:
                return frame
        raise self.silence(timeout_s)

    def poll(self, timeout_s: float) -> Frame | None:
        """The newest frame with all streams, or None where none came in time (or only a part of one)."""
        frameset = self._newest(timeout_s)
        return None if frameset is None else self._frame(frameset)

    def silence(self, timeout_s: float) -> CameraMissing:
        """The error of a camera that gave nothing for so long."""
        return CameraMissing(
            f"camera {self.about.serial}: expected a frame within {timeout_s:g} s, got none; it was unplugged "
            f"or hangs: {USB3}"
        )

    def _find(self) -> tuple[Any, dict[str, tuple[Any, Any]], Intrinsics]:
        """The device, of each stream the sensor and its profile, and the images' camera."""
        device = _chosen(self._devices(), self.config.serial)
        usb = info(device, "usb_type_descriptor")
        profiles = {name: _profile(device, self.config, name, usb) for name in self.streams}
        main = profiles[self.streams[0]][1].as_video_stream_profile()
        return device, profiles, intrinsics_from(main.get_intrinsics())

    def _open(self, rs: ModuleType, device: Any, profiles: dict[str, tuple[Any, Any]]) -> None:
        self._syncer = rs.syncer(_QUEUE)
        by_sensor: dict[str, tuple[Any, list[Any]]] = {}
        for sensor, profile in profiles.values():  # a D405 has colour and depth from one sensor
            by_sensor.setdefault(info(sensor, "name"), (sensor, []))[1].append(profile)
        try:
            for sensor, chosen in by_sensor.values():
                sensor.open(chosen)
                self._sensors.append(sensor)
                sensor.start(self._syncer)
        except RuntimeError as error:
            self._close()
            raise CameraMissing(
                f"camera {info(device, 'serial_number')} cannot be opened ({error}): end the program that uses it "
                f"(realsense2_camera, realsense-viewer), or {USB3}"
            ) from error

    def _close(self) -> None:
        for sensor in self._sensors:
            for end in (sensor.stop, sensor.close):
                # A camera that was pulled out cannot be told to stop.
                with contextlib.suppress(RuntimeError):
                    end()
        self._sensors.clear()

    def _newest(self, timeout_s: float) -> Any | None:
        """The newest complete frameset, or None where only parts came."""
        try:
            found = self._syncer.wait_for_frames(max(1, round(timeout_s * 1e3)))
        except RuntimeError:  # nothing came in time; the caller looks at the clock
            return None
        newest = None
        while found:
            if found.size() == len(self.streams):
                newest = found
            else:
                self.incomplete += 1
            found = self._syncer.poll_for_frames()
        return newest

    def _frame(self, frameset: Any) -> Frame:
        try:
            if self._align is not None:
                frameset = self._align.process(frameset)
        except RuntimeError as error:
            raise CameraMissing(f"camera {self.about.serial}: depth cannot be aligned ({error})") from error
        color = frameset.get_color_frame() if COLOR in self.streams else None
        depth = frameset.get_depth_frame() if DEPTH in self.streams else None
        stamp_ns = self._stamp_ns(color or depth)
        # Copies, since the SDK has few buffers and a frame that is kept holds one.
        image = None if color is None else np.array(color.get_data(), dtype=np.uint8)
        metres = None
        if depth is not None:
            metres = np.multiply(np.asanyarray(depth.get_data()), np.float32(depth.get_units()), dtype=np.float32)
        return Frame(stamp_ns, self.frame_id, self.intrinsics, image, metres)

    def _stamp_ns(self, image: Any) -> int:
        """The exposure by the system's clock; a camera that only tells its own clock is anchored at its first frame."""
        stamp_ns = int(image.get_timestamp() * 1e6)
        if image.get_frame_timestamp_domain() != sdk().timestamp_domain.hardware_clock:
            return stamp_ns
        now = time.time_ns()
        if self._anchor_ns is None or abs(stamp_ns + self._anchor_ns - now) > _ADRIFT_S * 1e9:
            self._anchor_ns = now - stamp_ns
        return stamp_ns + self._anchor_ns

    def _told(self) -> str:
        camera = self.config
        return f"{' and '.join(self.streams)}, {camera.width}x{camera.height} at {camera.rate} Hz"


def camera_frames(
    camera: RealSense, running: Callable[[], bool], say: Callable[[str, bool], None]
) -> Generator[Frame, None, None]:
    """Frames for as long as `running()`; a camera that is not there, or cannot be used (any more), is waited for.

    `say(text, good)` is told once that it is there, and once why it is not. Call `camera.check()` before, for what
    waiting does not mend.
    """
    missing = ""
    while running():
        try:
            with camera:
                say(camera.about.text(), True)
                for warning in camera.about.warnings():
                    say(warning, True)
                missing = ""
                heard = time.monotonic()
                while running():
                    frame = camera.poll(_PATIENCE_S)
                    if frame is not None:
                        yield frame
                        heard = time.monotonic()
                    elif time.monotonic() - heard > SILENCE_S:
                        raise camera.silence(SILENCE_S)
        except CameraError as error:
            if not missing:
                say(f"{error}; waiting for the camera", False)
            missing = str(error)
            end = time.monotonic() + RETRY_S
            while running() and time.monotonic() < end:
                time.sleep(0.05)


def _chosen(devices: list[Any], serial: str) -> Any:
    if not devices:
        raise CameraMissing(f"no RealSense camera is connected: {MISSING}")
    for device in devices:
        if serial in ("", info(device, "serial_number")):
            return device
    found = ", ".join(f"{info(device, 'serial_number')} ({info(device, 'name')})" for device in devices)
    raise CameraMissing(f"camera.serial: expected {serial} to be connected, got {found}; name one of these")


def _profile(device: Any, config: CameraConfig, stream: str, usb: str) -> tuple[Any, Any]:
    """The sensor and its profile of this stream, in the size and rate asked for."""
    rs = sdk()
    kind, form = (rs.stream.color, rs.format.rgb8) if stream == COLOR else (rs.stream.depth, rs.format.z16)
    offered = set()
    for sensor in device.query_sensors():
        for profile in sensor.get_stream_profiles():
            if profile.stream_type() != kind or profile.format() != form or not profile.is_video_stream_profile():
                continue
            video = profile.as_video_stream_profile()
            mode = (video.width(), video.height(), video.fps())
            if mode == (config.width, config.height, config.rate):
                return sensor, profile
            offered.add(mode)
    modes = ", ".join(f"{width}x{height} at {rate}" for width, height, rate in sorted(offered)) or "none"
    slow = f"; by USB {usb} it offers less than by USB 3: {USB3}" if usb.startswith(("1", "2")) else ""
    raise CameraError(
        f"camera: expected {stream} of {config.width}x{config.height} at {config.rate} Hz, the {info(device, 'name')} "
        f"offers {modes}; set camera.width, camera.height and camera.rate to one of these{slow}"
    )


def _translation(profiles: dict[str, tuple[Any, Any]]) -> tuple[float, float, float]:
    """The colour camera's place in the depth camera's optical frame (metres); their turn is below half a degree."""
    if len(profiles) < 2:
        return 0.0, 0.0, 0.0
    told = profiles[COLOR][1].get_extrinsics_to(profiles[DEPTH][1])
    x, y, z = (float(value) for value in told.translation)
    return x, y, z
