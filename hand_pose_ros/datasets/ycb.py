"""The YCB models that HO-3D and H2O-3D show: names, symmetries as they are published, vertices of the user's meshes."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from hand_pose_ros.datasets.base import DatasetError
from hand_pose_ros.datasets.files import read_bytes
from hand_pose_ros.geometry.symmetry import Symmetry
from hand_pose_ros.types import FloatArray

NAMES: Final = (
    "003_cracker_box",
    "004_sugar_box",
    "006_mustard_bottle",
    "010_potted_meat_can",
    "011_banana",
    "019_pitcher_base",
    "021_bleach_cleanser",
    "024_bowl",
    "025_mug",
    "035_power_drill",
    "037_scissors",
)
_Z: Final = (0.0, 0.0, 1.0)
_HALF_TURN: Final = Symmetry(discrete=((_Z, 2),))
_ROUND: Final = Symmetry(continuous=_Z)
_NONE: Final = Symmetry()
# Keypoint Transformer's tables: what counts as alike when its networks are measured and trained.
HO3D_SYMMETRIES: Final = {6: _HALF_TURN, 10: _HALF_TURN, 21: _HALF_TURN}
H2O3D_SYMMETRIES: Final = {
    **dict.fromkeys((3, 4, 6, 10, 21), _HALF_TURN),
    **dict.fromkeys((19, 24, 25), _ROUND),
}
TRAINING_SYMMETRIES: Final = {**dict.fromkeys((3, 4, 6, 10, 21), _HALF_TURN), 24: _ROUND}
TABLES: Final = {"ho3d": HO3D_SYMMETRIES, "h2o3d": H2O3D_SYMMETRIES, "training": TRAINING_SYMMETRIES}


def model_number(name: str) -> int:
    """YCB's number of a model: 6 of "006_mustard_bottle". Raises `DatasetError` where the name has none."""
    number = name.partition("_")[0]
    if not number.isdigit():
        raise DatasetError(f"expected a YCB model as 006_mustard_bottle, got {name!r}")
    return int(number)


def symmetry_of(name: str, table: str) -> Symmetry:
    """A model's symmetry by the published table "ho3d", "h2o3d" (both for measuring) or "training".

    Raises:
        DatasetError: no such table, or no YCB name.
    """
    if table not in TABLES:
        raise DatasetError(f"expected a table among {', '.join(TABLES)}, got {table!r}")
    return TABLES[table].get(model_number(name), _NONE)


def read_vertices(path: Path) -> FloatArray:
    """The vertices (V, 3) of a Wavefront .obj, such as `<models>/<name>/textured_simple.obj`; metres in YCB's files.

    Raises:
        DatasetError: the file is missing, damaged, or has no vertices.
    """
    rows = [line.split()[1:4] for line in read_bytes(path).splitlines() if line.startswith(b"v ")]
    try:
        vertices = np.array(rows, dtype=np.float32).reshape(-1, 3)
    except ValueError as error:
        raise DatasetError(f"{path}: expected vertices as 'v x y z' ({error}); fetch it anew") from error
    if not len(vertices) or not np.isfinite(vertices).all():
        raise DatasetError(f"{path}: expected vertices as 'v x y z', found {len(vertices)}; is this an .obj mesh?")
    return vertices
