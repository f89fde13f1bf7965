"""RHD, the Rendered Handpose Dataset (Zimmermann and Brox, ICCV 2017): drawn people with one or two hands in sight.

    <root>/training/{color,mask,depth}/00000.png        likewise evaluation/
    <root>/training/anno_training.pickle, evaluation/anno_evaluation.pickle

On disk: metres in the optical frame, the left hand first, fingers from the tip. Every sample has the coordinates of
both hands; a hand counts as present where one of its joints is marked visible. The labels are a pickle of numpy
arrays and are read as such; anything else in it is refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from hand_pose_ros.datasets.base import DatasetError, Reading, SampleKey
from hand_pose_ros.datasets.files import numbers, read_color, read_image, read_pickle, require_folder
from hand_pose_ros.datasets.two_hands import SceneDataset, SceneSample
from hand_pose_ros.skeleton import RHD_TO_CANONICAL
from hand_pose_ros.types import BoolArray, FloatArray, Intrinsics

SIZE: Final = 320
# Our split names and the data set's.
SPLITS: Final = {"train": "training", "evaluation": "evaluation"}
# The depth picture's red (high) and green (low) bytes count from 0 to this many metres.
DEPTH_RANGE: Final = 5.0
# Labels of the right and of the left hand's parts in the mask; 0 is the background, 1 the person.
RIGHT_LABELS: Final = (18, 33)
LEFT_LABELS: Final = (2, 17)
_REMEDY: Final = "give the folder that holds training and evaluation (RHD_published_v2 of the official download)"


def read_rhd_depth(path: Path) -> FloatArray:
    """RHD's depth picture as (H, W) float32 metres. Raises `DatasetError`."""
    image = read_image(path, cv2.IMREAD_COLOR).astype(np.float32)
    # OpenCV gives blue, green, red.
    return np.asarray((image[:, :, 2] * 256 + image[:, :, 1]) / np.float32(65535) * np.float32(DEPTH_RANGE))


class Rhd(SceneDataset):
    """A split of RHD, "train" or "evaluation".

    Raises:
        DatasetError: the folder is not RHD, or a file of it is missing or damaged.
    """

    name = "rhd"

    def __init__(self, root: Path, split: str, reading: Reading | None = None) -> None:
        if split not in SPLITS:
            raise DatasetError(f"rhd: expected a split among {', '.join(SPLITS)}; got {split!r}")
        self.root = require_folder(root, "the folder of RHD", _REMEDY)
        self.split, self.reading = split, reading or Reading()
        self._folder = require_folder(root / SPLITS[split], f"RHD's part {SPLITS[split]}", _REMEDY)
        labels = self._folder / f"anno_{SPLITS[split]}.pickle"
        self._ids, self._xyz, self._visible, self._cameras = _read_labels(labels)
        if not len(self):
            raise DatasetError(f"{labels}: holds no sample; fetch it anew")

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def present(self) -> BoolArray:
        """Hands (N, 2) of which a joint is visible."""
        return np.asarray(self._visible.any(axis=2))

    def key(self, index: int) -> SampleKey:
        """ "training" or "evaluation", and the sample's five digits."""
        return SampleKey(SPLITS[self.split], f"{int(self._ids[self._checked(index)]):05d}")

    def __getitem__(self, index: int) -> SceneSample:
        index = self._checked(index)
        key = self.key(index)
        present = self._visible[index].any(axis=1)
        valid = np.repeat(present[:, None], 21, axis=1)
        k = self._cameras[index].astype(float)
        picture = f"{key.frame}.png"
        return SceneSample(
            dataset=self.name,
            key=key,
            intrinsics=Intrinsics(k[0, 0], k[1, 1], k[0, 2], k[1, 2], SIZE, SIZE),
            rgb=read_color(self._folder / "color" / picture) if self.reading.color else None,
            depth=read_rhd_depth(self._folder / "depth" / picture) if self.reading.depth else None,
            joints=np.where(valid[..., None], self._xyz[index], np.float32(0)),
            valid=valid,
            present=present,
            visible=self._visible[index].copy(),
            hand_masks=_hand_masks(self._folder / "mask" / picture) if self.reading.color else None,
        )


def _read_labels(path: Path) -> tuple[NDArray[np.int64], FloatArray, BoolArray, FloatArray]:
    """Ids (N,), joints (N, 2, 21, 3), visibility (N, 2, 21) and K (N, 3, 3) of the whole split, our orders."""
    content: dict[Any, Any] = read_pickle(path)
    ids = sorted(content, key=int)
    xyz = np.empty((len(ids), 42, 3), dtype=np.float32)
    visible = np.empty((len(ids), 42), dtype=np.bool_)
    cameras = np.empty((len(ids), 3, 3), dtype=np.float32)
    for row, sample in enumerate(ids):
        source, label = f"{path} sample {sample}", content[sample]
        if not isinstance(label, dict):
            raise DatasetError(f"{source}: expected a dict of uv_vis, xyz and K, got {type(label).__name__}")
        xyz[row] = numbers(source, label, "xyz", (42, 3))
        visible[row] = numbers(source, label, "uv_vis", (42, 3))[:, 2] > 0
        cameras[row] = numbers(source, label, "K", (3, 3))
    # Left before right on disk.
    both = xyz.reshape(-1, 2, 21, 3)[:, ::-1, RHD_TO_CANONICAL]
    seen = visible.reshape(-1, 2, 21)[:, ::-1, RHD_TO_CANONICAL]
    return np.array([int(sample) for sample in ids], dtype=np.int64), both, seen, cameras


def _hand_masks(path: Path) -> BoolArray:
    labels = read_image(path, cv2.IMREAD_GRAYSCALE)
    return np.stack([(labels >= low) & (labels <= high) for low, high in (RIGHT_LABELS, LEFT_LABELS)])
