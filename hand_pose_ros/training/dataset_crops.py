"""Crops of data sets of real hands, in the form of synthetic crop shards, read by worker processes."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from hand_pose_ros.datasets.base import DatasetError, HandDataset, HandSample
from hand_pose_ros.datasets.coco_style import CocoStyle
from hand_pose_ros.datasets.registry import open_dataset
from hand_pose_ros.training.dataset_batches import DatasetBatches
from hand_pose_ros.training.errors import TrainingError
from hand_pose_ros.training.shards import Batch
from hand_pose_ros.types import FloatArray

# A stored picture shows this many times the cube, so that the crop can be moved, scaled and turned within it, ...
MARGIN = 1.5
# ... with a third more pixels than the 128 of the crop, since it is sampled a second time.
PIXELS = 256
_HELD_OUT = 10  # every so many-th sequence, where a data set has no validation split
_STEP = 1e-4  # metres per step of stored depth
_TEST_SPLITS = ("test", "eval", "evaluation")


class SplitError(TrainingError):
    """Data that must not be used as asked for; the text says what may be."""


@dataclass(frozen=True)
class DatasetSplits:
    """Training and validation part of a data set, disjoint, with the edge of the crop's cube (m)."""

    training: HandDataset
    validation: HandDataset
    cube: float


def open_splits(name: str, root: Path, split: str, validation: str, cube: float) -> DatasetSplits:
    """The training split, and the validation split or, where `validation` is "", sequences held out of the training.

    Raises:
        DatasetError: the data set cannot be read or has no such split.
        SplitError: a test split was asked for.
    """
    for asked in (split, validation):
        if asked.rpartition("_")[2] in _TEST_SPLITS:
            raise SplitError(
                f"{name} {asked}: a test split is neither trained on nor used to choose weights; give a training and a "
                "validation split"
            )
    training = open_dataset(name, root, split)
    if validation and not isinstance(training, CocoStyle):
        return DatasetSplits(training, open_dataset(name, root, validation), cube)
    held_out = np.array([_held_out(training.key(index).sequence) for index in range(len(training))])
    if held_out.all() or not held_out.any():
        raise SplitError(f"{name} {split}: no sequence can be held out for validation; give a validation split")
    chosen = np.flatnonzero(~held_out), np.flatnonzero(held_out)
    kept, apart = (training.subset(indices.tolist()) for indices in chosen)
    return DatasetSplits(kept, apart, cube)


def _held_out(sequence: str) -> bool:
    return zlib.crc32(sequence.encode()) % _HELD_OUT == 0


def crop_record(sample: HandSample, cube: float) -> Batch:
    """A sample's surroundings as one row of a shard (see `datasets.synthetic.shards`), left hands mirrored.

    Raises:
        DatasetError: it has no joints, or not both pictures.
    """
    sample = sample.as_right()
    if sample.joints is None or sample.rgb is None or sample.depth is None:
        raise DatasetError(f"{sample.dataset} {sample.key}: expected colour, depth and joints to train on")
    center = sample.joints.mean(axis=0)
    x, y, z = (float(value) for value in center)
    focal, middle = PIXELS * z / (MARGIN * cube), (PIXELS - 1) / 2
    cx, cy = middle - focal * x / z, middle - focal * y / z
    camera = sample.intrinsics
    ku, kv = focal / camera.fx, focal / camera.fy
    warp = np.array([[ku, 0.0, cx - ku * camera.cx], [0.0, kv, cy - kv * camera.cy]])
    color = cv2.warpAffine(sample.rgb, warp, (PIXELS, PIXELS), flags=cv2.INTER_LINEAR)
    depth = cv2.warpAffine(sample.depth, warp, (PIXELS, PIXELS), flags=cv2.INTER_NEAREST)
    return {
        "color": np.asarray(color, dtype=np.uint8),
        "depth": _steps(np.asarray(depth, dtype=np.float32)),
        "intrinsics": np.array([focal, focal, cx, cy], dtype=np.float32),
        "joints": sample.joints,
        "center": center,
        "negative": np.array(False),
        "wrong_side": np.array(False),
    }


def _steps(depth: FloatArray) -> np.ndarray:
    """Metres as uint16 steps; what does not fit is no reading."""
    steps = np.rint(depth / np.float32(_STEP))
    return np.where(steps < 65536, steps, 0).astype(np.uint16)


def dataset_crops(
    dataset: HandDataset, cube: float, batch_size: int, seed: int, workers: int = 0
) -> DatasetBatches[HandSample]:
    """Batches of the crops of a data set with colour, depth and joints; `cube` is the edge of the crop's cube (m)."""
    return DatasetBatches(dataset, partial(crop_record, cube=cube), _has_joints, batch_size, seed, workers)


def _has_joints(sample: HandSample) -> bool:
    return sample.joints is not None
