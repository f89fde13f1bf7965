"""`hand_pose camera`: a RealSense on the desk, without ROS; live hands in a browser or a window."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from hand_pose_ros.cli.errors import UsageError
from hand_pose_ros.cli.settings import add_option, add_settings, settings
from hand_pose_ros.config import NodeConfig
from hand_pose_ros.evaluation.report import facts
from hand_pose_ros.options import options
from hand_pose_ros.pipeline.hand_models import load_hand_models
from hand_pose_ros.pipeline.pipeline import Pipeline
from hand_pose_ros.sources.bag_writer import BagWriter
from hand_pose_ros.sources.frames import FrameMaker
from hand_pose_ros.sources.realsense import RealSense, camera_frames
from hand_pose_ros.types import ByteArray, Frame, Scene
from hand_pose_ros.visualization.panel import compose
from hand_pose_ros.visualization.web_view import WebView

_OPTIONS: Final = ("camera.serial", "camera.width", "camera.height", "camera.rate")
_WINDOW: Final = "hand_pose (q ends)"
# Shows a picture with what goes with it; False ends.
Show = Callable[[ByteArray, dict[str, Any]], bool]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    parser.add_argument(
        "--view",
        choices=("web", "window", "none"),
        default="web",
        help="web: in a browser; window: needs OpenCV with windows (default: web)",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="web: address to listen on; 0.0.0.0 lets others look (default: 127.0.0.1)"
    )
    parser.add_argument("--port", type=int, default=8080, help="web: port; 0 takes a free one (default: 8080)")
    parser.add_argument("--frames", type=int, metavar="N", help="end after so many frames (default: Ctrl-C ends)")
    parser.add_argument("--record", type=Path, metavar="BAG", help="write images and hands to this new recording")
    section = parser.add_argument_group("camera options")
    for item in options(NodeConfig):
        if item.name in _OPTIONS:
            add_option(section, item, item.name.removeprefix("camera."))
    add_settings(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    if args.frames is not None and args.frames < 1:
        raise UsageError(f"--frames: expected 1 or more, got {args.frames}")
    config = settings(args)
    camera = RealSense(config.camera)
    camera.check()  # before the models are loaded: what is wrong is said at once
    desk = _Desk(Pipeline(config.pipeline))
    with ExitStack() as stack:
        show = _view(args, stack)
        writer = None if args.record is None else stack.enter_context(BagWriter(args.record))
        frames = stack.enter_context(closing(camera_frames(camera, lambda: True, _say)))
        try:
            for raw in frames:
                frame, scene = desk.process(raw)
                if writer is not None:
                    writer.write_frame(frame)
                    writer.write_scene(scene, (frame.intrinsics.width, frame.intrinsics.height))
                if not show(compose(frame, scene, desk.faces), desk.told(scene)) or desk.frames == args.frames:
                    break
        except KeyboardInterrupt:
            pass  # the way to end it
    print(facts("Camera", desk.summary()).text())
    return 0


class _Desk:
    """The pipeline, and how it keeps up."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.frames = 0
        self.faces = {side: model.faces for side, model in load_hand_models(pipeline.config).items()}
        self._pipeline = pipeline
        self._make_frame = FrameMaker()
        self._hands = 0
        self._latency_ms: list[float] = []
        self._began = time.monotonic()

    def process(self, raw: Frame) -> tuple[Frame, Scene]:
        frame = self._make_frame(raw.stamp_ns, raw.frame_id, raw.intrinsics, raw.color, raw.depth)
        scene = self._pipeline.process(frame)
        if not self.frames:
            self._began = time.monotonic()
        self.frames += 1
        self._hands += len(scene.hands)
        self._latency_ms.append((time.time_ns() - frame.stamp_ns) * 1e-6)
        return frame, scene

    def rate(self) -> float:
        """Frames per second since the first."""
        return (self.frames - 1) / max(time.monotonic() - self._began, 1e-6)

    def told(self, scene: Scene) -> dict[str, Any]:
        """For the view."""
        hands = [
            {"side": hand.side.value, "score": float(hand.score), "wrist_m": hand.wrist.position.tolist()}
            for hand in scene.hands
        ]
        seen = ", ".join(f"{hand['side']} {hand['score']:.2f}" for hand in hands) or "no hand"
        text = f"{seen} · {self.rate():.1f} frames/s · {self._latency_ms[-1]:.0f} ms from exposure to result"
        return {"text": text, "stamp_ns": scene.stamp_ns, "hands": hands}

    def summary(self) -> dict[str, float]:
        """For the end."""
        if not self.frames:
            return {"frames": 0}
        p50, p95 = np.percentile(self._latency_ms, (50, 95)).tolist()
        return {
            "frames": self.frames,
            "hands": self._hands,
            "frames/s": self.rate(),
            "exposure to result p50 (ms)": p50,
            "exposure to result p95 (ms)": p95,
        }


def _say(text: str, good: bool) -> None:
    print(text if good else f"warning: {text}", flush=True)


def _view(args: argparse.Namespace, stack: ExitStack) -> Show:
    if args.view == "none":
        return lambda picture, told: True
    if args.view == "window":
        stack.callback(_close_window)
        return _show_window
    try:
        view = stack.enter_context(WebView(args.host, args.port))
    except (OSError, OverflowError) as error:
        raise UsageError(f"--host {args.host} --port {args.port}: {error}; --port 0 takes a free one") from error
    print(f"look at {view.url}", flush=True)

    def show(picture: ByteArray, told: dict[str, Any]) -> bool:
        view.show(picture, told)
        return True

    return show


def _show_window(picture: ByteArray, told: dict[str, Any]) -> bool:
    try:
        cv2.imshow(_WINDOW, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        return (cv2.waitKey(1) & 0xFF) not in (ord("q"), 27)
    except cv2.error as error:
        raise UsageError(
            "--view window: expected OpenCV with windows and a display, got a build without (opencv-python-headless) "
            "or no display; use --view web, or pip install opencv-python in its place"
        ) from error


def _close_window() -> None:
    try:
        cv2.destroyAllWindows()
    except cv2.error:
        return  # there was no window
