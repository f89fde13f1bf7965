"""What a pose network says of hands of known side, looked at as they are and mirrored: data of the judge of sides."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from tqdm import tqdm

from hand_pose_ros.datasets.synthetic.shards import unpack_depth
from hand_pose_ros.pipeline.estimator import DroppedHand, Estimator, NetworkHand
from hand_pose_ros.pipeline.sides import own_joints
from hand_pose_ros.pipeline.timing import StageTimer
from hand_pose_ros.skeleton import Side
from hand_pose_ros.training.errors import TrainingError
from hand_pose_ros.training.shards import Batch, ShardStream
from hand_pose_ros.types import FloatArray, Frame, Intrinsics

# A finder's error per axis (m), cut at two of it: median error of the centre some 30 mm.
CENTER_STD: Final = 0.02
NO_COLOR: Final = 0.35
# Hands taken from a shard before the next one has its turn.
TURN: Final = 16


class Looks(NamedTuple):
    """Of N hands, joints (N, 2, 21, 3) and std (N, 2, 21) in metres; the first look of each has the side right."""

    joints: FloatArray
    std: FloatArray


def collect_looks(
    folders: Sequence[Path], estimator: Estimator, count: int, seed: int, minutes: float = 0.0, text: str = "looks"
) -> Looks:
    """Looks at up to `count` hands of crop shards, fewer where the shards or the `minutes` (0: any) end before.

    As in the pipeline: a first look at a displaced place from either side, and then both looks around the hand found.

    Raises:
        ShardError: there are no shards.
        TrainingError: not one hand was seen.
    """
    stream = ShardStream(folders, TURN, seed)
    rng, end = np.random.default_rng(seed), time.monotonic() + 60 * minutes
    pairs: list[tuple[NetworkHand, NetworkHand]] = []
    with tqdm(total=count, desc=text, unit="hand", mininterval=2.0) as bar:
        for frame, center in _hands(stream, rng):
            if len(pairs) == count or (minutes > 0 and time.monotonic() > end):
                break
            try:
                pairs.append(_look_twice(frame, center, estimator, rng))
            except DroppedHand:
                continue
            bar.update()
    if not pairs:
        raise TrainingError(
            f"{', '.join(map(str, folders))}: expected hands that the network sees, it saw none of them"
        )
    joints = np.stack([[own_joints(hand) for hand in pair] for pair in pairs])
    return Looks(joints.astype(np.float32), np.stack([[hand.joint_std for hand in pair] for pair in pairs]))


def _hands(stream: ShardStream, rng: np.random.Generator) -> Iterator[tuple[Frame, FloatArray]]:
    """Pictures of right hands and their centres, each once; a few from every shard before the next few."""
    turns = stream.shard_size // stream.batch_size
    for turn in range(turns):
        for _, batch in islice(stream.batches(turn, turns), len(stream.paths)):
            for n in np.flatnonzero(~batch["negative"].astype(bool)):
                yield _frame(batch, int(n), rng.random() >= NO_COLOR), batch["center"][n].astype(np.float32)


def _frame(batch: Batch, n: int, with_color: bool) -> Frame:
    height, width = batch["depth"][n].shape
    fx, fy, cx, cy = (float(value) for value in batch["intrinsics"][n])
    depth = unpack_depth(batch["depth"][n])
    color = batch["color"][n].astype(np.uint8) if with_color else None
    return Frame(0, "synthetic", Intrinsics(fx, fy, cx, cy, width, height), color, depth)


def _look_twice(
    frame: Frame, center: FloatArray, estimator: Estimator, rng: np.random.Generator
) -> tuple[NetworkHand, NetworkHand]:
    timer = StageTimer()
    near = (center + CENTER_STD * rng.normal(size=3).clip(-2, 2)).astype(np.float32)
    first = Side.RIGHT if rng.random() < 0.5 else Side.LEFT
    middle = estimator.estimate(frame, near, first, timer).center
    right, left = (estimator.estimate(frame, middle, side, timer) for side in (Side.RIGHT, Side.LEFT))
    return right, left
