"""Depth of one camera aligned to colour of another: our way beside RealSense's own, on the same synthetic images.

    python -m benchmarks.depth_alignment [--repeat 30] [--json out/depth_alignment.json]

Needs pyrealsense2 (no camera: frames go through the SDK's software device). The scene is a hand-sized box before a
slanted wall, seen by a D435's depth camera; true depth along every ray of the colour camera is known. Both run on one
thread, and CPU time is counted. "Wrong" are pixels more than 10 mm off the truth, of those that have a reading; "holes"
are pixels without one that the depth camera sees.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
import pyrealsense2 as rs

from hand_pose_ros.evaluation.report import Report, Table
from hand_pose_ros.geometry.lens import rays
from hand_pose_ros.geometry.registration import DepthRegistration, Extrinsics
from hand_pose_ros.types import DoubleArray, FloatArray, Intrinsics

# Nominal D435: depth of 87 degrees at 640x480 and 848x480, colour of 69 degrees.
DEPTH_VGA: Final = Intrinsics(385.0, 385.0, 319.5, 239.5, 640, 480)
DEPTH_WIDE: Final = Intrinsics(425.0, 425.0, 423.5, 239.5, 848, 480)
CASES: Final = {
    "640x480 to 640x480": (DEPTH_VGA, Intrinsics(615.0, 615.0, 319.5, 239.5, 640, 480)),
    "848x480 to 1280x720": (DEPTH_WIDE, Intrinsics(920.0, 920.0, 639.5, 359.5, 1280, 720)),
    "848x480 to 1920x1080": (DEPTH_WIDE, Intrinsics(1380.0, 1380.0, 959.5, 539.5, 1920, 1080)),
}
BESIDE: Final = Extrinsics(np.eye(3), np.array([0.015, 0.0, 0.0]))
WALL: Final = (np.array([0.2, -0.1, 0.97]), 1.0)
BOX: Final = ((-0.06, 0.06), (-0.09, 0.09), 0.5)  # x, y and z (m) of a face in the depth camera's frame
WRONG_M: Final = 0.01


@dataclass(frozen=True)
class Result:
    """One way on one case."""

    way: str
    case: str
    milliseconds: float
    wrong: float
    holes: float


def cast(camera: Intrinsics, origin: DoubleArray) -> FloatArray:
    """True z (H, W) from `origin`, along rays that are those of the depth camera's frame."""
    along = rays(camera).astype(np.float64)
    normal, distance = WALL
    z = (distance - normal @ origin) / (along @ normal)
    (left, right), (top, bottom), face = BOX
    near = face - origin[2]
    x, y = along[:, 0] * near + origin[0], along[:, 1] * near + origin[1]
    z = np.where((x > left) & (x < right) & (y > top) & (y < bottom), near, z)
    return z.reshape(camera.height, camera.width).astype(np.float32)


class Sdk:
    """librealsense's align block, fed with one frame set."""

    def __init__(self, depth_camera: Intrinsics, color_camera: Intrinsics, depth_mm: Any) -> None:
        self._device = rs.software_device()
        self._syncer = rs.syncer()
        black = np.zeros((color_camera.height, color_camera.width, 3), np.uint8)
        self._pixels = (depth_mm, black)  # the SDK does not copy what it is given
        streams = (
            ("Stereo Module", rs.stream.depth, rs.format.z16, 2, depth_camera),
            ("RGB Camera", rs.stream.color, rs.format.rgb8, 3, color_camera),
        )
        sensors, profiles = [], []
        for name, kind, form, size, camera in streams:
            sensors.append(self._device.add_sensor(name))
            profiles.append(sensors[-1].add_video_stream(_video_stream(kind, form, size, camera), True))
        sensors[0].add_read_only_option(rs.option.depth_units, 0.001)
        between = rs.extrinsics()
        between.rotation, between.translation = BESIDE.rotation.T.ravel().tolist(), BESIDE.translation.tolist()
        profiles[0].register_extrinsics_to(profiles[1], between)
        self._device.create_matcher(rs.matchers.dlr_c)
        for sensor, profile in zip(sensors, profiles, strict=True):
            sensor.open(profile)
            sensor.start(self._syncer)
        self._sensors, self._profiles = sensors, profiles
        self._align = rs.align(rs.stream.color)
        self._set = self._frames()

    def __call__(self) -> FloatArray:
        """Aligned depth (H, W) in metres."""
        aligned = self._align.process(self._set).get_depth_frame()
        return np.asanyarray(aligned.get_data()).astype(np.float32) * np.float32(0.001)

    def close(self) -> None:
        """End the sensors."""
        for sensor in self._sensors:
            sensor.stop()
            sensor.close()

    def _frames(self) -> Any:
        for number in range(1, 20):
            for sensor, profile, pixels in zip(self._sensors, self._profiles, self._pixels, strict=True):
                frame = rs.software_video_frame()
                frame.pixels, frame.timestamp, frame.frame_number = pixels, 33.0 * number, number
                frame.domain = rs.timestamp_domain.hardware_clock
                frame.bpp = pixels.dtype.itemsize * (pixels.shape[2] if pixels.ndim == 3 else 1)
                frame.stride = frame.bpp * pixels.shape[1]
                frame.profile = profile.as_video_stream_profile()
                if pixels.ndim == 2:
                    frame.depth_units = 0.001
                sensor.on_video_frame(frame)
            found, frames = self._syncer.try_wait_for_frames(200)
            if found and frames.size() == 2:
                frames.keep()
                return frames
        raise RuntimeError("expected the SDK to put depth and colour together, got single frames")


