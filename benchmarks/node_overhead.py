"""What the live node costs beside the network: CPU time per frame, with a pipeline that answers at once.

    python -m benchmarks.node_overhead [--seconds 6] [--json out/node_overhead.json]

Needs rclpy (scripts/setup_ros_light.py). A second process is the camera (640x480 rgb8 and 16UC1 over real DDS) and the
listener; it sends the next frame when the answer has come, at most 30 a second, so that a busy machine loses none. CPU
time is that of the whole node's process, all its threads, per result. The peer is a bare rclpy node that receives the
same two images and answers each frame with an empty HandArray.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
# As README tells users of Fast DDS: shared memory that holds an image.
os.environ.setdefault(
    "FASTRTPS_DEFAULT_PROFILES_FILE", str(Path(__file__).resolve().parents[1] / "config" / "fastdds_large_images.xml")
)

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import MarkerArray

from hand_pose_ros.config import PipelineConfig, TopicConfig
from hand_pose_ros.evaluation.report import Report, Table
from hand_pose_ros.geometry.wrist import wrist_pose
from hand_pose_ros.hand_model.model import HandModel
from hand_pose_ros.msg import HandArray, HandMeshArray
from hand_pose_ros.ros import node as node_module
from hand_pose_ros.ros.inputs import RELIABLE
from hand_pose_ros.ros.message_classes import make
from hand_pose_ros.skeleton import Side
from hand_pose_ros.sources import image_messages, scene_messages
from hand_pose_ros.types import BoundingBox, Frame, HandEstimate, Intrinsics, Scene, TrackingState

CAMERA = Intrinsics(600.0, 600.0, 319.5, 239.5, 640, 480)
RATE = 30.0
WARM_UP_S = 2.0
LOST_S = 0.5  # a frame not answered by then is lost
TOPICS = TopicConfig()
LISTENERS = {
    "meshes": HandMeshArray,
    "markers": MarkerArray,
    "mesh_markers": MarkerArray,
    "overlay": Image,
}


@dataclass(frozen=True)
class Case:
    """A situation of the node: which of its topics somebody listens to."""

    name: str
    listened: tuple[str, ...] = ()


CASES = (
    Case("robot: hands, meshes, TF", ("meshes",)),
    Case("and skeleton markers", ("meshes", "markers")),
    Case("and overlay", ("meshes", "markers", "overlay")),
    Case("and mesh markers (RViz)", ("meshes", "markers", "overlay", "mesh_markers")),
)


@dataclass(frozen=True)
class Cost:
    """CPU milliseconds of the process per result, and milliseconds from arrival to publishing (None for the peer)."""

    name: str
    cpu_ms: float
    results: int
    processing_p50_ms: float = float("nan")
    processing_p95_ms: float = float("nan")


class InstantPipeline:
    """A pipeline whose networks take no time: every frame has the same right hand with a mesh."""

    needs_depth = True
    needs_color = False
    inside = None

    def __init__(self, config: PipelineConfig) -> None:
        shape = HandModel.bundled(Side.RIGHT).forward(
            *(np.zeros(size, dtype=np.float32) for size in (3, 45, 10)), np.array([0, 0, 0.5], dtype=np.float32)
        )
        self._hand = HandEstimate(
            side=Side.RIGHT,
            joints=shape.joints,
            joint_std=np.full(21, 0.005, dtype=np.float32),
            joint_valid=np.ones(21, dtype=np.bool_),
            score=0.9,
            track_id=1,
            state=TrackingState.TRACKED,
            roi=BoundingBox(200, 150, 200, 200),
            wrist=wrist_pose(shape.joints, Side.RIGHT),
            vertices=shape.vertices,
        )

    def process(self, frame: Frame) -> Scene:
        """The hand, whatever the frame shows."""
        return Scene(frame.stamp_ns, frame.frame_id, (self._hand,))

    def reset(self) -> None:
        """Nothing is remembered."""

    def engines(self) -> dict[str, Any]:
        """None."""
        return {}

    def describe(self) -> dict[str, str]:
        """What runs here."""
        return {"model": "instant"}


def camera(listened: tuple[str, ...]) -> None:
    """The other process: publishes frames until its input is closed, listens to some topics."""
    rclpy.init()
    node = Node("camera")
    answered = [0.0]
    node.create_subscription(HandArray, "/hand_pose/hands", lambda message: answered.__setitem__(0, 1.0), 5)
    for topic in listened:
        node.create_subscription(LISTENERS[topic], f"/hand_pose/{topic}", lambda message: None, 5)
    if listened:
        node.create_subscription(TFMessage, "/tf", lambda message: None, 5)
    random = np.random.default_rng(0)
    color = random.integers(0, 255, (480, 640, 3), dtype=np.uint8)
    depth = random.uniform(0.3, 1.5, (480, 640)).astype(np.float32)
    images = node.create_publisher(Image, TOPICS.color, 1), node.create_publisher(Image, TOPICS.depth, 1)
    infos = node.create_publisher(CameraInfo, TOPICS.camera_info, 1)
    header = scene_messages.header_of(make, 0, "camera")
    messages = image_messages.color_image(make, header, color), image_messages.depth_image(make, header, depth)
    info = image_messages.camera_info(make, header, CAMERA)

    def shoot() -> None:
        header.stamp = node.get_clock().now().to_msg()
        infos.publish(info)
        for publisher, message in zip(images, messages, strict=True):
            publisher.publish(message)

    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    while not ended.is_set():
        answered[0] = 0.0
        shot = time.monotonic()
        shoot()
        while not answered[0] and time.monotonic() < shot + LOST_S and not ended.is_set():
            rclpy.spin_once(node, timeout_sec=0.05)
        time.sleep(max(0.0, shot + 1 / RATE - time.monotonic()))
    node.destroy_node()
    rclpy.shutdown()


def measure(name: str, build: Callable[[], tuple[Node, Callable[[], int]]], case: Case, seconds: float) -> Cost:
    """Run a node beside the camera process and count its CPU time; `build` gives the node and a counter of results."""
    command = [sys.executable, "-m", "benchmarks.node_overhead", "--camera", *case.listened]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as other:
        rclpy.init()
        node, results = build()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        thread = threading.Thread(target=executor.spin)
        thread.start()
        while results() == 0:
            time.sleep(0.05)
        time.sleep(WARM_UP_S)
        before, cpu = results(), time.process_time()
        time.sleep(seconds)
        spent, count = time.process_time() - cpu, results() - before
        other.communicate(b"")
        executor.shutdown()
        thread.join()
        p50, p95 = _processing(node)
        node.destroy_node()
        rclpy.try_shutdown()
    return Cost(name, 1e3 * spent / max(count, 1), count, p50, p95)


def bare_node() -> tuple[Node, Callable[[], int]]:
    """The peer: receives both images as messages and answers."""
    node = Node("bare")
    answers: list[int] = [0]
    publisher = node.create_publisher(HandArray, "/hand_pose/hands", 5)

    def received(message: Image) -> None:
        answers[0] += 1
        publisher.publish(HandArray(header=message.header))

    node.create_subscription(Image, TOPICS.color, lambda message: None, RELIABLE)
    node.create_subscription(Image, TOPICS.depth, received, RELIABLE)
    return node, lambda: answers[0]


def live_node() -> tuple[Node, Callable[[], int]]:
    """Our node with the instant pipeline."""
    node_module.Pipeline = InstantPipeline  # type: ignore[assignment,misc]
    node = node_module.HandPoseNode(parameter_overrides=[Parameter("publish.diagnostics_period", value=1.0)])
    node.start()
    return node, lambda: node.monitor.totals().frames_out


def _processing(node: Any) -> tuple[float, float]:
    if not hasattr(node, "monitor"):
        return float("nan"), float("nan")
    triple = node.monitor.report(time.monotonic()).processing_ms
    return (triple[0], triple[1]) if triple is not None else (float("nan"), float("nan"))


def report(costs: list[Cost]) -> Report:
    """A table with the ratio to the peer."""
    peer = costs[0].cpu_ms
    columns = ("case", "CPU ms/frame", "ratio to bare rclpy", "arrival to published p50 ms", "p95 ms", "frames")
    rows = tuple(
        (cost.name, cost.cpu_ms, cost.cpu_ms / peer, cost.processing_p50_ms, cost.processing_p95_ms, cost.results)
        for cost in costs
    )
    return Report("Node beside the engine", (Table("Node beside the engine, 640x480", columns, rows, 2),))


def main(argv: list[str] | None = None) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6.0, help="of measurement per case")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--camera", nargs="*", choices=tuple(LISTENERS), help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.camera is not None:
        camera(tuple(arguments.camera))
        return 0
    costs = [measure("bare rclpy node (peer)", bare_node, Case(""), arguments.seconds)]
    costs += [measure(case.name, live_node, case, arguments.seconds) for case in CASES]
    result = report(costs)
    print(result.text())
    result.write_json(arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
