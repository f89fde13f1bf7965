"""Data sets by name: `open_dataset("dexycb", root, "s0_train")`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from hand_pose_ros.datasets import dexycb, ho3d
from hand_pose_ros.datasets.base import DatasetError, HandDataset, Reading
from hand_pose_ros.datasets.coco_style import PACKINGS, CocoStyle
from hand_pose_ros.datasets.dexycb import DexYcb
from hand_pose_ros.datasets.files import require_folder
from hand_pose_ros.datasets.hands_of_scenes import HandsOfScenes
from hand_pose_ros.datasets.ho3d import Ho3d
from hand_pose_ros.datasets.scenes import list_scene_splits, open_scenes

NAMES: Final = ("dexycb", "ho3d")
# Pictures of two hands, given here one hand at a time; `scenes.open_scenes` gives them whole.
NAMES_OF_SCENES: Final = ("interhand", "h2o3d", "rhd")
LAYOUTS: Final = ("auto", "official", "coco")
# Edge of the crop's cube (m) in Keypoint-Fusion's experiments.
CUBE_SIZES: Final = {"dexycb": dexycb.CUBE_SIZE, "ho3d": ho3d.CUBE_SIZE}
# Folders that are often given in place of the data set's own, which lies inside.
_INSIDE: Final = {"dexycb": ("DexYCB", "dex-ycb"), "ho3d": ("HO3D_v2", "HO3D_v3", "HO3D", "HO-3D_v2", "HO-3D_v3")}
_MARK: Final = {"dexycb": "calibration", "ho3d": "train.txt"}


def list_splits(name: str, layout: str = "official") -> tuple[str, ...]:
    """The splits of a data set in one of its layouts."""
    if name in NAMES_OF_SCENES:
        return list_scene_splits(name)
    _check(name, layout)
    if layout == "coco":
        return tuple(PACKINGS[name].splits)
    return tuple(dexycb.SPLITS) if name == "dexycb" else ho3d.SPLITS


def open_dataset(
    name: str,
    root: str | Path,
    split: str,
    *,
    layout: str = "auto",
    version: int | None = None,
    mano_path: str | Path | None = None,
    reading: Reading | None = None,
) -> HandDataset:
    """A split as a sequence of `HandSample`: `len`, `[index]`, iteration; images are read when asked for.

    Args:
        name: "dexycb" or "ho3d"; "interhand", "h2o3d" or "rhd", whose hands come one at a time.
        root: the data set's folder, or the one it lies in.
        split: DexYCB "s0_train" … "s3_test" (train, val, test); HO-3D "train", "val", "train_all", "evaluation"; the
            COCO layout has train and test of DexYCB, and train_all, test, eval of HO-3D; others see `list_splits`.
        layout: "official", "coco" (the authors' re-packed annotations), or "auto": official where its files are there.
        version: of HO-3D, 2 or 3; None tells it from the files.
        mano_path: folder with your own MANO files; DexYCB's and InterHand2.6M's poses need it to
            become `HandSample.mano`.
        reading: which images to read; default both.

    Raises:
        DatasetError: an unknown name or split, or the folder does not hold the data set.
    """
    if name in NAMES_OF_SCENES:
        return HandsOfScenes(open_scenes(name, root, split, mano_path=mano_path, reading=reading))
    _check(name, layout)
    folder = _resolve(name, Path(root).expanduser(), version)
    if layout == "auto":
        layout = _layout_in(name, folder)
    if layout == "coco":
        return CocoStyle(PACKINGS[name], folder, split, reading)
    if name == "dexycb":
        return DexYcb(folder, split, reading, Path(mano_path).expanduser() if mano_path else None)
    return Ho3d(folder, split, reading, version)


def find_layout(name: str, root: str | Path, version: int | None = None) -> str:
    """What `layout="auto"` comes to in this folder: "official" or "coco". Raises `DatasetError`."""
    _check(name, "auto")
    return _layout_in(name, _resolve(name, Path(root).expanduser(), version))


def _layout_in(name: str, folder: Path) -> str:
    packed = (folder / "annotations").is_dir() and not (folder / _MARK[name]).exists()
    return "coco" if packed else "official"


def _check(name: str, layout: str) -> None:
    if name not in NAMES:
        raise DatasetError(f"expected a data set among {', '.join(NAMES + NAMES_OF_SCENES)}, got {name!r}")
    if layout not in LAYOUTS:
        raise DatasetError(f"expected a layout among {', '.join(LAYOUTS)}, got {layout!r}")


def _resolve(name: str, root: Path, version: int | None) -> Path:
    """The folder of the data set itself, where its parent was given."""
    require_folder(root, f"the folder of {name}", "give the folder the data set was unpacked to with --root")
    if (root / _MARK[name]).exists() or (root / "annotations").is_dir():
        return root
    inside = [root / folder for folder in _INSIDE[name] if (root / folder).is_dir()]
    if version is not None:
        inside = [folder for folder in inside if not folder.name[-1].isdigit() or folder.name.endswith(str(version))]
    if len(inside) > 1:
        raise DatasetError(
            f"{root}: holds {', '.join(folder.name for folder in inside)}; give the one that is meant, or its version"
        )
    return inside[0] if inside else root
