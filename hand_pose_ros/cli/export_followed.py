"""`hand_pose export handformer2t_followed`: a model's looks at a hand that is followed, beside its file."""

from __future__ import annotations

import argparse
from typing import Final

from hand_pose_ros.cli.errors import UsageError, load
from hand_pose_ros.pipeline.followed_looks import followed_path

RECIPE: Final = "handformer2t_followed"


def export(args: argparse.Namespace) -> int:
    """Writes the file that the pipeline looks for; its weights are read from the model's."""
    model = args.checkpoint
    if model.suffix != ".onnx":
        raise UsageError(f"--checkpoint {model}: expected a model file (.onnx), whose looks these are")
    if args.out.resolve() != followed_path(model).resolve():
        raise UsageError(f"--out: expected {followed_path(model)}, where it is looked for, got {args.out}")
    if args.precision != "fp32" or args.batch != 1:
        raise UsageError(
            f"{RECIPE}: precision and batch are those of the model's weights and of one hand; leave both out"
        )
    load("onnx")
    deploy = load("hand_pose_ros.training.handformer2t_deploy")
    try:
        deploy.export_followed_looks(model)
    except load("hand_pose_ros.training.errors").TrainingError as error:
        raise UsageError(str(error)) from error
    size = args.out.stat().st_size
    print(f"{args.out}: {size / 1e3:.0f} kB, weights in {model.name}; card: {args.out.with_suffix('.md')}")
    return 0
