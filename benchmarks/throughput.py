"""Batched offline throughput: what a crop costs when several go through a network at once, as a table and a picture.

    python -m benchmarks.throughput --out docs/images/throughput.png                     # kpt_fusion on ONNX Runtime
    python -m benchmarks.throughput --engines tensorrt --precision fp16 --batches 1 2 4 8 16 32 64 128     # with a GPU

Random weights, files of a fixed batch each (as `hand_pose export --batch` writes them), rounds in which every batch of
a model takes its turn, medians. On a CPU, time is the process's CPU time: other work on the machine stretches the wall
clock, not that. `gain`: crops per second beside those of the first batch.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import warnings
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.latency import EAGER, MODELS, Candidate, candidates, measure
from hand_pose_ros.evaluation.report import Cell, Report, Table
from hand_pose_ros.visualization.plots import Curve, plot_curves

COLUMNS = (
    "model",
    "engine",
    "precision",
    "batch",
    "gain",
    "ms per crop",
    "crops per second",
    "wall p50 ms",
    "memory MB",
)


def batches_of(model: str, options: argparse.Namespace, folder: Path) -> list[Candidate]:
    """The model in every batch that can run here, measured."""
    options.precisions = [options.precision]
    found = [
        candidate
        for batch in options.batches
        for candidate in candidates(options, model, batch, folder)
        if candidate.labels[1] != EAGER
    ]
    measure(found, options.rounds)
    return found


def rows_of(found: list[Candidate]) -> list[tuple[Cell, ...]]:
    """A row per batch."""
    costs = [item.cost / item.labels[3] for item in found]
    walls = [1e3 * float(np.median(item.wall)) for item in found]
    return [
        (*item.labels, costs[0] / cost, 1e3 * cost, 1 / cost, wall, item.megabytes)
        for item, cost, wall in zip(found, costs, walls, strict=True)
    ]


def picture(rows: list[tuple[Cell, ...]]) -> np.ndarray:
    """Gain over the batch (its logarithm to base 2), one curve per model and engine: RGB."""
    curves: dict[str, Curve] = {}
    for name in dict.fromkeys(f"{row[0]}, {row[1]}" for row in rows):
        points = np.array([(np.log2(float(row[3])), row[4]) for row in rows if f"{row[0]}, {row[1]}" == name], float)  # type: ignore[arg-type]
        curves[name] = (points[:, 0], points[:, 1])
    # Whole numbers at the five lines across, and tenths at those above each other.
    widest = 5 * np.ceil(max(float(curve[0].max()) for curve in curves.values()) / 5)
    highest = 0.5 * np.ceil(2.2 * max(float(curve[1].max()) for curve in curves.values()))
    ranges = ((0.0, float(widest)), (0.0, float(highest)))
    return plot_curves(curves, "Crops per second, batch 1 = 1", "batch, as a power of 2", *ranges)


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=tuple(MODELS), default=["kpt_fusion_lite", "kpt_fusion_r18"])
    parser.add_argument("--engines", nargs="+", default=["onnxruntime"], choices=("onnxruntime", "torch", "tensorrt"))
    parser.add_argument("--precision", default="fp32", choices=("fp32", "fp16"))
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 2, 4, 8, 16])
    parser.add_argument("--rounds", type=int, default=8, help="timed rounds (default: 8)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
    parser.add_argument("--out", type=Path, metavar="FILE.png", help="draw the curves here")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore")  # the exporter's
    logging.disable(logging.WARNING)
    rows: list[tuple[Cell, ...]] = []
    for model in options.models:
        with tempfile.TemporaryDirectory() as folder:
            rows += rows_of(batches_of(model, options, Path(folder)))
    table = Table(f"Throughput, {options.threads} thread(s)", COLUMNS, tuple(rows), (0, 0, 0, 0, 2, 2, 1, 1, 0))
    result = Report("Throughput", (table,), {"threads": options.threads, "rounds": options.rounds})
    print(result.text())
    result.write_json(options.json)
    if options.out is not None and rows:
        cv2.imwrite(str(options.out), cv2.cvtColor(picture(rows), cv2.COLOR_RGB2BGR))
        print(f"drawn: {options.out}")


if __name__ == "__main__":
    main()
