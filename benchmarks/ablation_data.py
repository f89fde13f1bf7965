"""The ablation's data: rendered hands with objects, holes and frayed edges in the depth, blur in the colour.

Everything follows from fixed seeds. Colour is always there and every crop holds a right hand.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np

from hand_pose_ros.datasets.synthetic.shards import shard_sizes, write_shards
from hand_pose_ros.datasets.synthetic.spec import SyntheticConfig
from hand_pose_ros.training.crop_images import sample_crops, stored_crops
from hand_pose_ros.training.hand_crops import CropAugmentation, CropBatch
from hand_pose_ros.training.shards import ShardStream

TRAIN_SEED: Final = 71_000
TEST_SEED: Final = 72_000
# The sensors' own holes, frayed outlines and flying pixels, and motion blur in 15 % of the pictures, are the
# generator's defaults.
SCENES: Final = SyntheticConfig(held_object=0.8, occluder=0.15, second_hand=0.15, negatives=0.0)
TRAINING: Final = CropAugmentation(wrong_side=0.0, no_color=0.0, center_std=0.01, hole=0.5)
# The test keeps what a sensor and a hand finder do, and leaves out what only makes more of the training data.
TEST: Final = dataclasses.replace(TRAINING, roll_std=0.0, scale=(1.0, 1.0), color_gain=0.0, color_noise=0.0)
BATCH: Final = 32
# Drawn for the test, whatever the number that is measured, so that a smaller test is a part of the larger one.
TEST_CROPS: Final = 2048


def augmentations(color: bool) -> tuple[CropAugmentation, CropAugmentation]:
    """For training and test; without `color` every crop's colour is hidden."""
    hidden = 0.0 if color else 1.0
    return dataclasses.replace(TRAINING, no_color=hidden), dataclasses.replace(TEST, no_color=hidden)


def make(folder: Path, crops: int, workers: int) -> tuple[Path, Path]:
    """Draw the crops that are not there yet; folders of the training and of the test shards.

    Raises:
        ValueError: there are more shards than that; a training would see them.
    """
    folders = folder / "train", folder / "test"
    for path, count, seed in zip(folders, (crops, TEST_CROPS), (TRAIN_SEED, TEST_SEED), strict=True):
        there, wanted = len(list(path.glob("crops-*"))), len(shard_sizes(count))
        if there > wanted:
            raise ValueError(f"{path}: expected at most {wanted} shards, got {there}; use another --out")
        if there < wanted:
            write_shards(path, "crops", count, seed, workers, SCENES)
    return folders


def test_batches(folder: Path, samples: int, color: bool) -> Iterator[CropBatch]:
    """The test's crops, the same ones with the same holes and displaced centres for every row."""
    _, augmentation = augmentations(color)
    stream = ShardStream(folder, BATCH, TEST_SEED)
    for number, batch in islice(stream.batches(), min(samples // BATCH, stream.batches_per_epoch)):
        yield sample_crops(stored_crops(batch, np.random.default_rng((TEST_SEED, number)), augmentation))
