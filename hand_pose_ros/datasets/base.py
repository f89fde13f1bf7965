"""What every data set of real hands gives: samples in our conventions, read one at a time.

A data set is a list on disk: `len`, `[index]` and iteration, nothing is held in memory but the list. Whatever the
files' own units, axes and joint order are, a sample is in metres, in the camera's optical frame, in our joint order.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from hand_pose_ros.geometry.camera import mirror_intrinsics
from hand_pose_ros.geometry.crop import mirror_points
from hand_pose_ros.skeleton import NUM_JOINTS, Side
from hand_pose_ros.types import (
    BoundingBox,
    ByteArray,
    FloatArray,
    Frame,
    Intrinsics,
    InvalidData,
    ManoParameters,
    check_array,
)

S = TypeVar("S")


class DatasetError(InvalidData):
    """A data set that cannot be read: missing, of another layout, or damaged; the text says what to do."""


class SampleKey(NamedTuple):
    """Where a sample comes from: `sequence` (one camera's stream) and `frame`, as the data set's paths name them."""

    sequence: str
    frame: str

    def __str__(self) -> str:
        return f"{self.sequence}/{self.frame}"


@dataclass(frozen=True)
class HandSample:
    """One frame with one annotated hand.

    Attributes:
        dataset: the data set's name.
        key: sequence and frame.
        intrinsics: of the images.
        side: of the annotated hand.
        rgb: (H, W, 3) uint8, or None where colour was not asked for.
        depth: (H, W) float32 metres aligned to colour, 0 = no reading, or None where it was not asked for.
        joints: (21, 3) float32 metres, camera frame, canonical order; None where the data set keeps them to itself or
            the hand is not annotated in this frame.
        wrist: (3,) float32 metres; where the joints are kept back the wrist may still be given.
        center: (3,) float32 metres, a crop centre that the data set itself provides; None where there is none.
        box: the hand's bounding box in pixels as the data set gives it.
        mano: the annotated hand model parameters where the data set states them in a known convention.
    """

    dataset: str
    key: SampleKey
    intrinsics: Intrinsics
    side: Side
    rgb: ByteArray | None
    depth: FloatArray | None
    joints: FloatArray | None = None
    wrist: FloatArray | None = None
    center: FloatArray | None = None
    box: BoundingBox | None = None
    mano: ManoParameters | None = None

    def __post_init__(self) -> None:
        size = (self.intrinsics.height, self.intrinsics.width)
        if self.rgb is not None:
            check_array(f"{self.key} rgb", self.rgb, (*size, 3), np.uint8)
        if self.depth is not None:
            check_array(f"{self.key} depth", self.depth, size, np.float32)
        if self.joints is not None:
            check_array(f"{self.key} joints", self.joints, (NUM_JOINTS, 3), np.float32)
        for name in ("wrist", "center"):
            if getattr(self, name) is not None:
                check_array(f"{self.key} {name}", getattr(self, name), (3,), np.float32)

    def frame(self, stamp_ns: int = 0) -> Frame:
        """The images as the pipeline takes them."""
        return Frame(stamp_ns, self.dataset, self.intrinsics, self.rgb, self.depth)

    def as_right(self) -> HandSample:
        """The sample itself, or for a left hand its mirror image: what a mirror-image camera sees of it.

        Images are flipped, x is negated and the principal point moves to cx' = W - 1 - cx, so that the geometry stays
        exact. The hand model parameters and the box are left out of the mirror image.
        """
        if self.side is Side.RIGHT:
            return self
        return dataclasses.replace(
            self,
            side=Side.RIGHT,
            intrinsics=mirror_intrinsics(self.intrinsics),
            rgb=None if self.rgb is None else np.ascontiguousarray(self.rgb[:, ::-1]),
            depth=None if self.depth is None else np.ascontiguousarray(self.depth[:, ::-1]),
            joints=None if self.joints is None else mirror_points(self.joints),
            wrist=None if self.wrist is None else mirror_points(self.wrist),
            center=None if self.center is None else mirror_points(self.center),
            box=None,
            mano=None,
        )


@dataclass(frozen=True)
class Reading:
    """What of a sample is read from disk; what is not asked for is None and costs nothing."""

    color: bool = True
    depth: bool = True


class Dataset(ABC, Generic[S]):
    """A split of a data set; S is what one sample is.

    Attributes:
        name: of the data set ("dexycb", "ho3d").
        split: of the data set's own splits.
        root: its folder.
        reading: which images are read.
        notes: what a report on this data must say (an incomplete download, for instance).
    """

    name: str
    split: str
    root: Path
    reading: Reading
    notes: tuple[str, ...] = ()

    @abstractmethod
    def __len__(self) -> int:
        """Samples of this split."""

    @abstractmethod
    def key(self, index: int) -> SampleKey:
        """Sequence and frame of a sample, without reading it."""

    @abstractmethod
    def __getitem__(self, index: int) -> S:
        """Read one sample.

        Raises:
            DatasetError: a file is missing or damaged.
            IndexError: there is no such sample.
        """

    @property
    def has_truth(self) -> bool:
        """Whether joints are given at all; a single sample may still be without."""
        return True

    def __iter__(self) -> Iterator[S]:
        for index in range(len(self)):
            yield self[index]

    @abstractmethod
    def subset(self, indices: Sequence[int]) -> Dataset[S]:
        """Some of the samples, in this order, as a data set of their own."""

    def _checked(self, index: int) -> int:
        """`index` within 0..len-1; negative ones count from the end."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.name} {self.split}: expected a sample below {len(self)}, got {index}")
        return index % len(self)


class Subset(Dataset[S]):
    """Some samples of another data set, in the order given; a base to put before the data set's own kind."""

    def __init__(self, dataset: Dataset[S], indices: Sequence[int]) -> None:
        self._dataset = dataset
        self._indices = np.asarray(indices, dtype=np.int64)
        self.name, self.split, self.root = dataset.name, dataset.split, dataset.root
        self.reading, self.notes = dataset.reading, dataset.notes

    def __len__(self) -> int:
        return len(self._indices)

    @property
    def has_truth(self) -> bool:
        """See `Dataset.has_truth`."""
        return self._dataset.has_truth

    def key(self, index: int) -> SampleKey:
        """See `Dataset.key`."""
        return self._dataset.key(int(self._indices[self._checked(index)]))

    def __getitem__(self, index: int) -> S:
        return self._dataset[int(self._indices[self._checked(index)])]


class HandDataset(Dataset[HandSample]):
    """A split of a data set with one annotated hand per sample."""

    def subset(self, indices: Sequence[int]) -> HandSubset:
        """See `Dataset.subset`."""
        return HandSubset(self, indices)


class HandSubset(Subset[HandSample], HandDataset):
    """Some samples of another data set of hands, in the order given."""
