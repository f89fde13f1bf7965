"""InterHand2.6M's annotation files as compact arrays: 1.4 million pictures take some 150 MB, not several GB.

Both layouts are known: v1.0 (`annotations/<split>/…`) and v0.0 (`annotations/{all,human_annot,machine_annot}/…`).
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hand_pose_ros.datasets.base import DatasetError
from hand_pose_ros.datasets.files import numbers, read_bytes
from hand_pose_ros.datasets.json_stream import array_items, nested_items, object_items
from hand_pose_ros.datasets.two_hands import HANDS
from hand_pose_ros.types import BoolArray, BoundingBox, FloatArray

NUM_JOINTS: Final = 42
# (right, left) by the data set's word.
HAND_TYPES: Final = {"right": (True, False), "left": (False, True), "interacting": (True, True)}
_TYPES: Final = tuple(HAND_TYPES)
# Pose 48, shape 10, translation 3.
NUM_MANO: Final = 61
_MANO_PARTS: Final = (("pose", 48), ("shape", 10), ("trans", 3))
_FOLDERS_V0: Final = {"": "all", "human": "human_annot", "machine": "machine_annot"}
_DATA: Final = "InterHand2.6M_{part}_data.json"

FrameKey = tuple[int, int]


@dataclass(frozen=True)
class AnnotationFiles:
    """Where the annotations of a split lie; `human_ids` lists the human-annotated ones, where ids divide the split."""

    data: Path
    camera: Path
    joints: Path
    mano: Path | None
    human_ids: Path | None


def find_files(root: Path, part: str, annotators: str, remedy: str) -> AnnotationFiles:
    """The files of `part` ("train", "val", "test") by `annotators` ("" both, "human", "machine"), v1.0 first.

    Raises:
        DatasetError: neither layout's files are there.
    """
    name = _DATA.format(part=part)
    folder = root / "annotations" / part
    old = root / "annotations" / _FOLDERS_V0[annotators]
    new = (folder / name).is_file()
    if not new and not (old / name).is_file():
        raise DatasetError(f"{folder / name}: no such file, nor {old / name} of the v0.0 layout; {remedy}")
    chosen = folder if new else old
    names = ("MANO_NeuralAnnot", "MANO") if new else ("MANO", "MANO_NeuralAnnot")
    fits = [chosen / f"InterHand2.6M_{part}_{kind}.json" for kind in names]
    return AnnotationFiles(
        data=chosen / name,
        camera=chosen / f"InterHand2.6M_{part}_camera.json",
        joints=chosen / f"InterHand2.6M_{part}_joint_3d.json",
        mano=next((path for path in fits if path.is_file()), None),
        human_ids=root / "annotations" / f"aid_human_annot_{part}.txt" if new and annotators else None,
    )


@dataclass(frozen=True)
class Pictures:
    """The annotated pictures, N rows, in the order of the annotations.

    Attributes:
        folders: of the pictures below `images/<split>`, each with its capture and camera.
        folder: (N,) which of them. name: (N,) the picture's file name, bytes.
        frame: (N,) the frame's number. size: (N, 2) width and height in pixels. box: (N, 4) x, y, width, height.
        valid: (N, 42) in the data set's order. hands: (N, 2) right, left. hands_known: (N,). ids: (N,) annotation ids.
    """

    folders: tuple[tuple[str, int, str], ...]
    folder: NDArray[np.int32]
    name: NDArray[np.bytes_]
    frame: NDArray[np.int32]
    size: NDArray[np.int32]
    box: FloatArray
    valid: BoolArray
    hands: BoolArray
    hands_known: BoolArray
    ids: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)

    def part(self, chosen: BoolArray) -> Pictures:
        """The chosen rows."""
        names = ("folder", "name", "frame", "size", "box", "valid", "hands", "hands_known", "ids")
        return Pictures(self.folders, **{name: getattr(self, name)[chosen] for name in names})


class _Images:
    """The `images` list, column by column."""

    def __init__(self) -> None:
        self.ids, self.numbers, self.names = array("q"), array("i"), list[bytes]()
        self.folders: dict[tuple[str, int, str], int] = {}

    def add(self, item: dict[str, Any]) -> None:
        path = PurePosixPath(item["file_name"])
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"file_name {str(path)!r} leads out of the data set")
        place = (str(path.parent), int(item["capture"]), str(item["camera"]))
        number = self.folders.setdefault(place, len(self.folders))
        self.numbers.extend((number, int(item["frame_idx"]), int(item["width"]), int(item["height"])))
        self.names.append(path.name.encode("ascii"))
        self.ids.append(int(item["id"]))


class _Annotations:
    """The `annotations` list, column by column."""

    def __init__(self) -> None:
        self.ids, self.box, self.valid = array("q"), array("f"), bytearray()
        self.types, self.known = bytearray(), bytearray()

    def add(self, item: dict[str, Any]) -> None:
        valid = bytes(1 if row[0] else 0 for row in item["joint_valid"])
        if len(valid) != NUM_JOINTS or len(item["bbox"]) != 4:
            raise ValueError(f"{len(valid)} joint_valid and {len(item['bbox'])} bbox numbers in place of 42 and 4")
        self.ids.extend((int(item["id"]), int(item["image_id"])))
        self.box.extend(item["bbox"])
        self.valid += valid
        self.types.append(_TYPES.index(item["hand_type"]))
        self.known.append(1 if item["hand_type_valid"] else 0)


def read_pictures(path: Path) -> Pictures:
    """`…_data.json`, read element by element. Raises `DatasetError`."""
    images, annotations = _Images(), _Annotations()
    adders: dict[str, Callable[[dict[str, Any]], None]] = {"images": images.add, "annotations": annotations.add}
    for key, item in object_items(path, ("images", "annotations")):
        try:
            adders[key](item)
        except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
            raise DatasetError(
                f"{path}: expected {key} as InterHand2.6M has them ({error!r}); fetch it anew"
            ) from error
    ids = np.array(annotations.ids, dtype=np.int64).reshape(-1, 2)
    rows = _rows_of(np.array(images.ids, dtype=np.int64), ids[:, 1], path)
    columns = np.array(images.numbers, dtype=np.int32).reshape(-1, 4)[rows]
    return Pictures(
        folders=tuple(images.folders),
        folder=columns[:, 0],
        name=np.array(images.names, dtype=np.bytes_)[rows],
        frame=columns[:, 1],
        size=columns[:, 2:],
        box=np.array(annotations.box, dtype=np.float32).reshape(-1, 4),
        valid=np.frombuffer(bytes(annotations.valid), dtype=np.bool_).reshape(-1, NUM_JOINTS),
        hands=np.array(list(HAND_TYPES.values()), dtype=np.bool_)[np.frombuffer(bytes(annotations.types), np.uint8)],
        hands_known=np.frombuffer(bytes(annotations.known), dtype=np.bool_),
        ids=ids[:, 0],
    )


def _rows_of(image_ids: NDArray[np.int64], wanted: NDArray[np.int64], path: Path) -> NDArray[np.intp]:
    """Where each wanted image stands in the list of images."""
    order = np.argsort(image_ids)
    at = np.searchsorted(image_ids[order], wanted)
    at = np.minimum(at, max(len(image_ids) - 1, 0))
    if len(wanted) and (not len(image_ids) or (image_ids[order[at]] != wanted).any()):
        raise DatasetError(f"{path}: an annotation names an image that is not in the list; fetch it anew")
    return order[at] if len(wanted) else np.zeros(0, dtype=np.intp)


def read_human_ids(path: Path) -> NDArray[np.int64]:
    """The annotation ids of the human-annotated subset. Raises `DatasetError`."""
    try:
        return np.array([int(word) for word in read_bytes(path).split()], dtype=np.int64)
    except ValueError as error:
        raise DatasetError(f"{path}: expected one annotation id per line ({error}); fetch it anew") from error


def read_world_joints(path: Path) -> dict[FrameKey, FloatArray]:
    """Joints (42, 3) in millimetres, world frame, the data set's order, by (capture, frame). Raises `DatasetError`."""
    return {
        _frame_key(capture, frame, path): numbers(
            f"{path} capture {capture} frame {frame}", _mapping(item, path), "world_coord", (NUM_JOINTS, 3)
        )
        for capture, frame, item in nested_items(path)
    }


