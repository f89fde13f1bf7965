"""Data sets of two hands by name: `open_scenes("interhand", root, "test")`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from hand_pose_ros.datasets import h2o3d, ho3d, interhand, rhd
from hand_pose_ros.datasets.base import DatasetError, Reading
from hand_pose_ros.datasets.files import require_folder
from hand_pose_ros.datasets.h2o3d import H2o3d
from hand_pose_ros.datasets.ho3d_objects import Ho3dScenes
from hand_pose_ros.datasets.interhand import InterHand
from hand_pose_ros.datasets.rhd import Rhd
from hand_pose_ros.datasets.two_hands import SceneDataset

SCENE_SPLITS: Final = {
    "interhand": interhand.SPLITS,
    "h2o3d": h2o3d.SPLITS,
    "ho3d": ho3d.SPLITS,
    "rhd": tuple(rhd.SPLITS),
}
SCENE_NAMES: Final = tuple(SCENE_SPLITS)
# What lies in a data set's own folder, and folders that are often given in its place.
_MARK: Final = {"interhand": "annotations", "h2o3d": "train.txt", "ho3d": "train.txt", "rhd": "evaluation"}
_INSIDE: Final = {
    "interhand": ("InterHand2.6M",),
    "h2o3d": ("H2O3D_v1", "H2O3D", "h2o3d"),
    "ho3d": ("HO3D_v2", "HO3D_v3", "HO3D", "HO-3D_v2", "HO-3D_v3", "ho3d"),
    "rhd": ("RHD_published_v2", "RHD"),
}


def list_scene_splits(name: str) -> tuple[str, ...]:
    """The splits of a data set of two hands. Raises `DatasetError` where there is no such data set."""
    if name not in SCENE_SPLITS:
        raise DatasetError(f"expected a data set of scenes among {', '.join(SCENE_NAMES)}, got {name!r}")
    return SCENE_SPLITS[name]


def open_scenes(
    name: str,
    root: str | Path,
    split: str,
    *,
    version: int | None = None,
    mano_path: str | Path | None = None,
    reading: Reading | None = None,
) -> SceneDataset:
    """A split as a sequence of `SceneSample`: `len`, `[index]`, iteration; images are read when asked for.

    Args:
        name: one of `SCENE_NAMES`.
        root: the data set's folder, or the one it lies in.
        split: see `list_scene_splits`.
        version: of HO-3D, 2 or 3; None tells it from the files.
        mano_path: folder with your own MANO files; InterHand2.6M's fits need it to become `SceneSample.mano`.
        reading: which images to read; default all. Masks come with colour.

    Raises:
        DatasetError: an unknown name or split, or the folder does not hold the data set.
    """
    list_scene_splits(name)
    folder = _resolve(name, Path(root).expanduser())
    if name == "interhand":
        return InterHand(folder, split, reading, Path(mano_path).expanduser() if mano_path else None)
    if name == "h2o3d":
        return H2o3d(folder, split, reading)
    return Rhd(folder, split, reading) if name == "rhd" else Ho3dScenes(folder, split, reading, version)


def _resolve(name: str, root: Path) -> Path:
    """The folder of the data set itself, where its parent was given."""
    require_folder(root, f"the folder of {name}", "give the folder the data set was unpacked to with --root")
    if (root / _MARK[name]).exists():
        return root
    inside = [root / folder for folder in _INSIDE[name] if (root / folder / _MARK[name]).exists()]
    if len(inside) > 1:
        raise DatasetError(f"{root}: holds {', '.join(folder.name for folder in inside)}; give the one that is meant")
    return inside[0] if inside else root
