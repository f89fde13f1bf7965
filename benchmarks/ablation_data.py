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
import torch
from torch import Tensor
from torch.nn import functional

from hand_pose_ros.datasets.synthetic.shards import shard_sizes, write_shards
from hand_pose_ros.datasets.synthetic.spec import SyntheticConfig
from hand_pose_ros.training.crop_images import StoredCrops, sample_crops, stored_crops
from hand_pose_ros.training.hand_crops import CropAugmentation, CropBatch
from hand_pose_ros.training.shards import Batch, ShardStream

TRAIN_SEED: Final = 71_000
TEST_SEED: Final = 72_000
# The sensors' own holes, frayed outlines and flying pixels, and motion blur in 15 % of the pictures, are the
# generator's defaults.
SCENES: Final = SyntheticConfig(held_object=0.8, occluder=0.15, second_hand=0.15, negatives=0.0)
TRAINING: Final = CropAugmentation(wrong_side=0.0, no_color=0.0, center_std=0.01, hole=0.5)
# The test keeps what a sensor and a hand finder do, and leaves out what only makes more of the training data.
TEST: Final = dataclasses.replace(TRAINING, roll_std=0.0, scale=(1.0, 1.0), color_gain=0.0, color_noise=0.0)
# Largest share of a picture whose depth is lost, and blots across it.
LOST: Final = 0.6
_BLOTS: Final = 8
BATCH: Final = 32
# Drawn for the test, whatever the number that is measured, so that a smaller test is a part of the larger one.
TEST_CROPS: Final = 2048


def draw(batch: Batch, rng: np.random.Generator, augmentation: CropAugmentation) -> StoredCrops:
    """Crops of a shard's batch with what chance decides for them, for `sample`."""
    return stored_crops(batch, rng, augmentation)


def sample(stored: StoredCrops) -> CropBatch:
    """The crops, with the depth that fast motion and shiny or dark things lose."""
    batch = sample_crops(stored)
    return batch._replace(depth=lose_depth(batch.depth, stored.noise_seed))


def lose_depth(depth: Tensor, seed: int) -> Tensor:
    """Depth (B, H, W) without what lies under a smooth random field: up to `LOST` of each picture, in blots."""
    chance = torch.Generator(depth.device).manual_seed(seed)
    count = len(depth)
    coarse = torch.rand((count, 1, _BLOTS, _BLOTS), generator=chance, device=depth.device)
    field = functional.interpolate(coarse, depth.shape[1:], mode="bicubic", align_corners=False)[:, 0]
    share = LOST * torch.rand(count, generator=chance, device=depth.device)
    ordered = field.flatten(1).sort(dim=1).values
    last = (share * (ordered.shape[1] - 1)).long()
    return depth * (field >= ordered.gather(1, last[:, None])[:, :, None])


def augmentations(color: bool) -> tuple[CropAugmentation, CropAugmentation]:
    """For training and test; without `color` every crop's colour is hidden."""
    hidden = 0.0 if color else 1.0
    return dataclasses.replace(TRAINING, no_color=hidden), dataclasses.replace(TEST, no_color=hidden)


def folders(folder: Path) -> tuple[Path, Path]:
    """Where `make` puts the training's and the test's shards."""
    return folder / "train", folder / "test"


def make(folder: Path, crops: int, workers: int) -> None:
    """Draw the crops that are not there yet.

    Raises:
        ValueError: there are more shards than that; a training would see them.
    """
    for path, count, seed in zip(folders(folder), (crops, TEST_CROPS), (TRAIN_SEED, TEST_SEED), strict=True):
        there, wanted = len(list(path.glob("crops-*"))), len(shard_sizes(count))
        if there > wanted:
            raise ValueError(f"{path}: expected at most {wanted} shards, got {there}; use another --out")
        if there < wanted:
            write_shards(path, "crops", count, seed, workers, SCENES)


def test_batches(folder: Path, samples: int, color: bool) -> Iterator[CropBatch]:
    """The test's crops, the same ones with the same holes and displaced centres for every row."""
    _, augmentation = augmentations(color)
    stream = ShardStream(folder, BATCH, TEST_SEED)
    for number, batch in islice(stream.batches(), min(samples // BATCH, stream.batches_per_epoch)):
        yield sample(draw(batch, np.random.default_rng((TEST_SEED, number)), augmentation))
