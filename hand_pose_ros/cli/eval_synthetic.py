"""`hand_pose eval synthetic`: the whole pipeline, its own hand finder included, on rendered frames it never saw."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from hand_pose_ros.cli.errors import UsageError, load
from hand_pose_ros.cli.outputs import save_curves, save_picture, save_reliability
from hand_pose_ros.cli.settings import add_settings, settings
from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.evaluation.accuracy import AccuracyMeter, LatencyMeter
from hand_pose_ros.evaluation.detection import match_hands
from hand_pose_ros.evaluation.known_side import KnownSideEstimator, KnownSideFinder
from hand_pose_ros.evaluation.networks import open_estimator, open_finder
from hand_pose_ros.evaluation.report import Report
from hand_pose_ros.evaluation.tables import (
    accuracy_data,
    detection_table,
    error_table,
    joint_table,
    latency_table,
    reliability_table,
)
from hand_pose_ros.options import flatten
from hand_pose_ros.pipeline.pipeline import Pipeline
from hand_pose_ros.types import Frame, Scene
from hand_pose_ros.visualization.panel import compose

# Training draws from small seeds; this one is kept for evaluation.
HELD_OUT_SEED = 990_001


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    parser.add_argument("--count", type=int, default=2000, help="frames (default: 2000)")
    parser.add_argument("--seed", type=int, default=HELD_OUT_SEED, help=f"of the frames (default: {HELD_OUT_SEED})")
    parser.add_argument(
        "--min-visible",
        type=float,
        default=0.25,
        metavar="SHARE",
        help="hands with a smaller share of visible joints are neither wanted nor wrong (default: 0.25)",
    )
    parser.add_argument(
        "--known-side", action="store_true", help="take left or right from the truth, to measure place and pose alone"
    )
    parser.add_argument("--depth-only", action="store_true", help="withhold the colour")
    parser.add_argument("--out", type=Path, default=Path("out/eval"), help="output folder (default: out/eval)")
    parser.add_argument("--worst", type=int, default=8, metavar="N", help="overlays of the worst frames (default: 8)")
    add_settings(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    if args.count < 1:
        raise UsageError(f"--count: expected at least 1, got {args.count}")
    config = settings(args).pipeline
    pipeline, finder = _pipeline(config, args.known_side)
    accuracy, latency = AccuracyMeter(), LatencyMeter()
    worst: list[tuple[float, int]] = []
    for index, (frame, truths) in enumerate(
        tqdm(synthetic_frames(args.seed, args.count, not args.depth_only), total=args.count, unit="frame")
    ):
        if finder is not None:
            finder.truth = [hand.truth for hand in truths]
        pipeline.reset()
        scene = pipeline.process(frame)
        latency.add(scene)
        wanted = [hand.truth for hand in truths if hand.visible_fraction >= args.min_visible]
        unwanted = [hand.truth for hand in truths if hand.visible_fraction < args.min_visible]
        for _, errors in accuracy.add(without_matches(scene, wanted, unwanted), wanted):
            worst.append((float(errors.mean()), index))
    result = accuracy.result()
    tables = (
        error_table(result),
        detection_table(result),
        joint_table(result),
        reliability_table(result),
        latency_table(latency.summary()),
    )
    asked = ("count", "seed", "min_visible", "depth_only", "known_side")
    about = {name: getattr(args, name) for name in asked}
    data = {"about": {**about, **pipeline.describe(), **flatten(config)}, "accuracy": accuracy_data(result)}
    report = Report(f"Pipeline on {args.count} held-out synthetic frames", tables, data)
    paths = report.write(args.out, "synthetic")
    if result.reliability is not None:
        save_curves(args.out / "synthetic_pck.png", result)
        save_reliability(args.out / "synthetic_reliability.png", result.reliability)
    if finder is None:
        _draw_worst(args, pipeline, sorted(worst, reverse=True)[: args.worst])
    print(report.text())
    print(f"\nwritten: {paths[1]}, {paths[0]}")
    return 0


def _pipeline(config: PipelineConfig, known_side: bool) -> tuple[Pipeline, KnownSideFinder | None]:
    if not known_side:
        return Pipeline(config), None
    finder = KnownSideFinder(open_finder(config))
    return Pipeline(config, finder, KnownSideEstimator(open_estimator(config), finder)), finder


def synthetic_frames(seed: int, count: int, with_color: bool) -> Iterator[tuple[Frame, tuple[Any, ...]]]:
    """Rendered 640x480 frames with their true hands (`FrameHand`); frame n depends only on the seed and n."""
    renderer = load("hand_pose_ros.datasets.synthetic.renderer").Renderer()
    for index in range(count):
        yield synthetic_frame(renderer, seed, index, with_color)


def synthetic_frame(renderer: Any, seed: int, index: int, with_color: bool) -> tuple[Frame, tuple[Any, ...]]:
    """Frame `index` of this seed."""
    samples = load("hand_pose_ros.datasets.synthetic.samples")
    config = load("hand_pose_ros.datasets.synthetic.spec").SyntheticConfig()
    sample = samples.frame_sample(renderer, np.random.default_rng([seed, index]), config, 640, 480)
    color = sample.color if with_color else None
    return Frame(index * 10**9, "camera", sample.intrinsics, color, sample.depth), sample.hands


def without_matches(scene: Scene, wanted: list[Any], unwanted: list[Any]) -> Scene:
    """The scene without the hands that match a true hand which is hardly seen, and so counts neither way."""
    matching = match_hands(scene.hands, [*wanted, *unwanted])
    ignored = {e for e, t in matching.pairs if t >= len(wanted)}
    hands = tuple(hand for index, hand in enumerate(scene.hands) if index not in ignored)
    return Scene(scene.stamp_ns, scene.frame_id, hands, scene.objects, scene.timings_ms, scene.dropped)


def _draw_worst(args: argparse.Namespace, pipeline: Pipeline, worst: list[tuple[float, int]]) -> None:
    if not worst:
        return
    renderer = load("hand_pose_ros.datasets.synthetic.renderer").Renderer()
    for rank, (error, index) in enumerate(worst):
        frame, _ = synthetic_frame(renderer, args.seed, index, not args.depth_only)
        pipeline.reset()
        picture = compose(frame, pipeline.process(frame))
        save_picture(args.out / f"worst_{rank:02d}_frame_{index:05d}_{1e3 * error:.0f}mm.jpg", picture)
