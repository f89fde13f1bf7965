"""Where trainings of two hands get their scenes: shards of rendered ones, or data sets of real hands.

Samples of a data set are brought into the form of the shards when they are read, by worker processes.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from hand_pose_ros.datasets.base import Reading
from hand_pose_ros.datasets.scenes import SCENE_NAMES, list_scene_splits, open_scenes
from hand_pose_ros.datasets.synthetic.spec import Label
from hand_pose_ros.datasets.two_hands import SceneDataset, SceneSample, scene_box
from hand_pose_ros.datasets.ycb import model_number, symmetry_of
from hand_pose_ros.geometry.scene_crop import MIN_SIDE, Window
from hand_pose_ros.training.dataset_batches import DatasetBatches
from hand_pose_ros.training.dataset_crops import SplitError
from hand_pose_ros.training.errors import TrainingError
from hand_pose_ros.training.run import BatchSource
from hand_pose_ros.training.shards import Batch, ShardStream, refuse_same
from hand_pose_ros.types import FloatArray

# A stored picture shows this many times the scene's box, so that crops can be moved, widened and turned within it.
SPAN: Final = 2.0
PIXELS: Final = 384
VALIDATION_SAMPLES: Final = 2048
# Every so many-th sequence is held out, where a data set has no validation split.
_HELD_OUT: Final = 10
_TEST_SPLITS: Final = ("test", "evaluation", "test_human", "test_machine")
# Symmetries per object, padded with the identity.
_SYMMETRIES: Final = 4
# YCB's bowl is round; in the published loader its training box has no width, so that no turn counts. Two models count
# four times (fact sheet, section 6).
_ROUND: Final = (24,)
_HEAVY: Final = (10, 24)


@dataclass(frozen=True)
class SceneData:
    """What is trained on.

    Attributes:
        data: folders of shards, or one name of a data set.
        validation: folder of shards; needed with shards, possible with a data set.
        root, split, validation_split: of a data set; "" is its training split, and its own validation split or
            sequences held out.
        workers: reading processes of a data set.
    """

    data: tuple[str, ...]
    validation: Path | None = None
    root: Path | None = None
    split: str = ""
    validation_split: str = ""
    workers: int = 0


@dataclass(frozen=True)
class Sources:
    """Training batches, validation batches, and how many of the latter are measured on; batches of one epoch."""

    training: BatchSource
    validation: BatchSource
    count: int
    batches_per_epoch: int


def open_sources(given: SceneData, batch_size: int, seed: int) -> Sources:
    """Open shards or a data set.

    Raises:
        TrainingError: nothing to validate on, or a test split was asked for.
        DatasetError: the data set cannot be read.
    """
    check: ShardStream | None = None
    if given.validation is not None:
        check = ShardStream(given.validation, batch_size, seed)
    if given.data[0] not in SCENE_NAMES:
        if check is None or given.validation is None:
            raise TrainingError("--validation: expected a folder of shards of another seed than those trained on")
        folders = [Path(folder) for folder in given.data]
        refuse_same(folders, given.validation)
        shards = ShardStream(folders, batch_size, seed)
        return Sources(shards, check, check.batches_per_epoch, shards.batches_per_epoch)
    kept, apart = _splits(given)
    training = dataset_scenes(kept, batch_size, seed, given.workers)
    if check is not None:
        return Sources(training, check, check.batches_per_epoch, training.batches_per_epoch)
    held = dataset_scenes(apart, batch_size, seed, min(given.workers, 2))
    most = max(VALIDATION_SAMPLES // held.batch_size, 1)
    return Sources(training, held, min(held.batches_per_epoch, most), training.batches_per_epoch)


def _splits(given: SceneData) -> tuple[SceneDataset, SceneDataset]:
    name = given.data[0]
    if given.root is None:
        raise TrainingError(f"--root: expected the folder of {name}, got none")
    split = given.split or list_scene_splits(name)[0]
    own = "val" if "val" in list_scene_splits(name) and split == "train" else ""
    validation = given.validation_split or own
    for asked in (split, validation):
        if asked in _TEST_SPLITS:
            raise SplitError(f"{name} {asked}: a test split is neither trained on nor used to choose weights")
    reading = Reading(depth=False)
    training = open_scenes(name, given.root, split, reading=reading)
    if validation:
        return training, open_scenes(name, given.root, validation, reading=reading)
    # RHD's pictures are each a scene of their own: the frame divides them.
    keys = (training.key(index) for index in range(len(training)))
    apart = np.array([zlib.crc32((k.frame if name == "rhd" else k.sequence).encode()) % _HELD_OUT == 0 for k in keys])
    if apart.all() or not apart.any():
        raise SplitError(f"{name} {split}: nothing can be held out for validation; give --validation-split")
    return training.subset(np.flatnonzero(~apart).tolist()), training.subset(np.flatnonzero(apart).tolist())


def dataset_scenes(dataset: SceneDataset, batch_size: int, seed: int, workers: int = 0) -> DatasetBatches[SceneSample]:
    """Batches of the scenes of a data set with colour."""
    return DatasetBatches(dataset, scene_record, _has_joints, batch_size, seed, workers)


def _has_joints(sample: SceneSample) -> bool:
    return bool(sample.valid.any())


def scene_record(sample: SceneSample) -> Batch:
    """A sample's surroundings as one row of a shard of scenes (`scene_crops`).

    Raises:
        TrainingError: it has no picture.
    """
    if sample.rgb is None:
        raise TrainingError(f"{sample.dataset} {sample.key}: expected a picture to train on")
    box, camera = scene_box(sample), sample.intrinsics
    if box is None:
        raise TrainingError(f"{sample.dataset} {sample.key}: expected something annotated to train on")
    side = max(SPAN * max(box.width, box.height), MIN_SIDE)
    matrix = Window(box.x + box.width / 2, box.y + box.height / 2, side).matrix(PIXELS)
    ku, kv = matrix[0, 0], matrix[1, 1]
    square = (PIXELS, PIXELS)
    object_pixels = np.zeros(sample.rgb.shape[:2], dtype=np.uint8)
    if sample.object_mask is not None:
        object_pixels[sample.object_mask] = Label.OBJECT
    return {
        "color": np.asarray(cv2.warpAffine(sample.rgb, matrix[:2], square, flags=cv2.INTER_LINEAR), dtype=np.uint8),
        "mask": np.asarray(cv2.warpAffine(object_pixels, matrix[:2], square, flags=cv2.INTER_NEAREST), dtype=np.uint8),
        "intrinsics": np.array(
            [ku * camera.fx, kv * camera.fy, ku * camera.cx + matrix[0, 2], kv * camera.cy + matrix[1, 2]],
            dtype=np.float32,
        ),
        "joints": sample.joints,
        "valid": sample.valid,
        "present": sample.present,
        **_object(sample),
    }


def _object(sample: SceneSample) -> Batch:
    truth = sample.object
    # Without its pixels there is nothing to segment: such an object is as good as none.
    known = truth is not None and sample.object_mask is not None
    rotation: FloatArray = np.eye(3, dtype=np.float32)
    translation: FloatArray = np.zeros(3, dtype=np.float32)
    box: FloatArray = np.zeros((8, 3), dtype=np.float32)
    symmetries, weight = np.tile(np.eye(3), (_SYMMETRIES, 1, 1)), 1.0
    if truth is not None and known:
        rotation, translation = truth.rotation, truth.translation
        number = model_number(truth.name)
        weight = 4.0 if number in _HEAVY else 1.0
        box = np.asarray(truth.box * ((0, 0, 1) if number in _ROUND else (1, 1, 1)), dtype=np.float32)
        if number not in _ROUND:
            turns = symmetry_of(truth.name, "training").rotations()
            symmetries[: len(turns)] = turns
    return {
        "object_present": np.array(known),
        "object_weight": np.array(weight, dtype=np.float32),
        "object_rotation": rotation,
        "object_translation": translation,
        "object_box": box,
        "object_symmetries": symmetries.astype(np.float32),
    }
