"""A recording through the pipeline, frame by frame: what a bag evaluation and its report are made of."""

from __future__ import annotations

import dataclasses
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hand_pose_ros.evaluation.accuracy import Accuracy, AccuracyMeter, LatencyMeter
from hand_pose_ros.evaluation.recording_objects import ObjectAccuracy, ObjectMeter, object_table
from hand_pose_ros.evaluation.report import Cell, Report, Table, facts
from hand_pose_ros.evaluation.tables import (
    accuracy_data,
    detection_table,
    error_table,
    joint_table,
    latency_table,
    reliability_table,
    stability_table,
)
from hand_pose_ros.types import Frame, Scene


class Processor(Protocol):
    """What turns a frame into a scene: `hand_pose_ros.pipeline.pipeline.Pipeline`."""

    def process(self, frame: Frame) -> Scene:
        """The hands of one frame."""


# Called with every frame, its scene and, where there is one, its true scene.
Observer = Callable[[Frame, Scene, "Scene | None"], None]


@dataclass(frozen=True)
class RecordingResult:
    """What came of a recording.

    Attributes:
        frames: processed.
        frames_with_hands: frames in which at least one hand was found.
        hands: found in all.
        accuracy: against the truth, or None where the recording has none.
        latency: stage -> mean, p50, p95 in milliseconds.
        pipeline_fps: frames per second of the pipeline alone.
        read_ms: mean time to read and decode a frame.
        read_fps: frames per second of reading and pipeline together (without writing results).
        dropped: hands dropped by the pipeline, by reason.
        peak_memory_mb: highest resident memory of this process so far.
        objects: against the truth; None where there are none, neither true nor estimated.
    """

    frames: int
    frames_with_hands: int
    hands: int
    accuracy: Accuracy | None
    latency: dict[str, dict[str, float]]
    pipeline_fps: float
    read_ms: float
    read_fps: float
    dropped: dict[str, int]
    peak_memory_mb: float
    objects: ObjectAccuracy | None = None


def evaluate_recording(
    frames: Iterable[Frame],
    pipeline: Processor,
    truths: Mapping[int, Scene],
    observers: Sequence[Observer] = (),
) -> RecordingResult:
    """Process every frame and hand it on to the observers; no frame is kept.

    Args:
        frames: in the order of their stamps.
        pipeline: what is measured.
        truths: true scenes by stamp; frames without one count for speed only.
        observers: write, draw or show progress; their time is not measured.
    """
    accuracy, latency, things = AccuracyMeter(), LatencyMeter(), ObjectMeter()
    count = with_hands = hands = judged = 0
    read_seconds = 0.0
    dropped: Counter[str] = Counter()
    for frame, seconds in _timed(frames):
        scene = pipeline.process(frame)
        truth = truths.get(frame.stamp_ns)
        count, read_seconds = count + 1, read_seconds + seconds
        with_hands, hands = with_hands + bool(scene.hands), hands + len(scene.hands)
        dropped.update(scene.dropped)
        latency.add(scene)
        if truth is not None:
            judged += 1
            accuracy.add(scene, truth.hands)
            things.add(scene.objects, truth.objects)
        for observe in observers:
            observe(frame, scene, truth)
    busy = read_seconds + (count / latency.frames_per_second if count else 0.0)
    return RecordingResult(
        frames=count,
        frames_with_hands=with_hands,
        hands=hands,
        accuracy=accuracy.result() if judged else None,
        latency=latency.summary(),
        pipeline_fps=latency.frames_per_second,
        read_ms=1e3 * read_seconds / count if count else float("nan"),
        read_fps=count / busy if busy > 0 else float("nan"),
        dropped=dict(dropped),
        peak_memory_mb=peak_memory_mb(),
        objects=things.result(),
    )


def _timed(frames: Iterable[Frame]) -> Iterator[tuple[Frame, float]]:
    """Frames with the seconds it took to get each."""
    iterator = iter(frames)
    while True:
        start = time.perf_counter()
        frame = next(iterator, None)
        if frame is None:
            return
        yield frame, time.perf_counter() - start


def peak_memory_mb() -> float:
    """The highest resident memory of this process so far, in MB (10^6 bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts in KiB, macOS in bytes.
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def summary_table(result: RecordingResult, title: str) -> Table:
    """The few figures that matter, for the terminal."""
    rows: dict[str, Cell] = {
        "frames": result.frames,
        "frames with a hand": result.frames_with_hands,
        "hands found": result.hands,
    }
    if result.accuracy is not None:
        both = result.accuracy.counts["both"]
        rows |= {
            "hands in the truth": both.truths,
            "of these found with the right side (%)": 100 * both.recall,
            "of the hands found are true (%)": 100 * both.precision,
            "MPJPE absolute (mm)": result.accuracy.absolute * 1e3,
            "MPJPE root-relative (mm)": result.accuracy.root_relative * 1e3,
            "PA-MPJPE (mm)": result.accuracy.aligned * 1e3,
        }
        rows |= _by_side(result.accuracy)
    if result.objects is not None:
        rows |= {
            "objects in the truth": result.objects.truths,
            "of these found (%)": 100 * result.objects.found / max(result.objects.truths, 1),
            "object's place (mm)": result.objects.place * 1e3,
            "object's MSSD (mm)": result.objects.mssd * 1e3,
        }
    total = result.latency.get("total", {})
    rows |= {
        "latency p50 (ms)": total.get("p50"),
        "latency p95 (ms)": total.get("p95"),
        "frames/s, pipeline": result.pipeline_fps,
        "frames/s, with reading the bag": result.read_fps,
        "peak memory (MB)": result.peak_memory_mb,
    }
    return facts(title, rows)


def _by_side(accuracy: Accuracy) -> dict[str, Cell]:
    """Errors of the right and the left hand, where the truth has both."""
    sides = [side for side in ("right", "left") if accuracy.counts[side].truths]
    if len(sides) < 2:
        return {}
    absolute: dict[str, Cell] = {f"MPJPE absolute, {side} (mm)": accuracy.sides[side][0] * 1e3 for side in sides}
    return absolute | {f"MPJPE root-relative, {side} (mm)": accuracy.sides[side][1] * 1e3 for side in sides}


def recording_report(result: RecordingResult, title: str, about: Mapping[str, Any]) -> Report:
    """Everything that was measured; `about` (what ran on what) goes into the JSON."""
    tables = [summary_table(result, "Summary")]
    if result.accuracy is not None:
        make = (error_table, detection_table, joint_table, reliability_table, stability_table)
        tables += [table(result.accuracy) for table in make]
    if result.objects is not None:
        tables.append(object_table(result.objects))
    tables.append(latency_table(result.latency))
    data = {
        "about": about,
        "frames": result.frames,
        "hands": result.hands,
        "latency_ms": result.latency,
        "pipeline_fps": result.pipeline_fps,
        "read_fps": result.read_fps,
        "peak_memory_mb": result.peak_memory_mb,
        "dropped_hands": result.dropped,
        "accuracy": None if result.accuracy is None else accuracy_data(result.accuracy),
        "objects": None if result.objects is None else dataclasses.asdict(result.objects),
    }
    return Report(title, tuple(tables), data)
