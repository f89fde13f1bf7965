"""Two hands and the object as the papers print them: Table 1, RHD, MSSD by model, and H2O-3D's submission file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from hand_pose_ros.datasets.ho3d import to_optical
from hand_pose_ros.evaluation.report import Cell, Table
from hand_pose_ros.evaluation.two_hands import TwoHandScores
from hand_pose_ros.evaluation.two_hands_objects import ObjectScores
from hand_pose_ros.skeleton import CANONICAL_TO_HO3D, NUM_JOINTS
from hand_pose_ros.types import FloatArray

# On InterHand2.6M: single, interacting, all, MRRPE in mm; from the paper, and of the published checkpoint.
PUBLISHED_INTERHAND: Final = (
    ("Keypoint Transformer, paper", 10.99, 14.34, 12.78, 29.63),
    ("Keypoint Transformer, checkpoint", 10.88, 14.16, 12.62, 29.50),
)
# A micrometre.
_DIGITS: Final = 6


def interhand_table(scores: Sequence[tuple[str, TwoHandScores]], published: bool = True) -> Table:
    """Table 1 of the paper with a row for each (method, scores), in mm; `published` puts its own rows above."""
    rows: list[tuple[Cell, ...]] = [(*row, None) for row in PUBLISHED_INTERHAND] if published else []
    for method, s in scores:
        figures = (value * 1e3 for value in (s.single, s.interacting, s.all, s.mrrpe))
        rows.append((method, *figures, s.pictures[0] + s.pictures[1]))
    columns = ("method", "MPJPE single", "interacting", "all", "MRRPE", "pictures")
    return Table("InterHand2.6M, errors in mm (paper's Table 1)", columns, tuple(rows), (0, 2, 2, 2, 2, 0))


def object_table(scores: ObjectScores) -> Table:
    """MSSD of each model and over all samples, in mm."""
    rows: list[tuple[Cell, ...]] = [(name, count, value * 1e3) for name, (value, count) in scores.models.items()]
    rows.append(("all samples", sum(count for _, count in scores.models.values()), scores.mean * 1e3))
    return Table("Object poses, MSSD", ("model", "samples", "mm"), tuple(rows), (0, 0, 1))


def rhd_table(method: str, epe: float, auc: float, pictures: int) -> Table:
    """End-point error in mm and area under the curve from 20 to 50 mm, as papers print them of RHD."""
    columns = ("method", "EPE", "AUC 20-50 mm", "pictures")
    return Table("RHD, errors in mm", columns, ((method, epe * 1e3, auc, pictures),), (0, 2, 3, 0))


def answers_table(pixels: float, presence: float, objects: float | None = None) -> Table:
    """What the papers' tables leave out: distance in the picture, and how often presence is told right."""
    rows: list[tuple[Cell, ...]] = [
        ("joints in the picture, % of the crop's side", pixels * 100),
        ("pictures whose hands are told right %", presence * 100),
    ]
    if objects is not None:
        rows.append(("pictures whose object is told right %", objects * 100))
    return Table("Answers", ("what", "value"), tuple(rows), (0, 2))


def write_h2o3d_submission(path: Path, joints: FloatArray) -> Path:
    """Write what H2O-3D's challenge takes: one list with, per sample and joint, right x, y, z and left x, y, z.

    Args:
        path: the .json file; zip it for the upload.
        joints: (N, 2, 21, 3) metres from the right wrist, our order, optical axes, in the order of evaluation.txt; NaN
            (a hand that was not found) becomes zeros.

    Raises:
        ValueError: another shape.
    """
    if joints.ndim != 4 or joints.shape[1:] != (2, NUM_JOINTS, 3):
        raise ValueError(f"submission: expected joints (N, 2, {NUM_JOINTS}, 3), got {joints.shape}")
    native = np.nan_to_num(to_optical(joints[:, :, CANONICAL_TO_HO3D]).astype(np.float64), nan=0.0)
    # Adding 0 makes -0 a plain 0.
    rows = np.concatenate([native[:, 0], native[:, 1]], axis=-1).round(_DIGITS) + 0.0
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([rows.tolist()], separators=(",", ":"), allow_nan=False) + "\n", encoding="ascii")
    return path
