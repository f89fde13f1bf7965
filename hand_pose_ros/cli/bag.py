"""`hand_pose bag`: a recording in; a recording of the hands, overlays, a film and the figures out."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hand_pose_ros.cli.errors import UsageError
from hand_pose_ros.cli.outputs import OverlayRecorder, output_folder, save_curves
from hand_pose_ros.cli.settings import add_settings, settings
from hand_pose_ros.config import NodeConfig
from hand_pose_ros.evaluation.recording import (
    RecordingResult,
    evaluate_recording,
    recording_report,
    summary_table,
)
from hand_pose_ros.evaluation.report import Table, facts
from hand_pose_ros.options import flatten
from hand_pose_ros.pipeline.hand_models import load_hand_models
from hand_pose_ros.pipeline.pipeline import Pipeline
from hand_pose_ros.skeleton import Side
from hand_pose_ros.sources.bag import BagReader
from hand_pose_ros.sources.bag_topics import BagTopics
from hand_pose_ros.sources.bag_writer import BagWriter
from hand_pose_ros.types import Frame, Intrinsics, Scene
from hand_pose_ros.visualization.video import CODECS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    parser.add_argument("bag", type=Path, metavar="BAG", help="rosbag2 folder, .mcap or .db3 file")
    parser.add_argument("--out", type=Path, help="output folder (default: out/<name of the recording>)")
    parser.add_argument("--pictures", type=int, default=6, metavar="N", help="overlay pictures (default: 6)")
    parser.add_argument(
        "--film",
        choices=(*CODECS, "none"),
        default=".mp4",
        help="format of the film (default: .mp4; browsers want .webm)",
    )
    parser.add_argument("--images", action="store_true", help="write the images into the output bag as well")
    parser.add_argument("--max-frames", type=int, metavar="N", help="stop after this many frames")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    source = parser.add_argument_group("topics", "found by type and encoding unless named; an empty name does without")
    source.add_argument("--color", metavar="TOPIC", help="colour image topic, raw or compressed")
    source.add_argument("--depth", metavar="TOPIC", help="depth image topic aligned to colour, raw or compressedDepth")
    source.add_argument("--camera-info", metavar="TOPIC", help="camera_info topic of the colour image")
    source.add_argument("--truth", metavar="TOPIC", help="HandArray topic with the truth")
    source.add_argument(
        "--intrinsics",
        type=float,
        nargs=6,
        metavar=("FX", "FY", "CX", "CY", "WIDTH", "HEIGHT"),
        help="camera, in pixels, for recordings without camera_info",
    )
    add_settings(parser, ("pipeline", "sync"))


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    config = settings(args)
    if args.pictures < 0 or (args.max_frames is not None and args.max_frames < 1):
        raise UsageError("--pictures: expected 0 or more; --max-frames: expected 1 or more")
    out = output_folder(args.out or Path("out") / args.bag.stem)
    topics = BagTopics(args.color, args.depth, args.camera_info, args.truth)
    tolerance_ns = round(config.sync.tolerance_ms * 1e6)
    with BagReader(args.bag, topics, intrinsics=_intrinsics(args), tolerance_ns=tolerance_ns) as reader:
        pipeline = Pipeline(config.pipeline)
        result, recorder = _process(args, reader, pipeline, out)
        about = _about(args.bag, config, pipeline, reader)
    if not result.frames:
        raise UsageError(_nothing(args.bag, reader))
    report = recording_report(result, f"Hands in {args.bag.name}", about)
    paths = report.write(out, "report")
    _print(result, reader, {"report": paths[1], "figures (JSON)": paths[0], **_written(out, recorder, result)})
    return 0


def _process(
    args: argparse.Namespace, reader: BagReader, pipeline: Pipeline, out: Path
) -> tuple[RecordingResult, OverlayRecorder]:
    models = load_hand_models(pipeline.config)
    faces = {side: model.faces for side, model in models.items()}
    expected = min(reader.expected_frames, args.max_frames or reader.expected_frames)
    with ExitStack() as stack:
        writer = stack.enter_context(BagWriter(out / "hands", overwrite=True))
        film = "" if args.film == "none" else args.film
        recorder = stack.enter_context(OverlayRecorder(out, faces, expected, args.pictures, film))
        bar = stack.enter_context(tqdm(total=expected, unit="frame", disable=args.quiet, mininterval=0.3))

        def store(frame: Frame, scene: Scene, truth: Scene | None) -> None:
            camera = frame.intrinsics
            if not bar.n:
                name = "mano" if pipeline.config.mano_path else "bundled"
                writer.write_topology(name, models[Side.RIGHT].num_vertices, faces, frame.stamp_ns)
            if args.images:
                writer.write_frame(frame, depth="png")
            writer.write_scene(scene, (camera.width, camera.height))
            bar.update()

        frames = reader.frames()
        limited = (frame for frame, _ in zip(frames, range(expected), strict=False))
        return evaluate_recording(limited, pipeline, reader.truths, (recorder, store)), recorder


def _intrinsics(args: argparse.Namespace) -> Intrinsics | None:
    if args.intrinsics is None:
        return None
    fx, fy, cx, cy, width, height = args.intrinsics
    return Intrinsics(fx, fy, cx, cy, int(width), int(height))


def _about(bag: Path, config: NodeConfig, pipeline: Pipeline, reader: BagReader) -> dict[str, Any]:
    return {
        "recording": bag.name,
        "topics": {name: topic for name, topic in vars(reader.topics).items() if topic},
        "pipeline": pipeline.describe(),
        "config": flatten(config.pipeline),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "dropped_images": dict(reader.drops),
        "problems": list(reader.problems),
    }


def _written(out: Path, recorder: OverlayRecorder, result: RecordingResult) -> dict[str, Path]:
    written = {"recording of the hands": out / "hands"}
    if recorder.film is not None and recorder.film.exists():
        written["film"] = recorder.film
    if recorder.pictures:
        written["overlay pictures"] = out / "overlay_*.jpg"
    if result.accuracy is not None and result.accuracy.hands:
        written["error curves"] = out / "pck.png"
        save_curves(written["error curves"], result.accuracy)
    return written


def _nothing(bag: Path, reader: BagReader) -> str:
    reasons = ", ".join(f"{count} {reason}" for reason, count in reader.drops.items()) or "no images"
    problems = "".join(f"\n  {problem}" for problem in reader.problems[:5])
    return (
        f"{bag}: no frame could be put together ({reasons}); colour and depth need equal stamps, see --sync{problems}"
    )


def _print(result: RecordingResult, reader: BagReader, written: Mapping[str, Path]) -> None:
    print(summary_table(result, "Summary").text())
    losses = {**reader.drops, **{f"hands: {reason}": count for reason, count in result.dropped.items()}}
    if losses:
        print("\n" + facts("Dropped", losses).text())
    for problem in reader.problems[:5]:
        print(f"warning: {problem}")
    rows = tuple((name, str(path)) for name, path in written.items())
    print("\n" + Table("Where to look", ("what", "where"), rows).text())
