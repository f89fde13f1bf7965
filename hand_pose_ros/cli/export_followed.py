"""`hand_pose export handformer2t_followed`: a model's looks at a hand that is followed, beside its file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from hand_pose_ros.cli.errors import UsageError, load
from hand_pose_ros.pipeline.followed_looks import followed_path

RECIPE: Final = "handformer2t_followed"
# What other exports read, and what it is where it is not given.
_NEEDLESS: Final[dict[str, object]] = {
    "precision": "fp32",
    "batch": 1,
    "half_weights": False,
    "data": "",
    "training": "",
    **dict.fromkeys(
        ("validation", "check", "blend", "save_weights", "closer", "depth_look", "published", "hand_model")
    ),
}


def export(args: argparse.Namespace) -> int:
    """Writes the file that the pipeline looks for; its weights are read from the model's."""
    model = args.checkpoint
    if model.suffix != ".onnx":
        raise UsageError(f"--checkpoint {model}: expected a model file (.onnx), whose looks these are")
    if args.out.resolve() != followed_path(model).resolve():
        raise UsageError(f"--out: expected {followed_path(model)}, where it is looked for, got {args.out}")
    given = [name for name, usual in _NEEDLESS.items() if getattr(args, name) != usual]
    if given:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given).replace("--training", "--command")
        raise UsageError(f"{RECIPE}: the model's file says it all; leave out {options}")
    load("onnx")
    deploy = load("hand_pose_ros.training.handformer2t_deploy")
    try:
        deploy.export_followed_looks(model)
    except load("hand_pose_ros.training.errors").TrainingError as error:
        raise UsageError(str(error)) from error
    size = args.out.stat().st_size
    print(f"{args.out}: {size / 1e3:.0f} kB, weights in {model.name}; card: {args.out.with_suffix('.md')}")
    return 0


def hint(model: Path) -> str:
    """What to do next with a model's file that has looks."""
    where = f"--checkpoint {model} --out {followed_path(model)}"
    return f"to follow hands by its looks alone, four times as fast: `hand_pose export {RECIPE} {where}`"
