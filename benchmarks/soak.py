"""The node under a steady camera for minutes: memory, latency and rate over time; do they stay flat?

    python -m benchmarks.soak --minutes 10 [--rate 30] [--out out/soak] [--model kpt_fusion_lite]

Needs rclpy (scripts/setup_ros_light.py). The node's own program runs in a process, a second one sends the sample
recording stamped with the moment of sending, a third listens. Writes `soak.json` (a sample every second) and `soak.png`
(the curves). Ends with 1 where memory or latency grows: the last third of the time (after a warm-up) against the first.
A rate above what the machine can do is an overload: frames are dropped, nothing may grow.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.live import ROOT, Answer, Listener, camera, cpu_s, live_node, resident_mb
from benchmarks.soak_verdict import Sample, draw, judge
from hand_pose_ros.cli.outputs import save_picture
from hand_pose_ros.evaluation.report import Report, facts

PERIOD_S: Final = 1.0


def run(seconds: float, rate: float, bag: Path, model: str) -> tuple[list[Sample], dict[str, str], int]:
    """Samples, the node's last diagnostics, and how many frames were sent."""
    samples: list[Sample] = []
    with Listener() as listener, live_node({"pipeline.model": model}) as node:
        with camera(bag, rate, "raw") as sent:
            listener.wait(1, node)
            start, seen, cpu = time.monotonic(), len(listener.answers), cpu_s(node.pid)
            while (now := time.monotonic() - start) < seconds:
                time.sleep(min(PERIOD_S, seconds - now))
                if node.poll() is not None:
                    raise RuntimeError(f"the node ended with {node.returncode} after {now:.0f} s")
                answers, used = listener.answers[seen:], cpu_s(node.pid)
                took = time.monotonic() - start - now
                samples.append(_sample(node, now + took, answers, (used - cpu) / took))
                seen, cpu = seen + len(answers), used
        return samples, listener.diagnostics, sent[0]


def _sample(node: subprocess.Popen[str], time_s: float, answers: Sequence[Answer], cpu: float) -> Sample:
    latency = [item.latency_ms for item in answers] or [float("nan")]
    hands = sum(item.hands for item in answers)
    memory = resident_mb(node.pid)
    return Sample(time_s, memory, cpu, len(answers), hands, float(np.median(latency)), float(np.max(latency)))


def report(samples: Sequence[Sample], told: dict[str, str], sent: int, arguments: argparse.Namespace) -> Report:
    """The figures, with every sample."""
    verdict = judge(samples)
    results = sum(item.results for item in samples)
    latency = [item.latency_p50_ms for item in samples]
    drops = {f"{name}": value for name, value in told.items() if name.startswith("dropped")}
    table = facts(
        f"Soak, {samples[-1].time_s:.0f} s at {arguments.rate:g} Hz",
        {
            "frames sent": sent,
            "results": results,
            "hands": sum(item.hands for item in samples),
            "results/s": results / samples[-1].time_s,
            "CPU (cores)": float(np.mean([item.cpu for item in samples])),
            "memory at the end (MiB)": samples[-1].memory_mb,
            "memory grew by (MiB)": verdict.memory_growth_mb,
            "latency p50, first third (ms)": verdict.latency_before_ms,
            "latency p50, last third (ms)": verdict.latency_after_ms,
            "latency, worst second's p50 (ms)": float(np.nanmax(latency)),
            **drops,
        },
    )
    about = {
        "model": arguments.model,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "problems": list(verdict.problems),
        "samples": [asdict(item) for item in samples],
    }
    return Report("Soak", (table,), about)


def main(argv: list[str] | None = None) -> int:
    """Run, print, write; 1 where something grows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=30.0, help="frames per second that the camera sends")
    parser.add_argument("--bag", type=Path, default=ROOT / "sample" / "hand_sample.mcap")
    parser.add_argument("--model", default="kpt_fusion_lite")
    parser.add_argument("--out", type=Path, default=Path("out/soak"))
    arguments = parser.parse_args(argv)
    samples, told, sent = run(60.0 * arguments.minutes, arguments.rate, arguments.bag, arguments.model)
    result = report(samples, told, sent, arguments)
    print(result.text())
    result.write(arguments.out, "soak")
    save_picture(arguments.out / "soak.png", draw(samples))
    problems = judge(samples).problems
    for problem in problems:
        print(f"problem: {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
