"""HO-3D v2 and v3 (Hampali et al., CVPR 2020) as its authors distribute it: one pickle of labels per frame.

    <root>/{train,evaluation}/<SEQ>/rgb/0000.png (v2) or 0000.jpg (v3), depth/0000.png, meta/0000.pkl
    <root>/train.txt, evaluation.txt                            lines "ABF10/0000"
    <root>/evaluation_xyz.json, evaluation_verts.json           the evaluation's truth, released in 2024; optional

On disk: metres, OpenGL's camera (y up, z backward), MANO's joint order with the tips appended. Here: our conventions.
The pickles are read without running what is in them. All hands are right ones.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from hand_pose_ros.datasets.base import DatasetError, HandDataset, HandSample, Reading, SampleKey
from hand_pose_ros.datasets.files import numbers, read_bytes, read_color, read_image, read_pickle, require_folder
from hand_pose_ros.datasets.json_stream import array_items
from hand_pose_ros.hand_model.rotation import axis_angle_to_matrix, matrix_to_axis_angle
from hand_pose_ros.skeleton import HO3D_TO_CANONICAL, OPENGL_TO_OPTICAL, WRIST, Side
from hand_pose_ros.types import BoundingBox, FloatArray, Intrinsics, ManoParameters

logger = logging.getLogger(__name__)

WIDTH: Final = 640
HEIGHT: Final = 480
# Metres per step of the 16-bit depth that stands in the red (low) and green (high) byte.
DEPTH_STEP: Final = 0.00012498664727900177
# Edge of the crop's cube (m) in Keypoint-Fusion's experiments on this data set.
CUBE_SIZE: Final = 0.28
NUM_VERTICES: Final = 778
VERSIONS: Final = {2: ".png", 3: ".jpg"}
SPLITS: Final = ("train", "val", "train_all", "evaluation")
# Of the captures, sorted by name, the last one and every so many before it are for validation.
_VALIDATION_STEP: Final = 8
_REMEDY: Final = (
    "give the folder that holds train, evaluation, train.txt and evaluation.txt (HO3D_v2 or HO3D_v3 of the official "
    "download)"
)


def read_depth(path: Path) -> FloatArray:
    """HO-3D's depth picture as (H, W) float32 metres, 0 = no reading."""
    image = read_image(path, cv2.IMREAD_COLOR).astype(np.float32)
    # OpenCV gives blue, green, red.
    return np.asarray((image[:, :, 2] + 256 * image[:, :, 1]) * np.float32(DEPTH_STEP), dtype=np.float32)


def to_optical(points: FloatArray) -> FloatArray:
    """Points (..., 3) from HO-3D's OpenGL camera to the optical frame; the same the other way."""
    return np.asarray(points * OPENGL_TO_OPTICAL, dtype=np.float32)


def capture_of(sequence: str) -> str:
    """The recording a sequence belongs to: "ABF10" … "ABF14" are five cameras that saw the same hand."""
    return re.sub(r"\d+$", "", sequence)


def optical_mano(meta: dict[str, Any], source: Path) -> ManoParameters:
    """The labels' MANO parameters in the optical frame.

    With F = diag(1, -1, -1) and the rest wrist j, F (R (v - j) + j + t) = F R (v - j) + j + t' for t' = F (j + t) - j;
    j is the labelled wrist minus t, so that no model file is needed.
    """
    pose, betas = numbers(source, meta, "handPose", (48,)), numbers(source, meta, "handBeta", (10,))
    transl = numbers(source, meta, "handTrans", (3,))
    wrist = numbers(source, meta, "handJoints3D", (21, 3))[0]
    flip = np.diag(OPENGL_TO_OPTICAL)
    orient = matrix_to_axis_angle(flip @ axis_angle_to_matrix(pose[:3].astype(np.float64)))
    moved = to_optical(wrist) - (wrist - transl)
    return ManoParameters(orient.astype(np.float32), pose[3:], betas, moved.astype(np.float32))


