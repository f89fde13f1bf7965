"""How fast synthetic crops are made: `python -m benchmarks.renderer [--count 512] [--workers 0] [--seconds 20]`.

Without workers: CPU milliseconds per crop and stage in this process, OpenGL apart from the rest.
With workers: crops per second of a `CropStream`, as a training would get them.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

os.environ.setdefault("LP_NUM_THREADS", "0")  # llvmpipe draws in the calling thread
os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import moderngl
import numpy as np

from hand_pose_ros.datasets.synthetic import plans, renderer, samples, shards
from hand_pose_ros.datasets.synthetic.layers import LayerStack
from hand_pose_ros.datasets.synthetic.plans import carry_out
from hand_pose_ros.datasets.synthetic.renderer import Renderer
from hand_pose_ros.datasets.synthetic.samples import plan_crop
from hand_pose_ros.datasets.synthetic.spec import SyntheticConfig
from hand_pose_ros.datasets.synthetic.stream import CropStream

OPENGL = "OpenGL: drawing and reading back"
STAGES: tuple[tuple[str, Any, str], ...] = (
    ("poses free of themselves", plans, "choose_free"),
    ("hand meshes", plans, "pose_hands"),
    (OPENGL, LayerStack, "begin"),
    (OPENGL, LayerStack, "read"),
    (OPENGL, moderngl.VertexArray, "render"),
    ("colour camera", renderer, "degrade_color"),
    ("depth sensor", samples, "sense"),
)


def timed(function: Callable[..., Any], stage: str, spent: dict[str, float]) -> Callable[..., Any]:
    """`function`, with its CPU seconds added to `spent[stage]`."""

    def call(*args: Any, **kwargs: Any) -> Any:
        start = time.process_time()
        try:
            return function(*args, **kwargs)
        finally:
            spent[stage] = spent.get(stage, 0.0) + time.process_time() - start

    return call


def stages(count: int, seed: int, config: SyntheticConfig, drawing: Renderer) -> dict[str, float]:
    """CPU milliseconds per crop of each stage; "scene" is what none of the others claims."""
    spent: dict[str, float] = {}
    with ExitStack() as stack:
        for stage, owner, name in STAGES:
            stack.enter_context(patch.object(owner, name, timed(getattr(owner, name), stage, spent)))
        start = time.process_time()
        for first in range(0, count, shards.TOGETHER):
            numbers = range(first, min(first + shards.TOGETHER, count))
            made = carry_out([plan_crop(np.random.default_rng([seed, n]), config) for n in numbers], drawing)
            before = time.process_time()
            for sample in made:
                shards.crop_record(sample)
            spent["packing"] = spent.get("packing", 0.0) + time.process_time() - before
        total = time.process_time() - start
    spent["scene and the rest"] = total - sum(spent.values())
    return {stage: 1e3 * seconds / count for stage, seconds in spent.items()}


def throughput(workers: int, seconds: float, seed: int, config: SyntheticConfig) -> dict[str, float]:
    """Crops per second of wall time out of a stream, after its workers have started."""
    with CropStream(config, seed, workers, batch_size=shards.TOGETHER) as stream:
        batches = stream.batches()
        for _ in range(workers + 1):
            next(batches)
        start, made = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            made += len(next(batches)[1]["color"])
        took = time.perf_counter() - start
        batches.close()
    return {"workers": workers, "crops": made, "crops_per_s": made / took}


def main() -> None:
    """Print a table and JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=512)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    config = SyntheticConfig()
    if options.workers:
        print(json.dumps(throughput(options.workers, options.seconds, options.seed, config)))
        return
    cv2.setNumThreads(1)
    drawing = Renderer()
    stages(4 * shards.TOGETHER, options.seed + 1, config, drawing)
    spent = stages(options.count, options.seed, config, drawing)
    total = sum(spent.values())
    print(f"{drawing.device}, {options.count} crops, CPU time per crop")
    for stage, milliseconds in sorted(spent.items(), key=lambda item: -item[1]):
        print(f"{stage:34s} {milliseconds:6.2f} ms")
    print(f"{'all':34s} {total:6.2f} ms = {1e3 / total:.0f} crops/s of one core")
    print(
        f"{'all but OpenGL':34s} {total - spent[OPENGL]:6.2f} ms = {1e3 / (total - spent[OPENGL]):.0f} /s of one core"
    )
    print(json.dumps({"device": drawing.device, "ms": spent, "total_ms": total}))


if __name__ == "__main__":
    main()
