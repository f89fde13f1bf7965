"""`hand_pose train`: a network on synthetic shards, in pieces that resume."""

from __future__ import annotations

import argparse
from pathlib import Path

from hand_pose_ros.cli.errors import UsageError, load


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    parser.add_argument("recipe", metavar="RECIPE", help="kpt_fusion_lite, kpt_fusion_r18, hand_check or hand_finder")
    parser.add_argument(
        "--data", type=Path, nargs="+", required=True, help="folders of shards to train on (`hand_pose synth`)"
    )
    parser.add_argument("--validation", type=Path, required=True, help="shards of another seed")
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoint and logs")
    parser.add_argument("--samples", type=int, default=1_000_000, help="samples in all (default: 1000000)")
    parser.add_argument("--steps", type=int, default=0, help="optimiser steps in all; 0 follows from --samples")
    parser.add_argument(
        "--depth-steps", type=int, default=0, help="first steps that train the depth branch alone (pose networks)"
    )
    parser.add_argument("--learning-rate", type=float, default=8e-4, help="peak of the schedule (default: 0.0008)")
    parser.add_argument("--minutes", type=float, default=0.0, help="stop after this long, to be resumed; 0: never")
    parser.add_argument("--init", type=Path, metavar="FILE.pt", help="weights to start from (models/weights)")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in --out")
    parser.add_argument("--validate-every", type=int, default=500, help="steps between validations (default: 500)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 leaves torch's default")
    parser.add_argument("--accelerator", default="auto", choices=("auto", "cpu", "gpu"))


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    for folder in (*args.data, args.validation):
        if not folder.is_dir():
            raise UsageError(f"{folder}: expected a folder of shards; make them with `hand_pose synth`")
    if args.init is not None and not args.init.is_file():
        raise UsageError(f"--init {args.init}: no such file; `hand_pose export --save-weights` writes one")
    if args.samples < 1 or args.steps < 0 or args.learning_rate <= 0 or args.validate_every < 1:
        raise UsageError("--samples and --validate-every: at least 1; --steps: 0 or more; --learning-rate: above 0")
    recipes = load("hand_pose_ros.training.recipes")
    if args.recipe not in recipes.RECIPES:
        raise UsageError(f"expected a recipe among {', '.join(recipes.RECIPES)}, got {args.recipe!r}")
    settings = load("hand_pose_ros.training.run").RunSettings(
        out=args.out,
        steps=args.steps or max(args.samples // recipes.batch_size(args.recipe), 1),
        minutes=args.minutes,
        resume=args.resume,
        validate_every=args.validate_every,
        seed=args.seed,
        threads=args.threads,
        accelerator=args.accelerator,
        initial=args.init,
    )
    try:
        checkpoint = recipes.run_recipe(
            args.recipe, args.data, args.validation, args.learning_rate, settings, args.depth_steps
        )
    except load("hand_pose_ros.training.shards").ShardError as error:
        raise UsageError(str(error)) from error
    print(f"checkpoint: {checkpoint}")
    return 0
