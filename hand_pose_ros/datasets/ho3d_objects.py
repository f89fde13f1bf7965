"""HO-3D with the object: its pose, its pixels, and HO-3D's samples as scenes; H2O-3D's files have the same labels.

<root>/train/<SEQ>/meta/0000.pkl        objName, objRot, objTrans, objCorners3DRest, OpenGL's camera
<root>/segr/{train,evaluation}/<SEQ>/seg/0000.jpg       HO-3D: the object is blue; optional
<root>/{train,evaluation}/<SEQ>/segr/0000.png           H2O-3D: the object is green; optional
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from hand_pose_ros.datasets.base import DatasetError, Reading, SampleKey
from hand_pose_ros.datasets.files import numbers, read_image, read_pickle
from hand_pose_ros.datasets.ho3d import Ho3d
from hand_pose_ros.datasets.two_hands import ObjectTruth, SceneDataset, SceneSample
from hand_pose_ros.hand_model.rotation import axis_angle_to_matrix
from hand_pose_ros.skeleton import NUM_JOINTS, OPENGL_TO_OPTICAL, WRIST
from hand_pose_ros.types import BoolArray, Intrinsics

# Channel of the object in the segmentation pictures as OpenCV reads them (blue, green, red).
HO3D_CHANNEL: Final = 0
H2O3D_CHANNEL: Final = 1
# The pictures may be JPEGs: what the authors' loaders take for the object.
_LEVEL: Final = 200


def object_truth(meta: Mapping[str, Any], source: Path) -> ObjectTruth | None:
    """The labelled object in the optical frame; None where the frame has no annotation.

    With F = diag(1, -1, -1), F (R x + t) = (F R) x + F t: the object's own axes stay as they are.

    Raises:
        DatasetError: the labels are not what the data set describes.
    """
    if meta.get("objRot") is None or meta.get("objTrans") is None:
        return None
    name = meta.get("objName")
    if not isinstance(name, str):
        raise DatasetError(f"{source}: expected the object's name under objName, got {type(name).__name__}")
    rotation = axis_angle_to_matrix(numbers(source, meta, "objRot", (3,)).astype(np.float64))
    return ObjectTruth(
        name=name,
        rotation=(OPENGL_TO_OPTICAL[:, None] * rotation).astype(np.float32),
        translation=(numbers(source, meta, "objTrans", (3,)) * OPENGL_TO_OPTICAL).astype(np.float32),
        box=numbers(source, meta, "objCorners3DRest", (8, 3)),
    )


def object_mask(folder: Path, frame: str, channel: int, camera: Intrinsics) -> BoolArray | None:
    """The object's pixels (H, W) of the camera's image, or None where there is no such picture.

    The pictures are smaller than the images: each of their pixels stands for a block.

    Raises:
        DatasetError: the picture is damaged.
    """
    found = [path for path in (folder / f"{frame}.png", folder / f"{frame}.jpg") if path.is_file()]
    if not found:
        return None
    image = read_image(found[0], cv2.IMREAD_COLOR)[:, :, channel] > _LEVEL
    whole = cv2.resize(image.astype(np.uint8), (camera.width, camera.height), interpolation=cv2.INTER_NEAREST)
    return np.asarray(whole) > 0


class Ho3dScenes(SceneDataset):
    """A split of HO-3D as scenes of a right hand and an object; splits and files as in `Ho3d`.

    Raises:
        DatasetError: the folder is not HO-3D of this version, or a file of it is missing or damaged.
    """

    name = "ho3d"

    def __init__(self, root: Path, split: str, reading: Reading | None = None, version: int | None = None) -> None:
        self._hands = Ho3d(root, split, reading, version)
        self.root, self.split, self.reading = root, split, self._hands.reading
        self.notes = self._hands.notes
        self._part = "evaluation" if split == "evaluation" else "train"

    def __len__(self) -> int:
        return len(self._hands)

    @property
    def has_truth(self) -> bool:
        """See `Ho3d.has_truth`."""
        return self._hands.has_truth

    @property
    def present(self) -> BoolArray:
        """Right hands only."""
        return np.tile(np.array([True, False]), (len(self), 1))

    def key(self, index: int) -> SampleKey:
        """Sequence and frame: "ABF10", "0000"."""
        return self._hands.key(index)

    def __getitem__(self, index: int) -> SceneSample:
        hand = self._hands[index]
        key = hand.key
        source = self.root / self._part / key.sequence / "meta" / f"{key.frame}.pkl"
        joints = np.zeros((2, NUM_JOINTS, 3), dtype=np.float32)
        valid = np.zeros((2, NUM_JOINTS), dtype=np.bool_)
        if hand.joints is not None:
            joints[0], valid[0] = hand.joints, True
        elif hand.wrist is not None:
            joints[0, WRIST], valid[0, WRIST] = hand.wrist, True
        pictures = self.root / "segr" / self._part / key.sequence / "seg"
        return SceneSample(
            dataset=self.name,
            key=key,
            intrinsics=hand.intrinsics,
            rgb=hand.rgb,
            depth=hand.depth,
            joints=joints,
            valid=valid,
            present=np.array([True, False]),
            mano=(hand.mano, None),
            boxes=(hand.box, None),
            object=object_truth(read_pickle(source), source),
            object_mask=object_mask(pictures, key.frame, HO3D_CHANNEL, hand.intrinsics) if self.reading.color else None,
        )