def _video_stream(kind: Any, form: Any, size: int, camera: Intrinsics) -> Any:
    told = rs.intrinsics()
    told.width, told.height, told.fx, told.fy = camera.width, camera.height, camera.fx, camera.fy
    told.ppx, told.ppy, told.model, told.coeffs = camera.cx, camera.cy, rs.distortion.none, [0.0] * 5
    video = rs.video_stream()
    video.type, video.fmt, video.bpp, video.index, video.uid = kind, form, size, 0, int(kind)
    video.width, video.height, video.fps, video.intrinsics = camera.width, camera.height, 30, told
    return video


def judge(found: FloatArray, truth: FloatArray, seen: Any) -> tuple[float, float]:
    """Parts of the pixels that are wrong, of those with a reading, and holes, of those that the depth camera sees."""
    has = found > 0
    wrong = np.abs(found - truth)[has] > WRONG_M
    return float(wrong.mean()), float((~has)[seen].mean())


def visible(depth_camera: Intrinsics, color_camera: Intrinsics, truth: FloatArray) -> Any:
    """Pixels (H, W) of the colour camera whose point the depth camera sees, by the points themselves."""
    points = rays(color_camera).astype(np.float64) * truth.reshape(-1, 1) - BESIDE.translation
    u = np.rint(points[:, 0] / points[:, 2] * depth_camera.fx + depth_camera.cx).astype(np.int64)
    v = np.rint(points[:, 1] / points[:, 2] * depth_camera.fy + depth_camera.cy).astype(np.int64)
    inside = (u >= 0) & (u < depth_camera.width) & (v >= 0) & (v < depth_camera.height)
    seen = cast(depth_camera, np.zeros(3))
    same = np.abs(seen[v.clip(0, depth_camera.height - 1), u.clip(0, depth_camera.width - 1)] - points[:, 2]) < WRONG_M
    return (inside & same).reshape(truth.shape)


def measure(case: str, repeat: int) -> list[Result]:
    """Both ways on one case; the least of `repeat` runs."""
    depth_camera, color_camera = CASES[case]
    depth_mm = np.rint(cast(depth_camera, np.zeros(3)) * 1000).astype(np.uint16)
    depth = depth_mm * np.float32(0.001)
    # The colour camera stands where p_color = 0, at -translation in the depth camera's frame.
    truth = cast(color_camera, -BESIDE.translation)
    seen = visible(depth_camera, color_camera, truth)
    registration = DepthRegistration(depth_camera, color_camera, BESIDE)
    sdk = Sdk(depth_camera, color_camera, depth_mm)
    results = []
    for way, run in (("ours", lambda: registration(depth)), ("librealsense", sdk)):
        times = []
        for _ in range(repeat):
            start = time.process_time()
            found = run()
            times.append((time.process_time() - start) * 1e3)
        results.append(Result(way, case, min(times), *judge(found, truth, seen)))
    sdk.close()
    return results


def report(results: list[Result]) -> Report:
    """A row per case and way, and the ratio of the times."""
    peers = {item.case: item.milliseconds for item in results if item.way == "librealsense"}
    columns = ("images", "way", "CPU ms", "times as fast as the SDK", "wrong (%)", "holes (%)")
    rows = tuple(
        (r.case, r.way, r.milliseconds, peers[r.case] / r.milliseconds, 100 * r.wrong, 100 * r.holes) for r in results
    )
    return Report("Depth alignment", (Table("Depth aligned to colour, one thread", columns, rows, 2),))


def main(argv: list[str] | None = None) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=30)
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args(argv)
    cv2.setNumThreads(1)
    result = report([item for case in CASES for item in measure(case, arguments.repeat)])
    print(result.text())
    result.write_json(arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
