"""`hand_pose synth`: synthetic training data and recordings."""

from __future__ import annotations

import argparse
import itertools
import os
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hand_pose_ros.cli.errors import UsageError, load
from hand_pose_ros.cli.settings import add_option
from hand_pose_ros.datasets.synthetic.shards import shard_sizes, write_shards
from hand_pose_ros.datasets.synthetic.spec import SequenceConfig, SyntheticConfig
from hand_pose_ros.options import build, options

_DEST = "synthetic."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True)
    for kind, text in (
        ("crops", "crops around one hand, for the pose network"),
        ("frames", "whole small frames, for the hand finder"),
        ("scenes", "crops around one hand or two that meet, with what they hold, for the two-hand networks"),
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
    _add_bag(kinds)


def _add_bag(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "a recording of moving hands with its truth, as a camera would have made it"
    chosen = kinds.add_parser("bag", help=text, description=text[0].upper() + text[1:] + ".")
    chosen.add_argument("--out", type=Path, required=True, metavar="FILE", help="the recording, ending in .mcap")
    chosen.add_argument("--seed", type=int, default=0, help="equal seeds give equal recordings (default: 0)")
    chosen.add_argument("--quality", type=int, default=75, help="of the JPEG pictures, 1 to 100 (default: 75)")
    chosen.add_argument("--overwrite", action="store_true", help="replace the file")
    section = chosen.add_argument_group("sequence options")
    for item in options(SequenceConfig):
        add_option(section, item, item.name, _DEST + item.name)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    return _write_bag(args) if args.kind == "bag" else _write_shards(args)


def _chosen(args: argparse.Namespace) -> dict[str, Any]:
    return {name.removeprefix(_DEST): value for name, value in vars(args).items() if name.startswith(_DEST)}


def _write_bag(args: argparse.Namespace) -> int:
    if args.out.suffix != ".mcap" or not 1 <= args.quality <= 100:
        got = f"{args.out} and {args.quality}"
        raise UsageError(f"--out and --quality: expected a name ending in .mcap and 1 to 100, got {got}")
    config = build(SequenceConfig, _chosen(args))
    load("moderngl")
    # Needed for recordings only: rosbags and OpenCV take a while to load.
    from hand_pose_ros.datasets.synthetic.sequence import generate_sequence
    from hand_pose_ros.sources.recording import write_recording

    with tqdm(generate_sequence(args.seed, config), total=config.frames, unit="frame") as pairs:
        first, second = itertools.tee(pairs)
        frames, truths = (frame for frame, _ in first), (truth for _, truth in second)
        written = write_recording(args.out, frames, truths, quality=args.quality, overwrite=args.overwrite)
    print(f"{written.frames} frames (seed {args.seed}), {written.size / 1e6:.2f} MB: {args.out}")
    return 0


def _write_shards(args: argparse.Namespace) -> int:
    if args.count < 1 or args.workers < 1:
        raise UsageError(f"--count and --workers: expected at least 1, got {args.count} and {args.workers}")
    config = build(SyntheticConfig, _chosen(args))
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
