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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.live import ROOT, Answer, Listener, camera, cpu_s, live_node, resident_mb
from hand_pose_ros.cli.outputs import save_picture
from hand_pose_ros.evaluation.report import Report, facts
from hand_pose_ros.types import ByteArray
from hand_pose_ros.visualization.plots import plot_curves

PERIOD_S: Final = 1.0
# Part of the time that does not count: models warm up, the allocator settles.
WARM_UP: Final = 0.2
# Growth from the first to the last third that is called growth: what an allocator does by itself is less.
MEMORY_MB: Final = 15.0
LATENCY: Final = 2.0
LATENCY_MS: Final = 50.0


@dataclass(frozen=True)
class Sample:
    """One second: since the start (s), memory (MiB), CPU (cores), results, and their latency (ms, NaN without any)."""

    time_s: float
    memory_mb: float
    cpu: float
    results: int
    hands: int
    latency_p50_ms: float
    latency_max_ms: float


@dataclass(frozen=True)
class Verdict:
    """What grew: memory (MiB) and latency (a factor), from the first to the last third after the warm-up."""

    memory_growth_mb: float
    latency_before_ms: float
    latency_after_ms: float

    @property
    def problems(self) -> tuple[str, ...]:
        """What is not flat."""
        found = []
        if self.memory_growth_mb > MEMORY_MB:
            found.append(f"memory grew by {self.memory_growth_mb:.1f} MiB, expected at most {MEMORY_MB:g}")
        limit = max(LATENCY * self.latency_before_ms, self.latency_before_ms + LATENCY_MS)
        if not self.latency_after_ms <= limit:
            found.append(
                f"latency grew from {self.latency_before_ms:.0f} to {self.latency_after_ms:.0f} ms, expected at most "
                f"{limit:.0f}"
            )
        return tuple(found)


def judge(samples: Sequence[Sample]) -> Verdict:
    """Medians of the first and the last third of what comes after the warm-up.

    Raises:
        ValueError: fewer than six samples are left.
    """
    rest = samples[round(WARM_UP * len(samples)) :]
    if len(rest) < 6:
        raise ValueError(f"soak: expected at least 8 samples, got {len(samples)}; run for longer")
    third = len(rest) // 3
    first, last = rest[:third], rest[-third:]
    before, after = (float(np.nanmedian([item.latency_p50_ms for item in part])) for part in (first, last))
    grown = np.median([item.memory_mb for item in last]) - np.median([item.memory_mb for item in first])
    return Verdict(float(grown), before, after)


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


def draw(samples: Sequence[Sample]) -> ByteArray:
    """Memory above, latency below."""
    times = np.array([item.time_s for item in samples])
    memory = np.array([item.memory_mb for item in samples])
    p50, worst = (np.array([getattr(item, name) for item in samples]) for name in ("latency_p50_ms", "latency_max_ms"))
    span = (0.0, _nice(float(times[-1])))
    size = (900, 260)
    curves = {"of the node's process": (times, memory)}
    above = plot_curves(curves, "Memory (MiB)", "s", span, (0.0, _nice(1.1 * float(memory.max()))), size)
    top = _nice(float(np.nanmax(worst)))
    unit, scale = ("s", 1e-3) if top > 500 else ("ms", 1.0)
    latency = {"p50 of each second": (times, scale * p50), "worst of each second": (times, scale * worst)}
    below = plot_curves(latency, f"Stamp to message ({unit})", "s", span, (0.0, scale * top), size)
    return np.vstack([above, below])


def _nice(value: float) -> float:
    """The next number above that five steps of 1, 2, 3, 4, 5 or 6 times a power of ten lead to."""
    power = 10.0 ** np.floor(np.log10(max(value, 1e-9) / 5.0))
    return next(5.0 * step * power for step in (1, 2, 3, 4, 5, 6, 10) if 5.0 * step * power >= value)


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
