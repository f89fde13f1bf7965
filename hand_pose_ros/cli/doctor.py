"""`hand_pose doctor`: what is installed, what runs, what the camera gives, and what to do about the rest."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import platform
import time
from collections.abc import Iterator
from importlib import metadata
from typing import Final

from hand_pose_ros import __version__
from hand_pose_ros.cli.errors import UsageError
from hand_pose_ros.cli.settings import add_settings, settings
from hand_pose_ros.config import NodeConfig
from hand_pose_ros.engines.base import EngineError, warm_up
from hand_pose_ros.engines.zoo import find_model
from hand_pose_ros.options import ConfigError
from hand_pose_ros.pipeline.pipeline import Pipeline
from hand_pose_ros.sources.realsense import SILENCE_S, RealSense
from hand_pose_ros.sources.realsense_sdk import CameraError
from hand_pose_ros.sources.survey import Finding, Level, findings

_RUNS: Final = 5
# Of the frames that a camera should give, fewer than this part are worth a warning.
_RATE: Final = 0.9
# Module -> what it would give. Only looked for, since importing some takes seconds.
_OPTIONAL: Final = {
    "tensorrt": "NVIDIA's fastest engine (comes with JetPack; else pip install tensorrt)",
    "torch": "training and export (pip install 'hand_pose_ros[train]')",
    "rosbags": "recordings and snapshots (pip install rosbags)",
    "pyrealsense2": "source:=pyrealsense2 and hand_pose camera (pip install pyrealsense2)",
    "mediapipe": "finder:=mediapipe (pip install mediapipe)",
}
# Imported, since what is installed may still not load (cv_bridge beside numpy 2).
_ROS_OPTIONAL: Final = {
    "tf2_ros": "publish.target_frame (apt install ros-$ROS_DISTRO-tf2-ros-py)",
    "vision_msgs.msg": "~/detections and boxes from outside (apt install ros-$ROS_DISTRO-vision-msgs)",
    "cv_bridge": "exotic image encodings (apt install ros-$ROS_DISTRO-cv-bridge)",
}
_ROS_NEEDED: Final = {
    "hand_pose_ros.msg": "build the workspace (colcon build --packages-select hand_pose_ros) and source "
    "install/setup.bash",
    "diagnostic_msgs.msg": "apt install ros-$ROS_DISTRO-diagnostic-msgs",
    "visualization_msgs.msg": "apt install ros-$ROS_DISTRO-visualization-msgs",
    "tf2_msgs.msg": "apt install ros-$ROS_DISTRO-tf2-msgs",
    "std_srvs.srv": "apt install ros-$ROS_DISTRO-std-srvs",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="listen to the camera for so long; 0 does not (default: 3)"
    )
    add_settings(parser, ("pipeline", "topics", "camera", "sync"))


def run(args: argparse.Namespace) -> int:
    """Print a line per finding; 1 where something will not work."""
    if args.seconds < 0:
        raise UsageError(f"--seconds: expected 0 or more, got {args.seconds:g}")
    config = settings(args)
    found = []
    for finding in _all(config, args.seconds):
        found.append(finding)
        print(line(finding), flush=True)
    problems, warnings = (sum(item.level is level for item in found) for level in (Level.PROBLEM, Level.WARNING))
    print(f"\n{problems} problem(s), {warnings} warning(s)")
    return 1 if problems else 0


def line(finding: Finding) -> str:
    """A finding for the terminal."""
    remedy = f"\n{'':19}→ {finding.remedy}" if finding.remedy else ""
    return f"{finding.level.value:<5} {finding.subject:<12} {finding.text}{remedy}"


def _all(config: NodeConfig, seconds: float) -> Iterator[Finding]:
    yield Finding(Level.OK, "version", f"hand_pose_ros {__version__}, Python {platform.python_version()}")
    yield from packages()
    yield from tensorrt(config)
    yield from models(config)
    own_camera = config.camera.source == "pyrealsense2"
    if own_camera and seconds > 0:
        yield from realsense(config, seconds)
    if importlib.util.find_spec("rclpy") is None:
        yield Finding(
            Level.WARNING, "ROS", "rclpy is not found: no camera topics", "source /opt/ros/$ROS_DISTRO/setup.bash"
        )
        return
    names = ("ROS_DISTRO", "ROS_DOMAIN_ID", "RMW_IMPLEMENTATION", "ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOCALHOST_ONLY")
    told = ", ".join(f"{name}={os.environ[name]}" for name in names if os.environ.get(name))
    yield Finding(Level.OK, "ROS", told or "no ROS variables set: domain 0, the default middleware")
    needed = list(ros_packages())
    yield from needed
    if seconds > 0 and not own_camera and all(item.level is Level.OK for item in needed):
        survey = importlib.import_module("hand_pose_ros.ros.survey")
        yield from findings(survey.survey(config.topics, seconds), config)


def realsense(config: NodeConfig, seconds: float) -> Iterator[Finding]:
    """Whether a RealSense can be read in the node's process, how it is connected, and how many frames it gives."""
    camera = RealSense(config.camera, color=config.topics.use_color, depth=config.topics.use_depth)
    try:
        with camera:
            yield Finding(Level.OK, "camera", camera.about.text())
            yield from (Finding(Level.WARNING, "camera", text) for text in camera.about.warnings())
            camera.read(SILENCE_S)
            frames, end = 0, time.monotonic() + seconds
            while time.monotonic() < end:
                camera.read(SILENCE_S)
                frames += 1
    except CameraError as error:
        yield Finding(Level.PROBLEM, "camera", str(error))
        return
    rate, wanted = frames / seconds, config.camera.rate
    text = f"{rate:.1f} frames/s of {wanted} with all streams, {camera.incomplete} framesets incomplete"
    remedy = "take another USB port or cable, or a lower camera.rate" if rate < _RATE * wanted else ""
    yield Finding(Level.WARNING if remedy else Level.OK, "camera", text, remedy)


