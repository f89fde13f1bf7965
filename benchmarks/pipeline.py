"""How fast the pipeline is: frames of a recording in, scenes out.

    python -m benchmarks.pipeline [--bag sample/hand_sample.mcap] [--threads 1] [--json out/pipeline.json] [--peer]
    python -m benchmarks.pipeline --threads 1 --max-hands 1 --cpu-stages    # where the time goes, on a busy machine too

Reading and decoding are not counted. `host` is what is left of a frame without the pose network (infer) and the hand
finder (find): cropping, lifting, mesh, tracking and bookkeeping. CPU time is of all threads of this process.
With `--cpu-stages` the stages are CPU time as well, of one thread, and the largest sum of memory that a frame takes and
gives back is told. `--peer` measures MediaPipe Hands with depth look-up on the same frames as well and puts both side
by side.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import cv2
import numpy as np

from benchmarks import peer
from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.engines.base import default_threads
from hand_pose_ros.evaluation.recording import peak_memory_mb
from hand_pose_ros.evaluation.report import Report, Table, facts
from hand_pose_ros.options import build
from hand_pose_ros.pipeline import timing
from hand_pose_ros.pipeline.pipeline import Pipeline
from hand_pose_ros.pipeline.timing import STAGES
from hand_pose_ros.sources.bag import BagReader
from hand_pose_ros.types import Frame, HandEstimate

ROOT = Path(__file__).resolve().parents[1]
WARM_UP = 10


@dataclass(frozen=True)
class Measurement:
    """Wall and CPU seconds, the stages' milliseconds and the number of hands of every frame of every pass.

    `seen` are the hands of the first pass by stamp.
    """

    wall: tuple[float, ...]
    cpu: tuple[float, ...]
    stages: tuple[dict[str, float], ...]
    hands: tuple[int, ...]
    seen: dict[int, tuple[HandEstimate, ...]]


def measure(pipeline: Pipeline, frames: Sequence[Frame], repeat: int) -> Measurement:
    """Process the frames `repeat` times; each pass begins with forgotten hands."""
    wall: list[float] = []
    cpu: list[float] = []
    stages: list[dict[str, float]] = []
    hands: list[int] = []
    seen: dict[int, tuple[HandEstimate, ...]] = {}
    for frame in frames[:WARM_UP]:
        pipeline.process(frame)
    for _ in range(repeat):
        pipeline.reset()
        for frame in frames:
            start, busy = time.perf_counter(), time.process_time()
            scene = pipeline.process(frame)
            wall.append(time.perf_counter() - start)
            cpu.append(time.process_time() - busy)
            stages.append(dict(scene.timings_ms))
            hands.append(len(scene.hands))
            seen.setdefault(frame.stamp_ns, scene.hands)
    return Measurement(tuple(wall), tuple(cpu), tuple(stages), tuple(hands), seen)


def taken_by_frames(pipeline: Pipeline, frames: Sequence[Frame]) -> float:
    """Median over frames of the most memory (kB) that Python and numpy held more than before the frame."""
    tracemalloc.start(1)
    peaks = []
    for frame in frames:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        pipeline.process(frame)
        peaks.append(tracemalloc.get_traced_memory()[1] - before)
    tracemalloc.stop()
    return float(np.median(peaks)) / 1e3


def report(result: Measurement, pipeline: Pipeline, frames: Sequence[Frame]) -> Report:
    """Tables and JSON of a measurement."""
    columns = {name: np.array([stage[name] for stage in result.stages]) for name in STAGES}
    columns["host"] = columns["total"] - columns["infer"] - columns["find"]
    rows = tuple(
        (name, float(ms.mean()), float(np.percentile(ms, 50)), float(np.percentile(ms, 95)))
        for name, ms in columns.items()
    )
    camera = frames[0].intrinsics
    summary: dict[str, Any] = {
        "frames": len(result.wall),
        "image": f"{camera.width}x{camera.height}",
        "hands per frame": float(np.mean(result.hands)),
        "frames per second": len(result.wall) / sum(result.wall),
        "p50 (ms)": float(np.percentile(result.wall, 50)) * 1e3,
        "p95 (ms)": float(np.percentile(result.wall, 95)) * 1e3,
        "CPU time per frame (ms)": float(np.mean(result.cpu)) * 1e3,
        "peak memory (MB)": peak_memory_mb(),
        "engine threads": pipeline.config.threads or default_threads(),
    }
    tables = (facts("Pipeline", summary), Table("Stages", ("stage", "mean ms", "p50 ms", "p95 ms"), rows, 2))
    data = {"summary": summary, "pipeline": pipeline.describe(), "counts": dict(pipeline.counts)}
    return Report("Pipeline benchmark", tables, data)


def main() -> None:
    """Read the recording, measure, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bag", type=Path, default=ROOT / "sample" / "hand_sample.mcap", help="recording to use")
    parser.add_argument("--frames", type=int, default=100, help="at most this many frames of it, held in memory")
    parser.add_argument("--repeat", type=int, default=2, help="passes over them")
    parser.add_argument("--model", default=PipelineConfig().model, help="pose model: a name or an .onnx file")
    parser.add_argument("--finder", default=PipelineConfig().finder.model, help="hand finder: a name or a file")
    parser.add_argument("--engine", default="auto", help="as the option `engine`")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads of engine and OpenCV; 0 = half the cores")
    parser.add_argument("--max-hands", type=int, default=PipelineConfig().max_hands, help="as the option `max_hands`")
    parser.add_argument("--cpu-stages", action="store_true", help="stages in CPU time, and the memory that frames take")
    parser.add_argument("--no-mesh", action="store_true", help="do not fit the hand model")
    parser.add_argument("--peer", action="store_true", help="measure MediaPipe Hands too (fetches it the first time)")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    threads = arguments.threads or default_threads()
    cv2.setNumThreads(threads)
    values = {
        "model": arguments.model,
        "finder.model": arguments.finder,
        "engine": arguments.engine,
        "threads": arguments.threads,
        "mesh": not arguments.no_mesh,
        "max_hands": arguments.max_hands,
    }
    pipeline = Pipeline(build(PipelineConfig, values))
    with BagReader(arguments.bag) as bag:
        frames = tuple(islice(bag.frames(), arguments.frames))
        truths = bag.truths
    if not frames:
        parser.error(f"{arguments.bag} holds no frames")
    # One thread's CPU time does not see what other processes take.
    clock = SimpleNamespace(perf_counter=time.process_time) if arguments.cpu_stages else time
    with mock.patch.object(timing, "time", clock):
        measured = measure(pipeline, frames, arguments.repeat)
    result = report(measured, pipeline, frames)
    if arguments.cpu_stages:
        memory = facts("Memory of a frame", {"taken and given back, p50 (kB)": taken_by_frames(pipeline, frames)})
        result = dataclasses.replace(result, tables=(*result.tables, memory))
    if arguments.peer:
        other = peer.run_peer(frames, threads, arguments.repeat, WARM_UP)
        table = peer.comparison(measured.wall, measured.cpu, peer.judge(measured.seen, truths), other, truths)
        result = dataclasses.replace(result, tables=(*result.tables, table), notes=peer.NOTES)
    print(result.text())
    result.write_json(arguments.json)


if __name__ == "__main__":
    main()