def read_fits(path: Path) -> dict[FrameKey, tuple[FloatArray | None, FloatArray | None]]:
    """MANO fits by (capture, frame): (right, left), each (61,) pose, shape and translation (m, world), or None.

    Raises:
        DatasetError: the file is not InterHand2.6M's.
    """
    fits = {}
    for capture, frame, item in nested_items(path):
        hands = _mapping(item, path)
        right, left = (_fit(hands.get(side.value), f"{path} capture {capture} frame {frame}") for side in HANDS)
        fits[_frame_key(capture, frame, path)] = (right, left)
    return fits


def read_root_depths(path: Path) -> dict[int, tuple[BoundingBox, FloatArray]]:
    """RootNet's output by annotation id: the box, made square and widened already, and both wrists' depths (2,) metres.

    The files are `rootnet_output/rootnet_interhand2.6m_output_<split>.json` of the download.

    Raises:
        DatasetError: the file is missing or another one.
    """
    depths = {}
    for item in array_items(path):
        identity = _mapping(item, path).get("annot_id")
        if not isinstance(identity, int):
            raise DatasetError(f"{path}: expected annot_id, bbox and abs_depth, got {', '.join(item) or 'nothing'}")
        source = f"{path} annotation {identity}"
        x, y, width, height = (float(value) for value in numbers(source, item, "bbox", (4,)))
        both = numbers(source, item, "abs_depth", (2,)) * np.float32(1e-3)
        depths[identity] = (BoundingBox(x, y, width, height), both)
    return depths


def _fit(hand: Any, source: str) -> FloatArray | None:
    if hand is None:
        return None
    return np.concatenate([numbers(source, _mapping(hand, source), name, (size,)) for name, size in _MANO_PARTS])


def _mapping(item: Any, source: object) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise DatasetError(
            f"{source}: expected an object per frame or picture, got {type(item).__name__}; fetch it anew"
        )
    return item


def _frame_key(capture: str, frame: str, path: Path) -> FrameKey:
    try:
        return int(capture), int(frame)
    except ValueError as error:
        raise DatasetError(f"{path}: expected numbers of captures and frames ({error}); fetch it anew") from error
