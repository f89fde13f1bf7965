"""How far a hand is from the truth: joint errors, alignments, curves, bone lengths and smoothness.

Everything is in metres and seconds, vectorised over N hands; `report` turns metres into the papers' millimetres.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from hand_pose_ros.skeleton import BONES, WRIST
from hand_pose_ros.types import BoolArray, DoubleArray, FloatArray

Joints = FloatArray | DoubleArray

# InterHand, FreiHAND, HO-3D and DexYCB report the area under the PCK curve from 0 to 50 mm.
AUC_LIMIT: Final = 0.05
AUC_STEPS: Final = 100
MIDDLE_BASE: Final = 9


def joint_errors(predicted: Joints, truth: Joints) -> DoubleArray:
    """Distances (N, J) in metres of joints (N, J, 3) in the same frame: the absolute error, nothing aligned."""
    a, b = _pair(predicted, truth)
    return np.asarray(np.linalg.norm(a - b, axis=-1))


def root_relative(joints: Joints, root: int = WRIST) -> DoubleArray:
    """Joints (N, J, 3) with the root joint (default: the wrist) at the origin."""
    points = _points("joints", joints)
    return points - points[:, root : root + 1]


def procrustes_aligned(predicted: Joints, truth: Joints) -> DoubleArray:
    """`predicted` (N, J, 3) after the best similarity (rotation, uniform scale, translation; no reflection) to `truth`.

    Umeyama 1991, for all hands at once. A hand whose predicted joints all coincide keeps scale 1.
    """
    a, b = _pair(predicted, truth)
    mean_a, mean_b = a.mean(axis=1, keepdims=True), b.mean(axis=1, keepdims=True)
    centred_a, centred_b = a - mean_a, b - mean_b
    u, singular, vt = np.linalg.svd(np.swapaxes(centred_b, 1, 2) @ centred_a)
    sign = np.ones_like(singular)
    sign[:, 2] = np.where(np.linalg.det(u @ vt) < 0, -1.0, 1.0)
    rotation = (u * sign[:, None]) @ vt
    variance = (centred_a**2).sum(axis=(1, 2))
    scale = np.where(variance > 0, (singular * sign).sum(axis=1) / np.where(variance > 0, variance, 1.0), 1.0)
    aligned: DoubleArray = scale[:, None, None] * (centred_a @ np.swapaxes(rotation, 1, 2)) + mean_b
    return aligned


def scale_translation_aligned(predicted: Joints, truth: Joints) -> DoubleArray:
    """`predicted` (N, 21, 3) with the truth's wrist and the truth's length from the wrist to the middle finger's base.

    HO-3D's "scale-translation alignment". A hand whose predicted wrist and middle base coincide keeps its scale.
    """
    a, b = _pair(predicted, truth)
    palms = [np.linalg.norm(points[:, MIDDLE_BASE] - points[:, WRIST], axis=-1) for points in (a, b)]
    scale = np.where(palms[0] > 0, palms[1] / np.where(palms[0] > 0, palms[0], 1.0), 1.0)
    return root_relative(a) * scale[:, None, None] + b[:, WRIST : WRIST + 1]


def f_score(predicted: Joints, truth: Joints, threshold: float) -> DoubleArray:
    """F-score (N,) of point sets (N, P, 3) and (N, Q, 3): harmonic mean of the shares that lie near the other set.

    A point is near when its nearest neighbour in the other set is less than `threshold` metres away (Knapitsch 2017).
    """
    a, b = _points("predicted", predicted), _points("truth", truth)
    scores = np.zeros(len(a))
    for n, (p, q) in enumerate(zip(a, b, strict=True)):
        squared = (p**2).sum(axis=1)[:, None] + (q**2).sum(axis=1)[None] - 2 * p @ q.T
        near = squared < threshold**2
        one, other = near.any(axis=1).mean(), near.any(axis=0).mean()
        scores[n] = 2 * one * other / (one + other) if one + other > 0 else 0.0
    return scores


@dataclass(frozen=True)
class PoseErrors:
    """Joint errors (N, J) in metres under the three customary alignments.

    Attributes:
        absolute: in the camera frame, nothing aligned.
        root_relative: the wrists put together. The wrist itself, which is 0 by construction, is included, as in
            the papers on DexYCB and HO-3D.
        aligned: after the similarity Procrustes alignment (PA).
    """

    absolute: DoubleArray
    root_relative: DoubleArray
    aligned: DoubleArray


def pose_errors(predicted: Joints, truth: Joints) -> PoseErrors:
    """All three errors of hands (N, J, 3) in metres."""
    return PoseErrors(
        absolute=joint_errors(predicted, truth),
        root_relative=joint_errors(root_relative(predicted), root_relative(truth)),
        aligned=joint_errors(procrustes_aligned(predicted, truth), truth),
    )


def mean_error(errors: DoubleArray, valid: BoolArray | None = None) -> float:
    """MPJPE: the mean of errors (N, J), over the valid joints only where given; NaN when there are none."""
    chosen = errors[valid] if valid is not None else errors.reshape(-1)
    return float(chosen.mean()) if chosen.size else float("nan")


def per_joint(errors: DoubleArray) -> DoubleArray:
    """Mean error (J,) of each joint over the hands; NaN when there are none."""
    return errors.mean(axis=0) if len(errors) else np.full(errors.shape[1], np.nan)


def pck(errors: DoubleArray, thresholds: DoubleArray) -> DoubleArray:
    """Fraction (T,) of the errors at or below each threshold (metres); NaN when there are none."""
    ordered = np.sort(errors.reshape(-1))
    if not ordered.size:
        return np.full(len(thresholds), np.nan)
    return np.searchsorted(ordered, thresholds, side="right") / ordered.size


def auc(errors: DoubleArray, limit: float = AUC_LIMIT, steps: int = AUC_STEPS) -> float:
    """Area under the PCK curve from 0 to `limit` metres, divided by `limit`: 1 is perfect."""
    curve = pck(errors, np.linspace(0.0, limit, steps))
    return float((curve[1:] + curve[:-1]).sum() / 2 / (steps - 1))


def bone_lengths(joints: Joints) -> DoubleArray:
    """Lengths (N, 20) in metres of the bones in `skeleton.BONES` of joints (N, 21, 3)."""
    points = _points("joints", joints)
    parents, children = np.array(BONES).T
    return np.asarray(np.linalg.norm(points[:, children] - points[:, parents], axis=-1))


def bone_length_errors(predicted: Joints, truth: Joints) -> DoubleArray:
    """Signed differences (N, 20) in metres of the bone lengths, predicted minus true."""
    return bone_lengths(predicted) - bone_lengths(truth)


def acceleration(joints: Joints, times: DoubleArray) -> DoubleArray:
    """Second derivative (T-2, J, 3) in m/s² of one hand's joints (T, J, 3) at increasing `times` (T,) seconds.

    Three-point differences that allow uneven spacing, exact for motion with constant acceleration.

    Raises:
        ValueError: fewer times than frames, or times that do not increase.
    """
    points = _points("joints", joints)
    if len(times) != len(points):
        raise ValueError(f"expected one time per frame, got {len(times)} times and {len(points)} frames")
    steps = np.diff(times)
    if (steps <= 0).any():
        raise ValueError("expected increasing times; sort the frames and drop the repeated ones first")
    if len(points) < 3:
        return np.zeros((0, *points.shape[1:]))
    velocity = np.diff(points, axis=0) / steps[:, None, None]
    return np.asarray(np.diff(velocity, axis=0) * 2 / (steps[1:] + steps[:-1])[:, None, None])


def acceleration_error(predicted: Joints, truth: Joints, times: DoubleArray) -> DoubleArray:
    """Jitter: distance (T-2, J) in m/s² of the predicted from the true acceleration (as in HMMR, Kanazawa 2019)."""
    a, b = _pair(predicted, truth)
    return np.asarray(np.linalg.norm(acceleration(a, times) - acceleration(b, times), axis=-1))


def _points(name: str, joints: Joints) -> DoubleArray:
    points = np.asarray(joints, dtype=np.float64)
    if points.ndim != 3 or points.shape[2] != 3:
        raise ValueError(f"{name}: expected shape (N, J, 3), got {points.shape}; add an axis for a single hand")
    return points


def _pair(predicted: Joints, truth: Joints) -> tuple[DoubleArray, DoubleArray]:
    a, b = _points("predicted", predicted), _points("truth", truth)
    if a.shape != b.shape:
        raise ValueError(f"expected predictions and truth of one shape, got {a.shape} and {b.shape}")
    return a, b
