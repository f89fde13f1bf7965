"""`hand_pose images`: colour and depth pictures in, overlays and joints out."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hand_pose_ros.cli.errors import UsageError
from hand_pose_ros.cli.outputs import output_folder, save_picture
from hand_pose_ros.cli.settings import add_settings, settings
from hand_pose_ros.evaluation.report import Table
from hand_pose_ros.pipeline.hand_models import load_hand_models
from hand_pose_ros.pipeline.inside import open_inside, parse_joint
from hand_pose_ros.pipeline.pipeline import Pipeline
from hand_pose_ros.skeleton import JOINT_NAMES
from hand_pose_ros.sources.images import image_frame
from hand_pose_ros.types import HandEstimate, ObjectEstimate, Scene
from hand_pose_ros.visualization.inside import draw_inside
from hand_pose_ros.visualization.panel import compose


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    parser.add_argument("--color", type=Path, nargs="+", default=[], metavar="PICTURE", help="colour pictures")
    parser.add_argument(
        "--depth", type=Path, nargs="+", default=[], metavar="PICTURE", help="16-bit depth pictures aligned to colour"
    )
    parser.add_argument(
        "--intrinsics", type=float, nargs=4, required=True, metavar=("FX", "FY", "CX", "CY"), help="camera, in pixels"
    )
    parser.add_argument(
        "--depth-unit", type=float, default=0.001, metavar="METRES", help="metres per depth unit (default: 0.001)"
    )
    parser.add_argument("--out", type=Path, default=Path("out/images"), help="output folder (default: out/images)")
    parser.add_argument(
        "--sequence", action="store_true", help="the pictures follow each other at 30 Hz: track the hands"
    )
    parser.add_argument(
        "--inside",
        metavar="JOINT",
        help="Keypoint Transformer: also its keypoints with what they were taken for, and what a joint attends to, as "
        "right_index_tip",
    )
    add_settings(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    pairs = _pairs(args.color, args.depth)
    if args.depth_unit <= 0:
        raise UsageError(f"--depth-unit: expected metres per unit above 0, got {args.depth_unit}")
    output_folder(args.out)
    joint = None if args.inside is None else parse_joint(args.inside)
    pipeline = Pipeline(settings(args).pipeline)
    inside = None if joint is None else open_inside(pipeline.config)
    faces = {side: model.faces for side, model in load_hand_models(pipeline.config).items()}
    results = []
    for index, (color, depth) in enumerate(tqdm(pairs, unit="picture", disable=len(pairs) == 1)):
        frame = image_frame(color, depth, args.depth_unit, tuple(args.intrinsics), index * 33_333_333)
        if not args.sequence:
            pipeline.reset()
        scene = pipeline.process(frame)
        picture = args.out / f"{index:04d}.jpg"
        save_picture(picture, compose(frame, scene, faces))
        if inside is not None and joint is not None:
            seen = inside.look(frame, scene.hands, *joint)
            save_picture(args.out / f"{index:04d}_inside.png", draw_inside(seen))
        results.append({"color": _text(color), "depth": _text(depth), "overlay": str(picture), **_record(scene)})
    path = args.out / "hands.json"
    path.write_text(json.dumps({"joint_names": JOINT_NAMES, "pictures": results}, indent=1) + "\n", encoding="utf-8")
    print(_table(results).text())
    print(f"\noverlays: {args.out}\njoints:   {path}")
    return 0


def _pairs(colors: list[Path], depths: list[Path]) -> list[tuple[Path | None, Path | None]]:
    if not colors and not depths:
        raise UsageError("expected pictures: --color, --depth or both")
    if colors and depths and len(colors) != len(depths):
        raise UsageError(f"expected as many depth as colour pictures, got {len(depths)} and {len(colors)}")
    nothing: list[Path | None] = [None] * max(len(colors), len(depths))
    return list(zip(colors or nothing, depths or nothing, strict=True))


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _record(scene: Scene) -> dict[str, Any]:
    return {
        "hands": [_hand(hand) for hand in scene.hands],
        "objects": [_object(item) for item in scene.objects],
        "dropped": dict(scene.dropped),
        "timings_ms": dict(scene.timings_ms),
    }


def _hand(hand: HandEstimate) -> dict[str, Any]:
    return {
        "side": hand.side.value,
        "score": float(hand.score),
        "joints_m": hand.joints.tolist(),
        "joint_std_m": hand.joint_std.tolist(),
        "joint_valid": hand.joint_valid.tolist(),
        "wrist_position_m": hand.wrist.position.tolist(),
        "wrist_quaternion_xyzw": hand.wrist.quaternion.tolist(),
    }


def _object(item: ObjectEstimate) -> dict[str, Any]:
    return {
        "name": item.name,
        "score": float(item.score),
        "rotation": item.rotation.tolist(),
        "translation_m": item.translation.tolist(),
        "extent_m": item.extent.tolist(),
    }


def _table(results: list[dict[str, Any]]) -> Table:
    rows = tuple(
        (
            Path(item["overlay"]).name,
            ", ".join(f"{hand['side']} {hand['score']:.2f}" for hand in item["hands"]) or "none",
            float(item["timings_ms"].get("total", float("nan"))),
        )
        for item in results
    )
    return Table("Pictures", ("picture", "hands", "ms"), rows)
