"""Far more frames than the node can take, for minutes: memory and latency stay flat, and what became of the frames.

    python -m benchmarks.overload [--factor 5] [--minutes 2] [--model kpt_fusion_lite] [--out out/overload]

Needs rclpy (scripts/setup_ros_light.py). First the node gets frames as fast as they can be sent, which tells how many
it can take; then a soak (`benchmarks.soak`: samples, curves, verdict) at `--factor` times that rate. Camera and node
share this machine, so both rates are those of a machine that is busy with both. Ends with 1 where memory or latency
grows.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks import soak
from benchmarks.live import ROOT
from hand_pose_ros.cli.outputs import save_picture

# Seconds, and frames per second that are more than any node of ours takes on a CPU.
TRIAL_S: Final = 10.0
TRIAL_HZ: Final = 200.0


def capacity(bag: Path, model: str) -> float:
    """Results per second under more frames than can be taken; the median second after the warm-up."""
    samples, _, _ = soak.run(TRIAL_S, TRIAL_HZ, bag, model)
    return float(np.median([item.results for item in samples[2:]]))


def main(argv: list[str] | None = None) -> int:
    """Run, print, write; 1 where something grows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--factor", type=float, default=5.0, help="times as many frames as the node can take")
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--bag", type=Path, default=ROOT / "sample" / "hand_sample.mcap")
    parser.add_argument("--model", default="kpt_fusion_lite")
    parser.add_argument("--out", type=Path, default=Path("out/overload"))
    arguments = parser.parse_args(argv)
    possible = capacity(arguments.bag, arguments.model)
    arguments.rate = arguments.factor * possible
    print(f"the node takes {possible:.1f} frames/s here; it gets {arguments.rate:.0f}")
    samples, told, sent = soak.run(60.0 * arguments.minutes, arguments.rate, arguments.bag, arguments.model)
    result = soak.report(samples, told, sent, arguments)
    print(result.text())
    result.write(arguments.out, "overload")
    save_picture(arguments.out / "overload.png", soak.draw(samples))
    problems = soak.judge(samples).problems
    for problem in problems:
        print(f"problem: {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
