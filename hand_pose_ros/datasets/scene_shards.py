"""Stored synthetic scenes (`hand_pose synth scenes`) read like the data sets of two hands."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hand_pose_ros.datasets.base import DatasetError, Reading, SampleKey
from hand_pose_ros.datasets.synthetic.shards import unpack_depth
from hand_pose_ros.datasets.synthetic.spec import Label, Shape
from hand_pose_ros.datasets.two_hands import ObjectTruth, SceneDataset, SceneSample
from hand_pose_ros.geometry.surface import UNIT_BOX
from hand_pose_ros.geometry.symmetry import Symmetry
from hand_pose_ros.types import BoolArray, BoundingBox, DoubleArray, Intrinsics

_Z: Final = (0.0, 0.0, 1.0)
_HALF_TURN: Final = ((1.0, 0.0, 0.0), 2)
# Points of a rim.
_RIM: Final = 12


class StoredScenes(SceneDataset):
    """Shards of scenes as samples; the picture is the stored square, its own camera belongs to it. Older shards have no
    depth.

    A sample's box is that of all joints; objects are named after their shape ("box", "cylinder", ...).

    Raises:
        DatasetError: the folder holds no shards of scenes.
    """

    name = "scenes"
    split = ""

    def __init__(self, root: Path, reading: Reading | None = None) -> None:
        self.root, self.reading = root, reading or Reading()
        shards = [path for path in sorted(root.glob("scenes-*")) if (path / "joints.npy").is_file()]
        if not shards:
            raise DatasetError(f"{root}: no shards of scenes; make them with `hand_pose synth scenes --out {root}`")
        self._shards: list[dict[str, NDArray[Any]]] = [
            {file.stem: np.load(file, mmap_mode="r", allow_pickle=False) for file in shard.glob("*.npy")}
            for shard in shards
        ]
        self._names = [shard.name for shard in shards]
        self._starts = np.cumsum([0, *(len(shard["joints"]) for shard in self._shards)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def present(self) -> BoolArray:
        """See `SceneDataset.present`."""
        return np.concatenate([np.asarray(shard["present"]) for shard in self._shards])

    def key(self, index: int) -> SampleKey:
        """Shard and place in it."""
        shard, place = self._place(index)
        return SampleKey(self._names[shard], f"{place:04d}")

    def __getitem__(self, index: int) -> SceneSample:
        shard, place = self._place(index)
        arrays = self._shards[shard]
        row = {name: np.array(array[place]) for name, array in arrays.items() if name not in ("color", "depth")}
        color = np.array(arrays["color"][place]) if self.reading.color else None
        seen = self.reading.depth and "depth" in arrays
        depth = unpack_depth(arrays["depth"][place]) if seen else None
        height, width = arrays["color"].shape[1:3]
        present = row["present"]
        left, top, right, bottom = (float(value) for value in row["box"])
        fx, fy, cx, cy = (float(value) for value in row["intrinsics"])
        return SceneSample(
            dataset=self.name,
            key=self.key(index),
            intrinsics=Intrinsics(fx, fy, cx, cy, width, height),
            rgb=color,
            depth=depth,
            joints=row["joints"],
            valid=np.repeat(present[:, None], row["joints"].shape[1], axis=1),
            present=present,
            visible=row["visible"],
            box=BoundingBox(left, top, right - left, bottom - top),
            object=_object(row),
            object_mask=row["mask"] == Label.OBJECT if self.reading.color else None,
        )

    def _place(self, index: int) -> tuple[int, int]:
        index = self._checked(index)
        shard = int(np.searchsorted(self._starts, index, side="right")) - 1
        return shard, index - int(self._starts[shard])


def _object(row: dict[str, NDArray[Any]]) -> ObjectTruth | None:
    if not row["object_present"]:
        return None
    box = (UNIT_BOX * row["object_extent"]).astype(np.float32)
    name = Shape(int(row["object_shape"])).name.lower()
    return ObjectTruth(name, row["object_rotation"], row["object_translation"], box)


def shape_points(name: str, box: NDArray[Any]) -> tuple[DoubleArray, DoubleArray]:
    """What MSSD is measured on for a shape of `spec.Shape` in a box (8, 3): points (V, 3) and symmetries (S, 3, 3).

    A box's corners; the rims of what is round about z; of a sphere, which no turn changes, its centre.

    Raises:
        DatasetError: an unknown shape.
    """
    half = np.asarray(box, dtype=np.float64).max(axis=0)
    if name == "box":
        return np.asarray(box, dtype=np.float64), Symmetry(discrete=((_Z, 2), _HALF_TURN)).rotations()
    if name == "sphere":
        return np.zeros((1, 3)), np.eye(3)[None]
    if name not in ("cylinder", "capsule", "cup"):
        raise DatasetError(f"expected a shape among {', '.join(shape.name.lower() for shape in Shape)}, got {name!r}")
    angle = 2 * np.pi * np.arange(_RIM) / _RIM
    rim = np.stack([half[0] * np.cos(angle), half[1] * np.sin(angle), np.full(_RIM, half[2])], axis=1)
    ends = () if name == "cup" else (_HALF_TURN,)
    return np.concatenate([rim, rim * (1, 1, -1)]), Symmetry(discrete=ends, continuous=_Z).rotations()
