"""From a frame's stamp to the message with its hands, received over DDS: p50, p95 and p99.

    python -m benchmarks.ros_latency [--seconds 20] [--rate 15] [--model NAME …] [--json out/ros_latency.json]

Needs rclpy (scripts/setup_ros_light.py, or a ROS 2 environment with the middleware of RMW_IMPLEMENTATION). Three
processes: a camera that sends the sample recording stamped with the moment of sending, the node, a listener. The peer
is a bare rclpy node that receives the same images as messages and answers each with an empty HandArray: what is
above it is ours. `in the node` is from the arrival of the last image of a frame to the publishing of its result.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.live import ROOT, TRANSPORTS, Listener, camera, live_node
from hand_pose_ros.evaluation.report import Report, Table

WARM_UP = 15  # results
PEER = "bare rclpy node (peer)"


@dataclass(frozen=True)
class Latency:
    """One case: milliseconds from stamp to receipt, and what became of the frames."""

    name: str
    p50: float
    p95: float
    p99: float
    node_p50: float
    answered: float
    rate: float
    results: int


def measure(
    name: str,
    node: AbstractContextManager[subprocess.Popen[str]],
    bag: Path,
    rate: float,
    transport: str,
    seconds: float,
) -> Latency:
    """Run the three processes for a time."""
    with Listener() as listener, node as process, camera(bag, rate, transport):
        listener.wait(WARM_UP, process)
        before, began = len(listener.answers), time.monotonic()
        time.sleep(seconds)
        answers, took = listener.answers[before:], time.monotonic() - began
        told = float(listener.diagnostics.get("processing p50 (ms)", "nan"))
    p50, p95, p99 = np.percentile([item.latency_ms for item in answers], (50, 95, 99)).tolist()
    return Latency(name, p50, p95, p99, told, len(answers) / (rate * took), len(answers) / took, len(answers))


@contextmanager
def bare_node() -> Iterator[subprocess.Popen[str]]:
    """The peer in a process."""
    with subprocess.Popen([sys.executable, "-m", "benchmarks.ros_latency", "--bare"], text=True, cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.terminate()


def _spin_bare() -> None:
    import rclpy
    from rclpy.executors import ExternalShutdownException

    from benchmarks.node_overhead import bare_node as build

    rclpy.init()
    node, _ = build()
    with suppress(ExternalShutdownException):
        rclpy.spin(node)


def report(cases: list[Latency], arguments: argparse.Namespace) -> Report:
    """A table with the ratio to the peer."""
    peer = cases[0].p50
    columns = (
        "case",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "p50 / peer's",
        "in the node p50 ms",
        "frames answered %",
        "results/s",
    )
    rows = tuple(
        (case.name, case.p50, case.p95, case.p99, case.p50 / peer, case.node_p50, 100 * case.answered, case.rate)
        for case in cases
    )
    about = {
        "rate": arguments.rate,
        "seconds": arguments.seconds,
        "middleware": os.environ.get("RMW_IMPLEMENTATION", "default"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
    }
    return Report("Stamp to message over DDS", (Table("Stamp to message over DDS, 640x480", columns, rows, 1),), about)


def main(argv: list[str] | None = None) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bag", type=Path, default=ROOT / "sample" / "hand_sample.mcap")
    parser.add_argument("--seconds", type=float, default=20.0, help="of measurement per case")
    parser.add_argument("--rate", type=float, default=15.0, help="frames per second that the camera sends")
    parser.add_argument("--model", nargs="+", default=["kpt_fusion_lite"])
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--bare", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.bare:
        _spin_bare()
        return 0
    common = (arguments.bag, arguments.rate)
    cases = [measure(PEER, bare_node(), *common, "raw", arguments.seconds)]
    for model in arguments.model:
        for transport, settings in TRANSPORTS.items():
            node = live_node({"pipeline.model": model, **settings})
            cases.append(measure(f"{model}, {transport} images", node, *common, transport, arguments.seconds))
    result = report(cases, arguments)
    print(result.text())
    result.write_json(arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
