"""Far more frames than the node can take, for minutes: memory, latency and what became of the frames.

    python -m benchmarks.overload [--factor 5] [--seconds 120] [--json out/overload.json] [-- pipeline.model:=…]

Needs rclpy (scripts/setup_ros_light.py). The node runs in a process of its own on the frames of the sample recording,
which come over real DDS: first one at a time, which tells how many it can take, then `--factor` times as many. The
table has a row per tenth of the time. Latency runs from the stamp to the arrival of the result here. "Flat" means that
memory and median latency of the last half lie within `--slack` of the first half's.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from itertools import islice
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
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image

from hand_pose_ros.config import TopicConfig
from hand_pose_ros.evaluation.report import Report, Table, facts
from hand_pose_ros.msg import HandArray
from hand_pose_ros.ros.message_classes import make
from hand_pose_ros.sources import image_messages
from hand_pose_ros.sources.bag import BagReader
from hand_pose_ros.sources.scene_messages import header_of, stamp_of

TOPICS = TopicConfig()
SAMPLE = Path(__file__).resolve().parents[1] / "sample" / "hand_sample.mcap"
PARTS = 10
ALONE = 30  # frames one at a time
PATIENCE_S = 60.0
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Part:
    """One tenth of the time."""

    sent: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    memory_mb: float = 0.0


class Load(Node):  # type: ignore[misc]  # rclpy carries no types
    """Publishes the frames of a recording and hears the answers."""

    def __init__(self, recording: Path, frames: int) -> None:
        super().__init__("load")
        with BagReader(recording) as bag:
            shown = list(islice(bag, frames))
        blank = header_of(make, 0, "camera")
        self._images = [
            (image_messages.color_image(make, blank, f.color), image_messages.depth_image(make, blank, f.depth))
            for f in shown
        ]
        self._info = image_messages.camera_info(make, blank, shown[0].intrinsics)
        self._publishers = (
            self.create_publisher(CameraInfo, TOPICS.camera_info, 5),
            self.create_publisher(Image, TOPICS.color, 5),
            self.create_publisher(Image, TOPICS.depth, 5),
        )
        self.answers: list[tuple[int, float]] = []
        self.values: dict[str, str] = {}
        self.create_subscription(HandArray, "/hand_pose/hands", self._on_hands, 50)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self.sent = 0

    def shoot(self) -> None:
        """The next frame, stamped now."""
        stamp_ns = time.time_ns()
        header = header_of(make, stamp_ns, "camera")
        for publisher, message in zip(
            self._publishers, (self._info, *self._images[self.sent % len(self._images)]), strict=True
        ):
            message.header = header
            publisher.publish(message)
        self.sent += 1

    def hear(self, seconds: float) -> None:
        """Take in what comes until then."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            rclpy.spin_once(self, timeout_sec=left)

    def _on_hands(self, message: HandArray) -> None:
        self.answers.append((time.time_ns(), (time.time_ns() - stamp_of(message.header)) * 1e-6))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self.values = {item.key: item.value for item in message.status[0].values}


def capacity(load: Load) -> float:
    """Frames per second, one at a time, after the first ones."""
    deadline = time.monotonic() + PATIENCE_S
    took: list[float] = []
    while len(took) < ALONE:
        if time.monotonic() > deadline:
            raise SystemExit("expected answers of the node, got none in time; run it by hand to see why")
        before, shot = len(load.answers), time.monotonic()
        load.shoot()
        while len(load.answers) == before and time.monotonic() < shot + 1.0:
            rclpy.spin_once(load, timeout_sec=0.05)
        if len(load.answers) > before:
            took.append(time.monotonic() - shot)
    return 1.0 / float(np.median(took[ALONE // 2 :]))


def overload(load: Load, pid: int, rate: float, seconds: float) -> list[Part]:
    """`seconds` of frames at `rate` (Hz)."""
    parts = []
    start, load.sent = time.monotonic(), 0
    for number in range(PARTS):
        part, first, before = Part(), len(load.answers), load.sent
        while (now := time.monotonic() - start) < seconds * (number + 1) / PARTS:
            if load.sent <= now * rate:
                load.shoot()
            rclpy.spin_once(load, timeout_sec=0)
        part.sent = load.sent - before
        part.latencies_ms = [latency for _, latency in load.answers[first:]]
        part.memory_mb = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE / 1e6
        parts.append(part)
    load.hear(2.0)
    return parts


def report(
    parts: list[Part], possible: float, rate: float, seconds: float, values: dict[str, str], slack: float
) -> Report:
    """The curve, and whether it is flat."""
    rows = tuple(
        (
            f"{number * seconds / PARTS:.0f} to {(number + 1) * seconds / PARTS:.0f}",
            part.sent * PARTS / seconds,
            len(part.latencies_ms) * PARTS / seconds,
            float(np.median(part.latencies_ms)) if part.latencies_ms else float("nan"),
            float(np.quantile(part.latencies_ms, 0.95)) if part.latencies_ms else float("nan"),
            part.memory_mb,
        )
        for number, part in enumerate(parts)
    )
    columns = ("seconds", "sent (Hz)", "answered (Hz)", "latency p50 (ms)", "p95 (ms)", "memory (MB)")
    halves = [parts[1 : PARTS // 2], parts[PARTS // 2 :]]  # the first part still fills caches
    memory = [max(part.memory_mb for part in half) for half in halves]
    latency = [float(np.median([ms for part in half for ms in part.latencies_ms])) for half in halves]
    summary: dict[str, Any] = {
        "one at a time (Hz)": possible,
        "sent (Hz)": sum(part.sent for part in parts) / seconds,
        "aimed at (Hz)": rate,
        "memory, second half to first": memory[1] / memory[0],
        "latency, second half to first": latency[1] / latency[0],
        "flat": "yes" if max(memory[1] / memory[0], latency[1] / latency[0]) < 1 + slack else "no",
        **{key: value for key, value in values.items() if key.startswith("dropped")},
    }
    return Report("Overload", (Table("Overload", columns, rows, 1), facts("In all", summary, 2)))


def main(argv: list[str] | None = None) -> int:
    """Measure, print, write; 1 where memory or latency grew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--factor", type=float, default=5.0, help="times as many frames as the node can take")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--slack", type=float, default=0.2, help="growth that still counts as flat")
    parser.add_argument("--frames", type=int, default=20, help="of the recording, over and over")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("parameters", nargs="*", help="of the node, as NAME:=VALUE")
    arguments = parser.parse_args(argv)
    given = [item for text in ("pipeline.threads:=1", *arguments.parameters) for item in ("-p", text)]
    program = "from hand_pose_ros.ros.program import main; main()"
    rclpy.init()
    with subprocess.Popen([sys.executable, "-c", program, "--ros-args", *given]) as node:
        try:
            load = Load(SAMPLE, arguments.frames)
            possible = capacity(load)
            rate = arguments.factor * possible
            parts = overload(load, node.pid, rate, arguments.seconds)
        finally:
            node.terminate()
    result = report(parts, possible, rate, arguments.seconds, load.values, arguments.slack)
    load.destroy_node()
    rclpy.try_shutdown()
    print(result.text())
    if arguments.json is not None:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(result.json(), encoding="utf-8")
    return 0 if "yes" in result.text() else 1


if __name__ == "__main__":
    sys.exit(main())
