"""MediaPipe Hands on exported frames, as robots use it: a 2D tracker, lifted by looking up the depth.

    .venv-mediapipe/bin/python benchmarks/peer_mediapipe.py FRAMES result.json [--threads 1]

Runs by itself in an environment of its own (mediapipe 0.10.21, numpy < 2; `benchmarks/peer.py` makes it and calls
this). FRAMES is a folder of `color.npy` (N, H, W, 3) uint8 RGB, `depth.npy` (N, H, W) float32 metres (0 = no reading),
`stamps.npy` (N,) int64 nanoseconds and `camera.json` (fx, fy, cx, cy; integer pixel coordinates are pixel centres).

Settings: video mode, the full landmark model, two hands, thresholds 0.5 (MediaPipe's own defaults). On this kind of
machine it infers with one thread per network; `--threads` sets the threads of its graph, which runs networks side by
side.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

GRAPH = "modules/hand_landmark/hand_landmark_tracking_cpu.binarypb"
WINDOW_RADIUS = 2  # the depth of a landmark is the median over 5x5 pixels
BLACK_FRAMES = 3


def person_side(label: str) -> str:
    """The person's own side: MediaPipe's label holds for mirrored pictures (a selfie camera's), these are not."""
    return {"Left": "right", "Right": "left"}[label]


def to_pixels(normalized: Any, width: int, height: int) -> Any:
    """Landmarks (..., 2) in 0..1 from edge to edge of the image -> pixels whose centres are integers."""
    return np.asarray(normalized, dtype=np.float64) * (width, height) - 0.5


def depth_at(pixels: Any, depth: Any, radius: int = WINDOW_RADIUS) -> Any:
    """Median of the readings in the window around each of the pixels (J, 2); (J,) metres, NaN where there is none."""
    columns, rows = np.rint(np.asarray(pixels)).astype(int).T
    steps = np.arange(-radius, radius + 1)
    v = rows[:, None, None] + steps[:, None]
    u = columns[:, None, None] + steps
    v, u = np.broadcast_arrays(v, u)
    height, width = depth.shape
    inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
    window = np.where(inside, depth[v.clip(0, height - 1), u.clip(0, width - 1)], 0.0).reshape(len(rows), -1)
    ordered = np.sort(np.where(window > 0, window, np.inf), axis=1)
    count = (window > 0).sum(axis=1)
    each = np.arange(len(rows))
    median = (ordered[each, (count - 1) // 2] + ordered[each, count // 2]) / 2
    return np.where(count > 0, median, np.nan)


def lift(pixels: Any, depth: Any, camera: dict[str, float]) -> tuple[Any, Any] | None:
    """Landmarks (J, 2) in pixels -> points (J, 3) in camera metres on the visible surface, and which had a reading.

    A landmark without a reading gets the median depth of the others, as users do; None where there is none at all.
    """
    pixels = np.asarray(pixels, dtype=np.float64)
    z = depth_at(pixels, depth)
    read = np.isfinite(z)
    if not read.any():
        return None
    z = np.where(read, z, np.median(z[read]))
    x = (pixels[:, 0] - camera["cx"]) / camera["fx"] * z
    y = (pixels[:, 1] - camera["cy"]) / camera["fy"] * z
    return np.stack([x, y, z], axis=1), read


def in_place(world: Any, joints: Any, read: Any) -> Any:
    """The peer's own metric shape (J, 3), moved to where most of the looked-up joints (J, 3) with a reading are."""
    return world + np.median((joints - world)[read], axis=0)


def open_tracker(threads: int) -> Any:
    """MediaPipe Hands with the defaults of `mp.solutions.hands.Hands` and as many graph threads."""
    import mediapipe
    from mediapipe.framework import calculator_pb2
    from mediapipe.python.solution_base import SolutionBase

    config = calculator_pb2.CalculatorGraphConfig()
    config.ParseFromString((Path(mediapipe.__file__).parent / GRAPH).read_bytes())
    config.num_threads = threads
    return SolutionBase(
        graph_config=config,
        side_inputs={"model_complexity": 1, "num_hands": 2, "use_prev_landmarks": True},
        calculator_params={
            "palmdetectioncpu__TensorsToDetectionsCalculator.min_score_thresh": 0.5,
            "handlandmarkcpu__ThresholdingCalculator.threshold": 0.5,
        },
        outputs=["multi_hand_landmarks", "multi_hand_world_landmarks", "multi_handedness"],
    )


def hands_of(answer: Any, width: int, height: int) -> Iterator[dict[str, Any]]:
    """MediaPipe's hands: side, score, pixels (21, 2) and its own metric landmarks (21, 3), centred on the hand."""
    found = zip(
        answer.multi_hand_landmarks or (),
        answer.multi_hand_world_landmarks or (),
        answer.multi_handedness or (),
        strict=True,
    )
    for landmarks, world, handedness in found:
        label = handedness.classification[0]
        yield {
            "side": person_side(label.label),
            "score": float(label.score),
            "pixels": to_pixels([(p.x, p.y) for p in landmarks.landmark], width, height),
            "world": np.array([(p.x, p.y, p.z) for p in world.landmark]),
        }


def track(tracker: Any, color: Any, depth: Any, camera: dict[str, float]) -> dict[str, Any]:
    """One frame: the hands, and the milliseconds (wall; CPU of all threads) of the tracker and of tracker and lift."""
    start, busy = time.perf_counter(), time.process_time()
    answer = tracker.process({"image": color})
    tracked, tracked_busy = time.perf_counter(), time.process_time()
    hands = list(hands_of(answer, color.shape[1], color.shape[0]))
    lifted = [lift(hand["pixels"], depth, camera) for hand in hands]
    wall, cpu = time.perf_counter() - start, time.process_time() - busy
    for hand, points in zip(hands, lifted, strict=True):
        joints, read = points or (None, np.zeros(len(hand["pixels"]), dtype=bool))
        hand["joints"], hand["read"] = joints, read
        hand["own_shape"] = None if joints is None else in_place(hand["world"], joints, read)
    return {
        "wall_ms": 1e3 * wall,
        "cpu_ms": 1e3 * cpu,
        "tracker_wall_ms": 1e3 * (tracked - start),
        "tracker_cpu_ms": 1e3 * (tracked_busy - busy),
        "hands": hands,
    }


def measure(folder: Path, threads: int, repeat: int, warm_up: int) -> list[dict[str, Any]]:
    """All frames `repeat` times, after `warm_up` frames; each pass begins with forgotten hands."""
    color, depth = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("color", "depth"))
    stamps = np.load(folder / "stamps.npy")
    camera = json.loads((folder / "camera.json").read_text(encoding="utf-8"))
    tracker = open_tracker(threads)
    for index in range(min(warm_up, len(stamps))):
        tracker.process({"image": np.array(color[index])})
    results = []
    black = np.zeros(color.shape[1:], dtype=np.uint8)
    for number in range(repeat):
        # Black pictures make it lose its hands. Its `reset` would also load the networks anew, inside the next frame.
        for _ in range(BLACK_FRAMES):
            tracker.process({"image": black})
        for index, stamp in enumerate(stamps):
            # Copied before the clock starts: reading the file is nobody's work.
            result = track(tracker, np.array(color[index]), np.array(depth[index]), camera)
            results.append({"pass": number, "stamp_ns": int(stamp), **result})
    tracker.close()
    return results


def plain(value: Any) -> Any:
    """numpy made fit for JSON; NaN becomes null."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("frames", type=Path, metavar="FRAMES", help="folder with the exported frames")
    parser.add_argument("result", type=Path, help="JSON to write")
    parser.add_argument("--threads", type=int, default=1, help="threads of MediaPipe's graph")
    parser.add_argument("--repeat", type=int, default=1, help="passes over the frames")
    parser.add_argument("--warm-up", type=int, default=10, help="frames before the first pass")
    options = parser.parse_args(arguments)
    from importlib.metadata import version

    frames = measure(options.frames, options.threads, options.repeat, options.warm_up)
    result = {"peer": f"MediaPipe Hands {version('mediapipe')}", "threads": options.threads, "frames": frames}
    options.result.write_text(json.dumps(plain(result)), encoding="utf-8")


if __name__ == "__main__":
    main()
