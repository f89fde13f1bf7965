"""`hand_pose synth`: synthetic training data."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from tqdm import tqdm

from hand_pose_ros.cli.errors import UsageError, load
from hand_pose_ros.cli.settings import add_option
from hand_pose_ros.config import build, options
from hand_pose_ros.datasets.synthetic.shards import shard_sizes, write_shards
from hand_pose_ros.datasets.synthetic.spec import SyntheticConfig

_DEST = "synthetic."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True)
    for kind, text in (
        ("crops", "crops around one hand, for the pose network"),
        ("frames", "whole small frames, for the hand finder"),
    ):
        chosen = kinds.add_parser(kind, help=text, description=text[0].upper() + text[1:] + ".")
        chosen.add_argument("--out", type=Path, required=True, help="folder of the shards; whole ones there are kept")
        chosen.add_argument("--count", type=int, required=True, help="samples in all")
        chosen.add_argument("--seed", type=int, default=0, help="equal seeds give equal data (default: 0)")
        workers = os.cpu_count() or 1
        chosen.add_argument("--workers", type=int, default=workers, help=f"processes (default: {workers})")
        section = chosen.add_argument_group("scene options")
        for item in options(SyntheticConfig):
            add_option(section, item, item.name, _DEST + item.name)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    if args.count < 1 or args.workers < 1:
        raise UsageError(f"--count and --workers: expected at least 1, got {args.count} and {args.workers}")
    values = {name.removeprefix(_DEST): value for name, value in vars(args).items() if name.startswith(_DEST)}
    config = build(SyntheticConfig, values)
    load("moderngl")
    total = len(shard_sizes(args.count))
    with tqdm(total=total, unit="shard") as bar:
        there = sum(1 for path in args.out.glob(f"{args.kind}-*") if path.is_dir()) if args.out.exists() else 0
        bar.update(min(there, total))

        def finished(_: Path) -> None:
            bar.update()

        write_shards(args.out, args.kind, args.count, args.seed, args.workers, config, finished)
    print(f"{args.count} {args.kind} (seed {args.seed}): {args.out}")
    return 0
