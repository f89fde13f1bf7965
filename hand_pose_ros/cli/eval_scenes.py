"""`hand_pose eval scenes`: a network of two hands on stored synthetic scenes, its crop taken from the truth."""

from __future__ import annotations

import argparse
from pathlib import Path

from hand_pose_ros.cli.errors import UsageError
from hand_pose_ros.cli.outputs import save_reliability
from hand_pose_ros.engines.base import EngineError
from hand_pose_ros.engines.factory import create_engine
from hand_pose_ros.engines.zoo import find_model
from hand_pose_ros.evaluation.report import Report
from hand_pose_ros.evaluation.scene_shards import predict, score_tables, scores
from hand_pose_ros.pipeline.scene_network import taken_by, takes_depth


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of `hand_pose synth scenes`, of an unused seed"
    )
    parser.add_argument("--model", default="handformer2t_lite", help="name or .onnx file (default: handformer2t_lite)")
    parser.add_argument("--count", type=int, default=1000, help="scenes (default: 1000)")
    parser.add_argument(
        "--depth",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="show depth to a network that reads it, as with a depth camera (default: yes)",
    )
    parser.add_argument("--engine", default="auto", help="what runs the network (default: auto)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: half of the cores")
    parser.add_argument("--out", type=Path, default=Path("out/eval"), help="output folder (default: out/eval)")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    if args.count < 1:
        raise UsageError(f"--count: expected at least 1, got {args.count}")
    try:
        engine = create_engine(find_model(args.model), args.engine, args.threads)
    except EngineError as error:
        raise UsageError(str(error)) from error
    shape, depth = engine.inputs[0].shape, takes_depth(engine)
    if engine.metadata.get("model") != "handformer2t" or shape[1] is None:
        raise UsageError(f"--model {args.model}: expected a Handformer2T, got {engine.metadata.get('model')!r}")
    try:
        found = predict(engine.run, int(shape[1]), args.data, args.count, taken_by(engine), args.depth)
    except FileNotFoundError as error:
        raise UsageError(str(error)) from error
    result = scores(found)
    about = {"model": str(args.model), "data": str(args.data), "count": len(found.present), "engine": engine.name}
    about["input"] = "colour and depth" if depth and args.depth else "colour"
    report = Report(f"{args.model} on {len(found.present)} scenes", score_tables(result), {"about": about})
    paths = report.write(args.out, "scenes")
    save_reliability(args.out / "scenes_reliability.png", result.reliability)
    print(report.text())
    print(f"\nwritten: {paths[1]}, {paths[0]}")
    return 0
