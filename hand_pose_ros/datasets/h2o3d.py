"""H2O-3D (Hampali et al., CVPR 2022) as its authors distribute it: two hands and an object, labels as HO-3D's.

    <root>/{train,evaluation}/<SEQ>/rgb/0000.jpg, depth/0000.png, meta/0000.pkl, segr/0000.png
    <root>/train.txt, evaluation.txt                            lines "MBC10/0000"

Of the evaluation split only the wrists, the hands' boxes and the object are given.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from hand_pose_ros.datasets.base import DatasetError, Reading, SampleKey
from hand_pose_ros.datasets.files import numbers, read_color, read_pickle, require_folder
from hand_pose_ros.datasets.ho3d import (
    optical_mano,
    read_box,
    read_camera,
    read_depth,
    read_entries,
    select_entries,
    to_optical,
)
from hand_pose_ros.datasets.ho3d_objects import H2O3D_CHANNEL, object_mask, object_truth
from hand_pose_ros.datasets.two_hands import HANDS, SceneDataset, SceneSample
from hand_pose_ros.skeleton import HO3D_TO_CANONICAL, NUM_JOINTS, WRIST, Side
from hand_pose_ros.types import BoolArray, FloatArray, ManoParameters

SPLITS: Final = ("train", "val", "train_all", "evaluation")
SUFFIXES: Final = (".jpg", ".png")
_REMEDY: Final = (
    "give the folder that holds train, evaluation, train.txt and evaluation.txt (H2O3D_v1 of the official download)"
)


class H2o3d(SceneDataset):
    """A split of H2O-3D.

    "train_all" is the official training split; "train" and "val" are two parts of it without a common recording.

    Args:
        root: the data set's folder.
        split: one of `SPLITS`.
        reading: which images to read; the object's pixels come with colour.

    Raises:
        DatasetError: the folder is not H2O-3D, or a file of it is missing or damaged.
    """

    name = "h2o3d"

    def __init__(self, root: Path, split: str, reading: Reading | None = None) -> None:
        if split not in SPLITS:
            raise DatasetError(f"h2o3d: expected a split among {', '.join(SPLITS)}; got {split!r}")
        self.root = require_folder(root, "the folder of H2O-3D", _REMEDY)
        self.split, self.reading = split, reading or Reading()
        part = "evaluation" if split == "evaluation" else "train"
        self._folder = require_folder(root / part, f"H2O-3D's part {part}", _REMEDY)
        self._entries = select_entries(read_entries(root / f"{part}.txt", _REMEDY), split)
        if not self._entries:
            raise DatasetError(f"{root}: the split {split} is empty: {part}.txt names too few recordings")

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def has_truth(self) -> bool:
        """Joints are given, except in the evaluation split."""
        return self.split != "evaluation"

    @property
    def present(self) -> BoolArray:
        """Both hands, in every frame."""
        return np.ones((len(self), 2), dtype=np.bool_)

    def key(self, index: int) -> SampleKey:
        """Sequence and frame: "MBC10", "0000"."""
        sequence, _, frame = self._entries[self._checked(index)].partition("/")
        return SampleKey(sequence, frame)

    def __getitem__(self, index: int) -> SceneSample:
        key = self.key(index)
        folder = self._folder / key.sequence
        source = folder / "meta" / f"{key.frame}.pkl"
        meta = read_pickle(source)
        camera = read_camera(meta, source)
        hands = [_joints(meta, source, side) for side in HANDS]
        return SceneSample(
            dataset=self.name,
            key=key,
            intrinsics=camera,
            rgb=read_color(_picture(folder / "rgb", key.frame)) if self.reading.color else None,
            depth=read_depth(folder / "depth" / f"{key.frame}.png") if self.reading.depth else None,
            joints=np.stack([joints for joints, _ in hands]),
            valid=np.stack([valid for _, valid in hands]),
            present=np.ones(2, dtype=np.bool_),
            mano=(_mano(meta, source, Side.RIGHT), _mano(meta, source, Side.LEFT)),
            boxes=(
                read_box(meta, source, "rightHandBoundingBox"),
                read_box(meta, source, "leftHandBoundingBox"),
            ),
            object=object_truth(meta, source),
            object_mask=object_mask(folder / "segr", key.frame, H2O3D_CHANNEL, camera) if self.reading.color else None,
        )


def _picture(folder: Path, frame: str) -> Path:
    for suffix in SUFFIXES:
        if (folder / f"{frame}{suffix}").is_file():
            return folder / f"{frame}{suffix}"
    raise DatasetError(f"{folder / frame}.jpg or .png: cannot be read, there is no such picture; fetch it anew")


def _joints(meta: Mapping[str, Any], source: Path, side: Side) -> tuple[FloatArray, BoolArray]:
    """Joints (21, 3) and which of them are given: all, none, the wrist alone (evaluation), or as the labels say."""
    joints, valid = np.zeros((NUM_JOINTS, 3), dtype=np.float32), np.zeros(NUM_JOINTS, dtype=np.bool_)
    key = f"{side.value}HandJoints3D"
    if key not in meta:
        raise DatasetError(f"{source}: lacks {key}; is this H2O-3D (HO-3D's labels have handJoints3D)?")
    if meta[key] is None or ("objRot" in meta and meta["objRot"] is None):
        return joints, valid
    if np.size(meta[key]) == 3:
        joints[WRIST], valid[WRIST] = to_optical(numbers(source, meta, key, (3,))), True
        return joints, valid
    joints = to_optical(numbers(source, meta, key, (NUM_JOINTS, 3))[HO3D_TO_CANONICAL])
    flags = f"jointValid{side.value.capitalize()}"
    if meta.get(flags) is None:
        valid[:] = True
    else:
        valid = numbers(source, meta, flags, (NUM_JOINTS,))[HO3D_TO_CANONICAL] > 0
    return np.where(valid[:, None], joints, np.float32(0)), valid


def _mano(meta: Mapping[str, Any], source: Path, side: Side) -> ManoParameters | None:
    """The hand's parameters in the optical frame; the shape is one for both hands."""
    names = {
        "handPose": f"{side.value}HandPose",
        "handTrans": f"{side.value}HandTrans",
        "handJoints3D": f"{side.value}HandJoints3D",
        "handBeta": "handBeta",
    }
    if any(meta.get(name) is None for name in names.values()):
        return None
    return optical_mano({ours: meta[theirs] for ours, theirs in names.items()}, source)