class Ho3d(HandDataset):
    """A split of HO-3D.

    "train_all" is the official training split; "train" and "val" are two parts of it without a common recording (the
    data set has no validation split of its own); "evaluation" is the challenge's, in the order of `evaluation.txt`.

    Args:
        root: the folder of one version.
        split: one of `SPLITS`.
        reading: which images to read.
        version: 2 or 3; None tells it from the pictures' format.

    Raises:
        DatasetError: the folder is not HO-3D of this version, or a file of it is missing or damaged.
    """

    name = "ho3d"

    def __init__(self, root: Path, split: str, reading: Reading | None = None, version: int | None = None) -> None:
        if split not in SPLITS:
            raise DatasetError(f"ho3d: expected a split among {', '.join(SPLITS)}; got {split!r}")
        if version not in (None, *VERSIONS):
            raise DatasetError(f"ho3d: expected version 2 or 3, got {version}")
        self.root = require_folder(root, "the folder of HO-3D", _REMEDY)
        self.split, self.reading = split, reading or Reading()
        self._part = "evaluation" if split == "evaluation" else "train"
        self._folder = require_folder(root / self._part, f"HO-3D's part {self._part}", _REMEDY)
        self._entries = select_entries(read_entries(root / f"{self._part}.txt", _REMEDY), split)
        if not self._entries:
            raise DatasetError(f"{root}: the split {split} is empty: {self._part}.txt names too few recordings")
        self.version = self._detected(version)
        self._truth = self._released_truth() if split == "evaluation" else None

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def has_truth(self) -> bool:
        """Whether joints are given: always, except in the evaluation split without the released truth."""
        return self.split != "evaluation" or self._truth is not None

    def key(self, index: int) -> SampleKey:
        """Sequence and frame: "ABF10", "0000"."""
        sequence, _, frame = self._entries[self._checked(index)].partition("/")
        return SampleKey(sequence, frame)

    def __getitem__(self, index: int) -> HandSample:
        index = self._checked(index)
        key = self.key(index)
        folder = self._folder / key.sequence
        source = folder / "meta" / f"{key.frame}.pkl"
        meta = read_pickle(source)
        joints, wrist = self._joints(index, meta, source)
        color_file = folder / "rgb" / f"{key.frame}{VERSIONS[self.version]}"
        whole = self.split != "evaluation" and joints is not None and meta.get("handPose") is not None
        return HandSample(
            dataset=self.name,
            key=key,
            intrinsics=read_camera(meta, source),
            side=Side.RIGHT,
            rgb=read_color(color_file) if self.reading.color else None,
            depth=read_depth(folder / "depth" / f"{key.frame}.png") if self.reading.depth else None,
            joints=joints,
            wrist=wrist,
            box=read_box(meta, source),
            mano=optical_mano(meta, source) if whole else None,
        )

    def _joints(self, index: int, meta: dict[str, Any], source: Path) -> tuple[FloatArray | None, FloatArray | None]:
        """Joints and wrist; neither where the frame has no annotation, the wrist alone in the evaluation split."""
        if self.split != "evaluation":
            if meta.get("handJoints3D") is None or ("objRot" in meta and meta["objRot"] is None):
                return None, None
            native = numbers(source, meta, "handJoints3D", (21, 3))
        elif self._truth is not None:
            native = self._truth[index]
        else:
            return None, to_optical(numbers(source, meta, "handJoints3D", (3,)))
        joints = to_optical(native[HO3D_TO_CANONICAL])
        return joints, joints[WRIST]

    def _detected(self, version: int | None) -> int:
        """The version whose picture format the first frame has."""
        key = self.key(0)
        stem = self._folder / key.sequence / "rgb" / key.frame
        found = [v for v, suffix in VERSIONS.items() if stem.with_suffix(suffix).is_file()]
        if not found:
            raise DatasetError(f"{stem}.png or .jpg: no such picture, though {self._part}.txt names it; {_REMEDY}")
        if version is not None and version not in found:
            raise DatasetError(
                f"{self.root}: version {version} was asked for, but the pictures are version {found[0]}'s"
            )
        return version or found[0]

    def _released_truth(self) -> FloatArray | None:
        path = self.root / "evaluation_xyz.json"
        if not path.is_file():
            text = f"{path.name} is not there: no errors can be told, only a submission written"
            logger.info("%s: %s", self.root, text)
            self.notes = (text,)
            return None
        return read_rows(path, len(self), 21)

    def vertices(self) -> FloatArray | None:
        """The released mesh truth (N, 778, 3) in our frame, or None where `evaluation_verts.json` is not there.

        Raises:
            DatasetError: the file does not fit the split.
        """
        path = self.root / "evaluation_verts.json"
        if self.split != "evaluation" or not path.is_file():
            return None
        return to_optical(read_rows(path, len(self), NUM_VERTICES))


def read_rows(path: Path, count: int, points: int) -> FloatArray:
    """A JSON list of `count` lists of (points, 3) numbers as one array, read piece by piece.

    Raises:
        DatasetError: another number of entries or points, or damaged.
    """
    rows = np.empty((count, points, 3), dtype=np.float32)
    number = 0
    for item in array_items(path):
        if number == count:
            raise DatasetError(
                f"{path}: expected {count} entries as evaluation.txt has lines, got more; wrong version?"
            )
        rows[number] = numbers(path, {f"entry {number}": item}, f"entry {number}", (points, 3))
        number += 1
    if number != count:
        raise DatasetError(
            f"{path}: expected {count} entries as evaluation.txt has lines, got {number}; wrong version?"
        )
    return rows


def read_entries(path: Path, remedy: str) -> list[str]:
    """The lines "ABF10/0000" of a split's list. Raises `DatasetError`, which ends with `remedy`."""
    try:
        lines = read_bytes(path).decode("ascii").split()
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: expected lines like ABF10/0000; {remedy}") from error
    for line in lines:
        if not re.fullmatch(r"[A-Za-z0-9_-]+/\d+", line):
            raise DatasetError(f"{path}: expected lines like ABF10/0000, got {line[:40]!r}; {remedy}")
    return lines


def select_entries(entries: list[str], split: str) -> list[str]:
    """Those of "train" or "val", which share no recording; all of them for another split."""
    if split not in ("train", "val"):
        return entries
    captures = sorted({capture_of(entry.partition("/")[0]) for entry in entries})
    held_out = set(captures[::-1][::_VALIDATION_STEP]) if len(captures) > 1 else set()
    return [entry for entry in entries if (capture_of(entry.partition("/")[0]) in held_out) == (split == "val")]


def read_camera(meta: dict[str, Any], source: Path) -> Intrinsics:
    """The camera of a frame's labels. Raises `DatasetError`."""
    matrix = numbers(source, meta, "camMat", (3, 3)).astype(np.float64)
    return Intrinsics(matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2], WIDTH, HEIGHT)


def read_box(meta: dict[str, Any], source: Path, key: str = "handBoundingBox") -> BoundingBox | None:
    """A hand's box, which evaluation files give by its corners x0, y0, x1, y1. Raises `DatasetError`."""
    if meta.get(key) is None:
        return None
    x0, y0, x1, y1 = (float(value) for value in numbers(source, meta, key, (4,)))
    return BoundingBox(x0, y0, x1 - x0, y1 - y0)
