"""Shards of scenes whose truth stands in the picture: a bright disc at every joint."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from hand_pose_ros.datasets.synthetic.spec import Label, Shape
from hand_pose_ros.training.shards import Batch

PIXELS = 96


def toy_scenes(count: int, seed: int = 0) -> Batch:
    """Right hand, left hand, both, and both with a box, in turn."""
    rng = np.random.default_rng(seed)
    focal, middle = 150.0, (PIXELS - 1) / 2
    joints = rng.uniform(-0.05, 0.05, (count, 2, 21, 3)) * (1, 1, 0.4) + (0, 0, 0.6)
    joints[:, 0, :, 0] += 0.06
    joints[:, 1, :, 0] -= 0.06
    kinds = np.arange(count) % 4
    present = np.stack([kinds != 1, kinds != 0], axis=1)
    joints *= present[:, :, None, None]
    color = np.full((count, PIXELS, PIXELS, 3), 40, dtype=np.uint8)
    mask = np.zeros((count, PIXELS, PIXELS), dtype=np.uint8)
    turns = np.stack([np.linalg.qr(rng.standard_normal((3, 3)))[0] for _ in range(count)])
    turns *= np.linalg.det(turns)[:, None, None]
    for n in range(count):
        for hand in np.flatnonzero(present[n]):
            for x, y, z in joints[n, hand]:
                at = (round(focal * x / z + middle), round(focal * y / z + middle))
                cv2.circle(color[n], at, 1, (255, 120, 60) if hand == 0 else (60, 120, 255), -1)
        if kinds[n] == 3:
            mask[n, 40:56, 40:56] = Label.OBJECT
    return {
        "color": color,
        "mask": mask,
        "intrinsics": np.tile(np.float32([focal, focal, middle, middle]), (count, 1)),
        "present": present,
        "joints": joints.astype(np.float32),
        "mano": rng.normal(0, 0.3, (count, 2, 58)).astype(np.float32),
        "object_present": kinds == 3,
        "object_shape": np.where(kinds == 3, int(Shape.BOX), -1).astype(np.int8),
        "object_rotation": turns.astype(np.float32),
        "object_translation": np.tile(np.float32([0, 0, 0.6]), (count, 1)),
        "object_extent": rng.uniform(0.03, 0.1, (count, 3)).astype(np.float32),
    }


def write_toy_scenes(folder: Path, count: int, seed: int = 0) -> Path:
    """One shard of them; returns the folder of shards."""
    shard = folder / "scenes-000000"
    shard.mkdir(parents=True)
    for name, array in toy_scenes(count, seed).items():
        np.save(shard / f"{name}.npy", array)
    return folder
