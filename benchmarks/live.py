"""A camera, a node and a listener in three processes over real DDS: what `ros_latency` and `soak` measure with.

    python -m benchmarks.live BAG --rate 30 [--transport compressed]    (the camera; ends when its input is closed)

The camera holds the frames of a recording in memory and sends them over and over, stamped with the moment of sending.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
# As README tells users of Fast DDS: shared memory that holds an image.
os.environ.setdefault(
    "FASTRTPS_DEFAULT_PROFILES_FILE", str(Path(__file__).resolve().parents[1] / "config" / "fastdds_large_images.xml")
)

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from hand_pose_ros.config import TopicConfig
from hand_pose_ros.msg import HandArray
from hand_pose_ros.ros.message_classes import make
from hand_pose_ros.sources import image_messages
from hand_pose_ros.sources.bag import BagReader
from hand_pose_ros.sources.scene_messages import header_of, stamp_of
from hand_pose_ros.types import Frame

ROOT = Path(__file__).resolve().parents[1]
TOPICS = TopicConfig()
TRANSPORTS = {
    "raw": {},
    "compressed": {"topics.color_transport": "compressed", "topics.depth_transport": "compressedDepth"},
}
_NODE = "from hand_pose_ros.ros.program import main; main()"
# So many frames of the recording are held (1.5 MB each).
_FRAMES = 60
_PATIENCE_S = 60.0


@dataclass(frozen=True)
class Answer:
    """A result as the listener got it: the image's stamp, the moment it was received (both ns), and its hands."""

    stamp_ns: int
    received_ns: int
    hands: int

    @property
    def latency_ms(self) -> float:
        """From stamp to receipt."""
        return (self.received_ns - self.stamp_ns) * 1e-6


class Listener:
    """Receives results and diagnostics in a thread; a context manager."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.diagnostics: dict[str, str] = {}

    def __enter__(self) -> Listener:
        rclpy.init()
        self._node = Node("listener")
        self._node.create_subscription(HandArray, "/hand_pose/hands", self._on_hands, 50)
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()
        self._thread.join()
        self._node.destroy_node()
        rclpy.try_shutdown()

    def wait(self, answers: int, process: subprocess.Popen[str]) -> None:
        """Wait until so many results have come.

        Raises:
            RuntimeError: none come, or the node has ended.
        """
        end = time.monotonic() + _PATIENCE_S
        while len(self.answers) < answers:
            if process.poll() is not None:
                raise RuntimeError(f"the node ended with {process.returncode} before it gave {answers} results")
            if time.monotonic() > end:
                raise RuntimeError(f"expected {answers} results within {_PATIENCE_S:g} s, got {len(self.answers)}")
            time.sleep(0.05)

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return

    def _on_hands(self, message: HandArray) -> None:
        self.answers.append(Answer(stamp_of(message.header), time.time_ns(), len(message.hands)))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self.diagnostics = {item.key: item.value for item in message.status[0].values}


@contextmanager
def live_node(parameters: Mapping[str, Any]) -> Iterator[subprocess.Popen[str]]:
    """The node's own program in a process, with these parameters; ended as a user ends it."""
    given = [text for name, value in parameters.items() for text in ("-p", f"{name}:={_yaml(value)}")]
    command = [sys.executable, "-c", _NODE, "--ros-args", "--log-level", "warn", *given]
    with subprocess.Popen(command, text=True) as process:
        try:
            yield process
        finally:
            process.send_signal(2)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                raise RuntimeError("the node did not end within 20 s of SIGINT") from None


@contextmanager
def camera(bag: Path, rate: float, transport: str) -> Iterator[list[int]]:
    """The camera process; afterwards the list holds how many frames it sent."""
    command = [sys.executable, "-m", "benchmarks.live", str(bag), "--rate", str(rate), "--transport", transport]
    sent: list[int] = []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            yield sent
        finally:
            told, _ = process.communicate("")
            sent.append(int(json.loads(told.splitlines()[-1])["sent"]) if told.strip() else 0)


def resident_mb(pid: int) -> float:
    """Memory that a process holds (Linux)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def cpu_s(pid: int) -> float:
    """CPU time that a process has used, all threads (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _messages(frame: Frame, transport: str) -> tuple[Any, Any, Any]:
    header = header_of(make, 0, frame.frame_id)
    info = image_messages.camera_info(make, header, frame.intrinsics)
    assert frame.color is not None and frame.depth is not None
    if transport == "raw":
        return (
            info,
            image_messages.color_image(make, header, frame.color),
            image_messages.depth_image(make, header, frame.depth),
        )
    return (
        info,
        image_messages.compressed_color(make, header, frame.color),
        image_messages.compressed_depth(make, header, frame.depth),
    )


def _shoot(bag: Path, rate: float, transport: str) -> None:
    """The camera process."""
    with BagReader(bag) as reader:
        sets = [_messages(frame, transport) for frame in islice(reader, _FRAMES)]
    rclpy.init()
    node = Node("camera")
    raw = transport == "raw"
    kind = Image if raw else CompressedImage
    topics = (TOPICS.color, TOPICS.depth) if raw else (f"{TOPICS.color}/compressed", f"{TOPICS.depth}/compressedDepth")
    publishers = (
        node.create_publisher(CameraInfo, TOPICS.camera_info, 5),
        *(node.create_publisher(kind, topic, 5) for topic in topics),
    )
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    sent, due = 0, time.monotonic()
    while not ended.wait(max(0.0, due - time.monotonic())):
        # A camera does not catch up on what it missed.
        due = max(due + 1.0 / rate, time.monotonic() - 1.0 / rate)
        stamp = make(
            "builtin_interfaces/msg/Time", **dict(zip(("sec", "nanosec"), divmod(time.time_ns(), 10**9), strict=True))
        )
        for publisher, message in zip(publishers, sets[sent % len(sets)], strict=True):
            message.header.stamp = stamp
            publisher.publish(message)
        sent += 1
    node.destroy_node()
    rclpy.shutdown()
    print(json.dumps({"sent": sent}), flush=True)


def main(argv: list[str] | None = None) -> int:
    """The camera process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bag", type=Path)
    parser.add_argument("--rate", type=float, default=30.0)
    parser.add_argument("--transport", choices=tuple(TRANSPORTS), default="raw")
    arguments = parser.parse_args(argv)
    _shoot(arguments.bag, arguments.rate, arguments.transport)
    return 0


if __name__ == "__main__":
    sys.exit(main())
