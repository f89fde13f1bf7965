"""`hand_pose train hand_sides` and `hand_trust`: what the pipeline knows of a pose network's own looks."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from tqdm import tqdm

from hand_pose_ros.cli.errors import load
from hand_pose_ros.cli.eval_synthetic import HELD_OUT_SEED, synthetic_frames

HAND_SIDES: Final = "hand_sides"
HAND_TRUST: Final = "hand_trust"
_FRAMES: Final = 1500


def hand_sides(args: argparse.Namespace, started: float) -> Path:
    """The judge of sides for one pose network; the file of its weights."""
    training = load("hand_pose_ros.training.side_judge")
    folders = [Path(folder) for folder in args.data]
    names = " ".join(folder.name for folder in folders)
    samples = args.samples or training.SideSettings.samples
    chosen = training.SideSettings(
        data=tuple(folders),
        validation=args.validation,
        network=args.network,
        out=args.out,
        samples=samples,
        minutes=args.minutes,
        seed=args.seed,
        threads=args.threads or 1,
        command=f"hand_pose train {HAND_SIDES} --data {names} --validation {args.validation.name} --samples {samples} "
        f"--minutes {args.minutes:g} --seed {args.seed}",
    )
    path, about = training.run_sides(chosen)
    _tell(about)
    return Path(path)


def hand_trust(args: argparse.Namespace, started: float) -> Path:
    """The trust in one pose network's hands; its file.

    Raises:
        TrainingError: the seed is that of the frames which measure it.
    """
    if args.seed == HELD_OUT_SEED:
        error: type[Exception] = load("hand_pose_ros.training.errors").TrainingError
        raise error(f"--seed: {HELD_OUT_SEED} is kept for `hand_pose eval synthetic`, use another")
    training = load("hand_pose_ros.training.hand_trust")
    count = args.samples or _FRAMES
    frames = tqdm(synthetic_frames(args.seed, count, True), total=count, unit="frame", mininterval=2.0)
    command = f"hand_pose train {HAND_TRUST} --network {args.network} --data synthetic --samples {count}"
    command += f" --seed {args.seed}"
    path, about = training.run_trust(args.network, args.out, frames, args.threads or 1, command)
    _tell(about)
    return Path(path)


def _tell(about: dict[str, str]) -> None:
    for name, text in about.items():
        print(f"{name}: {text}")
