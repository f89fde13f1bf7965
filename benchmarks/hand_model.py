"""How fast the hand model is, on one thread: `python -m benchmarks.hand_model [--json out/hand_model.json]`."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hand_pose_ros.engines.blas import single_threaded_blas
from hand_pose_ros.hand_model.fit import HandFitter
from hand_pose_ros.hand_model.model import HandModel
from hand_pose_ros.hand_model.pose_prior import sample_pose
from hand_pose_ros.skeleton import Side

REPEATS = 300


def median_ms(action: Callable[[], object]) -> float:
    """Median wall time of one call."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    model, rng = HandModel.bundled(Side.RIGHT), np.random.default_rng(0)
    zero, betas = np.zeros(3, np.float32), np.zeros(10, np.float32)
    pose = sample_pose(rng)
    joints = model.forward(zero, pose, betas, zero).joints
    fitter = HandFitter(model)
    with single_threaded_blas():
        figures = {
            "forward_ms": median_ms(lambda: model.forward(zero, pose, betas, zero)),
            "fit_ms": median_ms(lambda: fitter.fit(joints)),
        }
    for name, value in figures.items():
        print(f"{name:12} {value:.2f}")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures))


if __name__ == "__main__":
    main()
