"""DexYCB and HO-3D re-packed as one COCO-like file per split: what Keypoint-Fusion's and HandOccNet's loaders read.

    <root>/annotations/DEX_YCB_<s0..s3>_<train|test>_data.json     root is the DexYCB folder; joints in millimetres
    <root>/annotations/HO3D_<train_all|test|eval>_data.json        root is HO3D_v2 or HO3D_v3; joints in metres
    <root>/annotations/eval_refine_center_xyz.txt                  optional: a crop centre (mm) per `eval` sample

`images` hold id, width, height and a path below the root; `annotations` hold image_id, joints_coord_cam (optical
frame), cam_param {focal, princpt}, and hand_type, root_joint_cam, bbox where the data set has them. Their `mano_param`
is of no stated convention and is left out. Only the numbers stay in memory (some 500 bytes per sample); the file is
read element by element and images one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from hand_pose_ros.datasets import ho3d
from hand_pose_ros.datasets.base import DatasetError, HandDataset, HandSample, Reading, SampleKey
from hand_pose_ros.datasets.files import numbers, read_bytes, read_color, read_depth_mm, require_folder
from hand_pose_ros.datasets.json_stream import object_items
from hand_pose_ros.skeleton import HO3D_TO_CANONICAL, NUM_JOINTS, WRIST, IndexArray, Side
from hand_pose_ros.types import BoundingBox, FloatArray, Intrinsics


def _dexycb_depth(color: str) -> str:
    folder, _, name = color.rpartition("/")
    return f"{folder}/{name.replace('color_', 'aligned_depth_to_color_', 1).rpartition('.')[0]}.png"


def _ho3d_depth(color: str) -> str:
    # The folder two above the picture is the sequence, which may hold "rgb" in its name.
    folder, _, name = color.rpartition("/")
    return f"{folder.rpartition('/')[0]}/depth/{name.rpartition('.')[0]}.png"


@dataclass(frozen=True)
class Packing:
    """How one data set was re-packed.

    Attributes:
        name: of the data set.
        splits: split -> file name below `annotations`.
        unit: metres per unit of the joints.
        order: permutation to our joint order.
        path_keys: names of an image's path, the first one present counts.
        depth_path, read_depth: from the colour path to the depth path, and its decoder.
        centers: split -> file of crop centres in millimetres below `annotations`.
    """

    name: str
    splits: Mapping[str, str]
    unit: float
    order: IndexArray
    path_keys: tuple[str, ...]
    depth_path: Callable[[str], str]
    read_depth: Callable[[Path], FloatArray]
    centers: Mapping[str, str] = field(default_factory=dict)


_IDENTITY: Final = np.arange(NUM_JOINTS, dtype=np.intp)
PACKINGS: Final = {
    "dexycb": Packing(
        name="dexycb",
        splits={f"s{n}_{part}": f"DEX_YCB_s{n}_{part}_data.json" for n in range(4) for part in ("train", "test")},
        unit=1e-3,
        order=_IDENTITY,
        path_keys=("color_file_name", "file_name"),
        depth_path=_dexycb_depth,
        read_depth=read_depth_mm,
    ),
    "ho3d": Packing(
        name="ho3d",
        splits={part: f"HO3D_{part}_data.json" for part in ("train_all", "test", "eval")},
        unit=1.0,
        order=HO3D_TO_CANONICAL,
        path_keys=("file_name", "color_file_name"),
        depth_path=_ho3d_depth,
        read_depth=ho3d.read_depth,
        centers={"eval": "eval_refine_center_xyz.txt"},
    ),
}


@dataclass
class _Columns:
    """The annotations as columns while they are read."""

    image_ids: list[int] = field(default_factory=list)
    joints: list[FloatArray] = field(default_factory=list)
    wrists: list[FloatArray] = field(default_factory=list)
    cameras: list[tuple[float, ...]] = field(default_factory=list)
    boxes: list[FloatArray] = field(default_factory=list)
    left: list[bool] = field(default_factory=list)


class CocoStyle(HandDataset):
    """A split of a re-packed data set.

    Args:
        packing: one of `PACKINGS`.
        root: the folder that holds `annotations` and the pictures.
        split: one of the packing's.
        reading: which images to read.

    Raises:
        DatasetError: the folder is not laid out like this, or the annotation file is damaged.
    """

    def __init__(self, packing: Packing, root: Path, split: str, reading: Reading | None = None) -> None:
        if split not in packing.splits:
            raise DatasetError(
                f"{packing.name} (COCO style): expected a split among {', '.join(packing.splits)}; got {split!r}"
            )
        remedy = f"give the folder that holds annotations/{packing.splits[split]} and the pictures"
        self.name, self.split, self.reading = packing.name, split, reading or Reading()
        self.root = require_folder(root, f"the folder of the re-packed {packing.name}", remedy)
        folder = require_folder(root / "annotations", "the annotations", remedy)
        self._packing = packing
        self._file = folder / packing.splits[split]
        self._images, columns = self._read()
        if not columns.image_ids:
            raise DatasetError(f"{self._file}: holds no annotation; fetch it anew")
        self._image_ids = np.array(columns.image_ids, dtype=np.int64)
        self._joints, self._wrists = np.stack(columns.joints), np.stack(columns.wrists)
        self._cameras = np.array(columns.cameras, dtype=np.float64)
        self._boxes, self._left = np.stack(columns.boxes), np.array(columns.left, dtype=bool)
        self._centers = self._read_centers(folder)

    def __len__(self) -> int:
        return len(self._image_ids)

    @property
    def has_truth(self) -> bool:
        """Whether any sample has joints."""
        return bool(np.isfinite(self._joints).all(axis=(1, 2)).any())

    def key(self, index: int) -> SampleKey:
        """The picture's folder and its name without the ending."""
        folder, _, name = self._path(self._checked(index)).rpartition("/")
        return SampleKey(folder, name.rpartition(".")[0])

    def __getitem__(self, index: int) -> HandSample:
        index = self._checked(index)
        path = self._path(index)
        _, width, height = self._images[int(self._image_ids[index])]
        box = self._boxes[index]
        fx, fy, cx, cy = (float(value) for value in self._cameras[index])
        depth = self.root / self._packing.depth_path(path)
        return HandSample(
            dataset=self.name,
            key=self.key(index),
            intrinsics=Intrinsics(fx, fy, cx, cy, width, height),
            side=Side.LEFT if self._left[index] else Side.RIGHT,
            rgb=read_color(self.root / path) if self.reading.color else None,
            depth=self._packing.read_depth(depth) if self.reading.depth else None,
            joints=_known(self._joints[index]),
            wrist=_known(self._wrists[index]),
            center=self._centers[index] if self._centers is not None else None,
            box=BoundingBox(*(float(value) for value in box)) if np.isfinite(box).all() else None,
        )

    def _path(self, index: int) -> str:
        return self._images[int(self._image_ids[index])][0]

    def _read(self) -> tuple[dict[int, tuple[str, int, int]], _Columns]:
        images: dict[int, tuple[str, int, int]] = {}
        columns = _Columns()
        for kind, item in object_items(self._file, ("images", "annotations")):
            try:
                if kind == "images":
                    images[int(item["id"])] = self._image(item)
                else:
                    self._annotation(item, columns)
            except (KeyError, TypeError, ValueError) as error:
                if isinstance(error, DatasetError):
                    raise
                raise DatasetError(
                    f"{self._file}: an entry of {kind} is not as expected ({error!r}): {str(item)[:120]}"
                ) from error
        unknown = next((number for number in columns.image_ids if number not in images), None)
        if unknown is not None:
            raise DatasetError(f"{self._file}: an annotation is of image {unknown}, which is not among the images")
        return images, columns

    def _image(self, item: Mapping[str, Any]) -> tuple[str, int, int]:
        path = next((str(item[key]) for key in self._packing.path_keys if key in item), None)
        if path is None or path.startswith("/") or ".." in path.split("/"):
            raise DatasetError(f"{self._file}: expected a path below {self.root} for every image, got {path!r}")
        return path, int(item["width"]), int(item["height"])

    def _annotation(self, item: Mapping[str, Any], columns: _Columns) -> None:
        source = f"{self._file}: annotation of image {item['image_id']}"
        camera = item["cam_param"]
        joints = np.full((NUM_JOINTS, 3), np.nan, dtype=np.float32)
        wrist = np.full(3, np.nan, dtype=np.float32)
        if item.get("joints_coord_cam") is not None:
            native = numbers(source, item, "joints_coord_cam", (NUM_JOINTS, 3))
            joints = (native[self._packing.order] * np.float32(self._packing.unit)).astype(np.float32)
            wrist = joints[WRIST]
        elif item.get("root_joint_cam") is not None:
            wrist = numbers(source, item, "root_joint_cam", (3,)) * np.float32(self._packing.unit)
        has_box = item.get("bbox") is not None
        columns.image_ids.append(int(item["image_id"]))
        columns.joints.append(joints)
        columns.wrists.append(wrist)
        columns.cameras.append(tuple(float(value) for value in (*camera["focal"], *camera["princpt"])))
        columns.boxes.append(numbers(source, item, "bbox", (4,)) if has_box else np.full(4, np.nan, dtype=np.float32))
        columns.left.append(Side(item.get("hand_type", "right")) is Side.LEFT)

    def _read_centers(self, folder: Path) -> FloatArray | None:
        name = self._packing.centers.get(self.split)
        if name is None or not (folder / name).is_file():
            return None
        words = read_bytes(folder / name).split()
        try:
            centers = np.array([float(word) for word in words], dtype=np.float32).reshape(-1, 3)
        except ValueError as error:
            raise DatasetError(f"{folder / name}: expected three numbers (mm) per line ({error})") from error
        if len(centers) != len(self):
            raise DatasetError(f"{folder / name}: expected {len(self)} lines, one per sample, got {len(centers)}")
        return centers * np.float32(1e-3)


def _known(values: FloatArray) -> FloatArray | None:
    return values if np.isfinite(values).all() else None
