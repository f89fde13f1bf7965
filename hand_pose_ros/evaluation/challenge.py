"""HO-3D's challenge: the submission file, and the scores that its server gives it.

The server's measures are re-implemented here (its script needs packages that are gone), so that a submission can be
scored against the truth that was released in 2024.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

import numpy as np

from hand_pose_ros.datasets.ho3d import NUM_VERTICES, to_optical
from hand_pose_ros.evaluation import metrics
from hand_pose_ros.evaluation.metrics import Joints
from hand_pose_ros.skeleton import CANONICAL_TO_HO3D, NUM_JOINTS
from hand_pose_ros.types import DoubleArray, FloatArray

F_THRESHOLDS: Final = (0.005, 0.015)
# A micrometre: a tenth of the file's size in digits, and no figure changes.
_DIGITS: Final = 6
_BATCH: Final = 64


@dataclass(frozen=True)
class JointScores:
    """Mean joint errors in metres and areas under the PCK curve from 0 to 50 mm under the challenge's alignments."""

    raw: float
    raw_auc: float
    scale_translation: float
    scale_translation_auc: float
    procrustes: float
    procrustes_auc: float


@dataclass(frozen=True)
class MeshScores:
    """Mean vertex errors in metres with their areas under the curve, and F-scores at 5 and 15 mm; raw and aligned."""

    raw: float
    raw_auc: float
    aligned: float
    aligned_auc: float
    f_scores: tuple[float, float]
    aligned_f_scores: tuple[float, float]


def joint_scores(predicted: Joints, truth: Joints) -> JointScores:
    """Scores of joints (N, 21, 3) in metres, canonical order, any common frame; NaN where there are none."""
    raw = metrics.joint_errors(predicted, truth)
    scaled = metrics.joint_errors(metrics.scale_translation_aligned(predicted, truth), truth)
    aligned = metrics.joint_errors(metrics.procrustes_aligned(predicted, truth), truth)
    return JointScores(
        *(figure for errors in (raw, scaled, aligned) for figure in (metrics.mean_error(errors), metrics.auc(errors)))
    )


def mesh_scores(predicted: FloatArray, truth: FloatArray) -> MeshScores:
    """Scores of meshes (N, 778, 3) in metres, any common frame; computed in small batches."""
    raw, aligned, f_raw, f_aligned = [], [], [], []
    for start in range(0, len(truth), _BATCH):
        part = slice(start, start + _BATCH)
        moved = metrics.procrustes_aligned(predicted[part], truth[part])
        raw.append(metrics.joint_errors(predicted[part], truth[part]).astype(np.float32))
        aligned.append(metrics.joint_errors(moved, truth[part]).astype(np.float32))
        f_raw.append([metrics.f_score(predicted[part], truth[part], limit) for limit in F_THRESHOLDS])
        f_aligned.append([metrics.f_score(moved, truth[part], limit) for limit in F_THRESHOLDS])
    errors, aligned_errors = (_joined(parts, axis=0) for parts in (raw, aligned))
    means = [tuple(float(np.concatenate([p[k] for p in parts]).mean()) for k in (0, 1)) for parts in (f_raw, f_aligned)]
    return MeshScores(
        metrics.mean_error(errors),
        metrics.auc(errors),
        metrics.mean_error(aligned_errors),
        metrics.auc(aligned_errors),
        (means[0][0], means[0][1]),
        (means[1][0], means[1][1]),
    )


def _joined(parts: Sequence[FloatArray | DoubleArray], axis: int) -> DoubleArray:
    return np.concatenate(parts, axis=axis).astype(np.float64)


def write_submission(path: Path, joints: FloatArray, vertices: FloatArray | None = None) -> Path:
    """Write what the challenge takes: a list of joints and a list of vertices, one entry per line of evaluation.txt.

    Args:
        path: the .json file; zip it for the upload.
        joints: (N, 21, 3) metres, our order, optical frame; rows of NaN (no hand) are written as zeros.
        vertices: (N, 778, 3) metres, optical frame, of MANO's mesh; None writes zeros, which the server scores as such.

    Raises:
        ValueError: the arrays are not of these shapes.
    """
    if joints.ndim != 3 or joints.shape[1:] != (NUM_JOINTS, 3):
        raise ValueError(f"submission: expected joints (N, {NUM_JOINTS}, 3), got {joints.shape}")
    if vertices is not None and vertices.shape != (len(joints), NUM_VERTICES, 3):
        raise ValueError(f"submission: expected vertices ({len(joints)}, {NUM_VERTICES}, 3), got {vertices.shape}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="ascii") as stream:
        stream.write("[")
        _write_list(stream, (_rows(to_optical(entry[CANONICAL_TO_HO3D])) for entry in joints))
        stream.write(",\n")
        if vertices is None:
            nothing = "[" + ",".join(["[0,0,0]"] * NUM_VERTICES) + "]"
            _write_list(stream, (nothing for _ in range(len(joints))))
        else:
            _write_list(stream, (_rows(to_optical(entry)) for entry in vertices))
        stream.write("]\n")
    return path


def _rows(points: FloatArray) -> str:
    # Adding 0 makes -0 a plain 0.
    clean = np.nan_to_num(points.astype(np.float64), nan=0.0).round(_DIGITS) + 0.0
    return json.dumps(clean.tolist(), separators=(",", ":"), allow_nan=False)


def _write_list(stream: TextIO, entries: Iterator[str]) -> None:
    stream.write("[")
    for number, entry in enumerate(entries):
        stream.write(",\n" if number else "")
        stream.write(entry)
    stream.write("]")
