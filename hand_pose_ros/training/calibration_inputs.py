"""What an exported graph sees in use, one sample after the other, from shards of synthetic data."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
from torch import Tensor

from hand_pose_ros.evaluation.scene_shards import stored_scenes
from hand_pose_ros.geometry.scene_crop import SceneCutter
from hand_pose_ros.training.finder_targets import finder_batch
from hand_pose_ros.training.hand_crops import CropAugmentation, crop_batch
from hand_pose_ros.training.shards import ShardStream

Sample = Mapping[str, np.ndarray]
_BATCH: Final = 16
# As the pipeline crops: centres a little off, colour missing at times, no mirrored hands.
_SEEN: Final = CropAugmentation(wrong_side=0.0, roll_std=0.0, no_color=0.1, color_gain=0.1)


def inputs_from(kind: str, folder: Path, count: int, crop: int, taken: Collection[str] = ()) -> Iterator[Sample]:
    """Inputs of a graph, each of a batch of one.

    Args:
        kind: "model" of its metadata; a graph of one hand takes crop shards, hand_finder frame shards, those of two
            hands scenes.
        folder: the shards.
        count: at most so many samples.
        crop: side of the crops of networks of two hands.
        taken: names of the inputs of these.

    Raises:
        ShardError, FileNotFoundError: there are no such shards.
    """
    if kind == "hand_finder":
        return islice(_frames(folder), count)
    if kind in ("keypoint_transformer", "handformer2t"):
        return _scenes(folder, count, crop, taken)
    return islice(_crops(folder), count)


def _crops(folder: Path) -> Iterator[Sample]:
    rng = np.random.default_rng(0)
    for _, raw in ShardStream(folder, _BATCH, 0).batches():
        batch = crop_batch(raw, rng, _SEEN)
        arrays = {name: value.numpy() for name, value in batch._asdict().items()}
        arrays["rgb"] = _bytes(batch.rgb)
        names = ("rgb", "depth", "center", "crop_matrix", "cube", "intrinsics")
        for index in np.flatnonzero(arrays["is_hand"]):
            yield {name: arrays[name][index : index + 1] for name in names}


def _frames(folder: Path) -> Iterator[Sample]:
    rng = np.random.default_rng(0)
    for _, raw in ShardStream(folder, _BATCH, 0).batches():
        batch = finder_batch(raw, rng, None)
        rgb, depth, intrinsics = _bytes(batch.rgb), batch.depth[:, 0].numpy(), batch.intrinsics.numpy()
        for index in range(len(rgb)):
            one = slice(index, index + 1)
            yield {"rgb": rgb[one], "depth": depth[one], "intrinsics": intrinsics[one]}


def _scenes(folder: Path, count: int, size: int, taken: Collection[str]) -> Iterator[Sample]:
    for scene in stored_scenes(folder, count):
        # Kept by the caller: not one cutter for all.
        yield SceneCutter(size, taken).cut(scene.window(), scene.color, scene.depth, scene.camera.fx)


def _bytes(image: Tensor) -> np.ndarray:
    """(B, 3, H, W) 0..1 -> (B, H, W, 3) uint8."""
    value: np.ndarray = (image * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
    return value
