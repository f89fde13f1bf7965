"""What data sets of two hands and the object they hold give: one scene per picture, in our conventions.

Arrays of both hands are in the order (right, left), whatever the files' own order. As in `base`, nothing is held in
memory but the list of samples, and a sample is in metres, in the camera's optical frame, in our joint order.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from hand_pose_ros.datasets.base import Dataset, SampleKey, Subset
from hand_pose_ros.geometry.camera import project
from hand_pose_ros.skeleton import NUM_JOINTS, WRIST, Side
from hand_pose_ros.types import (
    BoolArray,
    BoundingBox,
    ByteArray,
    DoubleArray,
    FloatArray,
    Frame,
    Intrinsics,
    InvalidData,
    ManoParameters,
    check_array,
)

# The order of both hands in every array of a scene, as in InterHand2.6M and in the papers on two hands.
HANDS: Final = (Side.RIGHT, Side.LEFT)
# Pixels about the joints and the object's corners, on top of which a crop adds its own margin (HO-3D's loaders).
BOX_MARGIN: Final = 10.0


@dataclass(frozen=True)
class ObjectTruth:
    """A known object's pose in the camera frame: x_camera = rotation @ x_object + translation.

    Attributes:
        name: of the model, as the data set names it ("006_mustard_bottle").
        rotation: (3, 3) float32.
        translation: (3,) float32 metres.
        box: (8, 3) float32 metres, corners of the model's bounding box in its own axes.
    """

    name: str
    rotation: FloatArray
    translation: FloatArray
    box: FloatArray

    def __post_init__(self) -> None:
        check_array(f"object {self.name} rotation", self.rotation, (3, 3), np.float32)
        check_array(f"object {self.name} translation", self.translation, (3,), np.float32)
        check_array(f"object {self.name} box", self.box, (8, 3), np.float32)

    @property
    def corners(self) -> FloatArray:
        """The box's corners (8, 3) in the camera frame, metres."""
        return np.asarray(self.box @ self.rotation.T + self.translation, dtype=np.float32)


@dataclass(frozen=True)
class SceneSample:
    """One picture with one or two hands, and the object where there is one.

    Attributes:
        dataset: the data set's name.
        key: sequence and frame.
        intrinsics: of the images.
        rgb: (H, W, 3) uint8, or None where colour was not asked for.
        depth: (H, W) float32 metres aligned to colour, 0 = no reading; None where there is none.
        joints: (2, 21, 3) float32 metres, camera frame, canonical order; 0 where not valid.
        valid: (2, 21) bool, where the data set gives a joint and counts it.
        present: (2,) bool, which hands the data set says are in the picture.
        sides_known: False where the data set itself does not trust `present`.
        visible: (2, 21) bool, not hidden and inside the image; None where the data set does not tell.
        mano: the hands' model parameters where they are stated in a known convention.
        boxes: the hands' boxes in pixels, where the data set gives them.
        box: of the whole scene in pixels, where the data set gives it.
        object: the object's pose, where there is one.
        hand_masks: (2, H, W) bool pixels of each hand, where given.
        object_mask: (H, W) bool pixels of the object, where given.
    """

    dataset: str
    key: SampleKey
    intrinsics: Intrinsics
    rgb: ByteArray | None
    depth: FloatArray | None
    joints: FloatArray
    valid: BoolArray
    present: BoolArray
    sides_known: bool = True
    visible: BoolArray | None = None
    mano: tuple[ManoParameters | None, ManoParameters | None] = (None, None)
    boxes: tuple[BoundingBox | None, BoundingBox | None] = (None, None)
    box: BoundingBox | None = None
    object: ObjectTruth | None = None
    hand_masks: BoolArray | None = None
    object_mask: BoolArray | None = None

    def __post_init__(self) -> None:
        size = (self.intrinsics.height, self.intrinsics.width)
        check_array(f"{self.key} joints", self.joints, (2, NUM_JOINTS, 3), np.float32)
        check_array(f"{self.key} valid", self.valid, (2, NUM_JOINTS), np.bool_)
        check_array(f"{self.key} present", self.present, (2,), np.bool_)
        for name, shape, kind in (
            ("rgb", (*size, 3), np.uint8),
            ("depth", size, np.float32),
            ("visible", (2, NUM_JOINTS), np.bool_),
            ("hand_masks", (2, *size), np.bool_),
            ("object_mask", size, np.bool_),
        ):
            if getattr(self, name) is not None:
                check_array(f"{self.key} {name}", getattr(self, name), shape, kind)
        if (self.joints[~self.valid] != 0).any():
            raise InvalidData(f"{self.key} joints: expected 0 where valid is False; clear them at the source")

    @property
    def interacting(self) -> bool:
        """Both hands are in the picture."""
        return bool(self.present.all())

    @property
    def wrists(self) -> FloatArray | None:
        """Both wrists (2, 3), or None where one of them is not known."""
        return self.joints[:, WRIST] if self.valid[:, WRIST].all() else None

    @property
    def hand_translation(self) -> FloatArray | None:
        """From the right to the left wrist (3,), metres; None where one of them is not known."""
        wrists = self.wrists
        return None if wrists is None else wrists[1] - wrists[0]

    def frame(self, stamp_ns: int = 0) -> Frame:
        """The images as the pipeline takes them."""
        return Frame(stamp_ns, self.dataset, self.intrinsics, self.rgb, self.depth)


def scene_box(sample: SceneSample, margin: float = BOX_MARGIN) -> BoundingBox | None:
    """The box in pixels that a crop of the scene is made of; None where nothing tells where the scene is.

    The data set's own box of the scene; else what holds the hands' own boxes (else their joints) and the object's
    corners, with `margin` pixels more on each side.
    """
    if sample.box is not None:
        return sample.box
    given = [box for box in sample.boxes if box is not None]
    points = [np.array([[b.x, b.y], [b.x + b.width, b.y + b.height]]) for b in given] or [_seen(sample)]
    if sample.object is not None and (sample.object.corners[:, 2] > 0).all():
        points.append(project(sample.object.corners, sample.intrinsics))
    every = np.concatenate(points)
    if not len(every):
        return None
    (x, y), (right, bottom) = every.min(axis=0) - margin, every.max(axis=0) + margin
    return BoundingBox(float(x), float(y), float(right - x), float(bottom - y))


def _seen(sample: SceneSample) -> DoubleArray:
    """Pixels (N, 2) of the valid joints before the camera."""
    joints = sample.joints[sample.valid]
    return project(joints[joints[:, 2] > 0], sample.intrinsics)


class SceneDataset(Dataset[SceneSample]):
    """A split of a data set of two hands ("interhand", "h2o3d", "ho3d", "rhd")."""

    @property
    @abstractmethod
    def present(self) -> BoolArray:
        """Which hands (N, 2) are in the pictures, as far as can be told without reading them."""

    def subset(self, indices: Sequence[int]) -> SceneSubset:
        """See `Dataset.subset`."""
        return SceneSubset(self, indices)


class SceneSubset(Subset[SceneSample], SceneDataset):
    """Some samples of another data set of two hands, in the order given."""

    def __init__(self, dataset: SceneDataset, indices: Sequence[int]) -> None:
        super().__init__(dataset, indices)
        self._present = dataset.present[self._indices]

    @property
    def present(self) -> BoolArray:
        """See `SceneDataset.present`."""
        return self._present