def packages() -> Iterator[Finding]:
    """Which of the packages that are not always needed there are."""
    for module, purpose in _OPTIONAL.items():
        there = importlib.util.find_spec(module) is not None
        text = f"{module} {_version(module)}".rstrip() if there else f"no {module}; it would give {purpose}"
        yield Finding(Level.OK, "package", text)


def tensorrt(config: NodeConfig) -> Iterator[Finding]:
    """Where TensorRT is installed: whether it can run, and whether the engine of the pose model has been built."""
    if importlib.util.find_spec("tensorrt") is None:
        return
    try:
        engine = importlib.import_module("hand_pose_ros.engines.tensorrt_engine")
        built = engine.is_built(find_model(config.pipeline.model))
    except EngineError as error:
        asked = config.pipeline.engine == "tensorrt"
        yield Finding(
            Level.PROBLEM if asked else Level.WARNING,
            "TensorRT",
            str(error),
            "install what is missing, or name another engine",
        )
        return
    if built:
        yield Finding(Level.OK, "TensorRT", f"the engine of {config.pipeline.model} is built")
    else:
        text = f"the engine of {config.pipeline.model} is not built yet; engine auto passes TensorRT over until it is"
        yield Finding(Level.WARNING, "TensorRT", text, "hand_pose engine build")


def ros_packages() -> Iterator[Finding]:
    """The same of ROS packages; without some the node does not start."""
    for module, remedy in {**_ROS_NEEDED, **_ROS_OPTIONAL}.items():
        try:
            importlib.import_module(module)
        except ImportError as error:
            if module in _ROS_NEEDED:
                yield Finding(Level.PROBLEM, "package", f"{module} does not load: {error}", remedy)
            else:
                yield Finding(Level.OK, "package", f"no {module} ({error}); it would give {remedy}")
        else:
            yield Finding(Level.OK, "package", module)


def _version(module: str) -> str:
    try:
        return metadata.version(module.partition(".")[0])
    except metadata.PackageNotFoundError:
        return ""


def models(config: NodeConfig) -> Iterator[Finding]:
    """Whether the models load into the engine that is asked for, what it is, and how long a run takes."""
    try:
        pipeline = Pipeline(config.pipeline)
    except (EngineError, ConfigError, ImportError) as error:
        yield Finding(Level.PROBLEM, "models", str(error), "name another model or engine, or install what is missing")
        return
    for name, engine in pipeline.engines().items():
        start = time.perf_counter()
        for _ in range(_RUNS):
            warm_up(engine)
        each = (time.perf_counter() - start) / _RUNS * 1e3
        yield Finding(Level.OK, "model", f"{name}: {engine.description}, {each:.1f} ms a run")
    for option, needs in (("use_depth", pipeline.needs_depth), ("use_color", pipeline.needs_color)):
        if needs and not getattr(config.topics, option):
            text = f"{config.pipeline.model} sees nothing without topics.{option}"
            yield Finding(Level.PROBLEM, "images", text, "set it to true, or choose another model")
