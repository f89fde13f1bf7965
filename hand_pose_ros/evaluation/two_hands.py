"""Errors of two hands as the papers on InterHand2.6M, H2O-3D and RHD measure them.

Metres; N pictures, hands in the order (right, left), joints in any common order whose wrist is `skeleton.WRIST`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from hand_pose_ros.evaluation.metrics import AUC_STEPS, Joints, pck
from hand_pose_ros.skeleton import WRIST
from hand_pose_ros.types import BoolArray, DoubleArray

# Zimmermann and Brox draw the curve on RHD from 20 to 50 mm.
RHD_AUC_RANGE: Final = (0.02, 0.05)
_HANDEDNESS_LEVEL: Final = 0.5


@dataclass(frozen=True)
class HandErrors:
    """Distances (N, 2, 21) in metres and which of them count."""

    distance: DoubleArray
    counted: BoolArray

    def of(self, pictures: BoolArray) -> HandErrors:
        """Those of some of the pictures (N,)."""
        return HandErrors(self.distance[pictures], self.counted[pictures])

    def per_joint(self) -> DoubleArray:
        """Mean (2, 21) of each joint over the pictures that count it; NaN where none does."""
        total = np.where(self.counted, self.distance, 0.0).sum(axis=0)
        count = self.counted.sum(axis=0)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    def mpjpe(self) -> float:
        """InterHand2.6M's mean: of each joint over the pictures, then of the joints; NaN without any.

        The wrists, whose error is 0 by construction, are among them, in the published figures too.
        """
        means = self.per_joint()
        return float(np.nanmean(means)) if np.isfinite(means).any() else float("nan")

    def flat(self) -> DoubleArray:
        """The distances that count, in one row, for curves."""
        return self.distance[self.counted]


def wrist_relative(predicted: Joints, truth: Joints, valid: BoolArray) -> HandErrors:
    """Errors of joints (N, 2, 21, 3), each hand from its own wrist; a hand whose wrist is not valid does not count.

    Args:
        predicted, truth: in a common frame, or each hand in any frame of its own.
        valid: (N, 2, 21).

    Raises:
        ValueError: the shapes do not fit, or a joint that counts is not finite.
    """
    a, b = _pair(predicted, truth, valid)
    counted = valid & valid[:, :, WRIST : WRIST + 1]
    distance = np.linalg.norm((a - a[:, :, WRIST : WRIST + 1]) - (b - b[:, :, WRIST : WRIST + 1]), axis=-1)
    if not np.isfinite(distance[counted]).all():
        raise ValueError(
            "expected finite joints where valid is True; a hand that was not found has to be given a guess"
        )
    return HandErrors(distance, counted)


@dataclass(frozen=True)
class TwoHandScores:
    """The figures of Keypoint Transformer's Table 1, in metres; NaN where there is nothing to average.

    Attributes:
        single, interacting, all: MPJPE over pictures with one hand, with two, and over all.
        mrrpe: mean error of the left wrist's place from the right one, of pictures with both.
        pictures: how many of (single, interacting, mrrpe).
    """

    single: float
    interacting: float
    all: float
    mrrpe: float
    pictures: tuple[int, int, int]


def two_hand_scores(
    predicted: Joints,
    truth: Joints,
    valid: BoolArray,
    present: BoolArray,
    predicted_translation: Joints,
    true_translation: Joints | None = None,
) -> TwoHandScores:
    """Table 1 for joints (N, 2, 21, 3).

    Args:
        predicted, truth: see `wrist_relative`.
        valid: (N, 2, 21).
        present: (N, 2), the annotated hands; they divide single from interacting, whatever was predicted.
        predicted_translation: (N, 3) right to left wrist.
        true_translation: (N, 3); None takes it from `truth`, whose hands are in one frame then.

    Raises:
        ValueError: the shapes do not fit.
    """
    errors = wrist_relative(predicted, truth, valid)
    both: BoolArray = np.asarray(present.all(axis=1))
    if true_translation is None:
        true_translation = np.asarray(truth[:, 1, WRIST] - truth[:, 0, WRIST])
    counted = both & valid[:, :, WRIST].all(axis=1)
    mrrpe = translation_errors(predicted_translation[counted], true_translation[counted])
    return TwoHandScores(
        single=errors.of(~both).mpjpe(),
        interacting=errors.of(both).mpjpe(),
        all=errors.mpjpe(),
        mrrpe=float(mrrpe.mean()) if len(mrrpe) else float("nan"),
        pictures=(int((~both).sum()), int(both.sum()), int(counted.sum())),
    )


def translation_errors(predicted: Joints, truth: Joints) -> DoubleArray:
    """Distances (N,) of right-to-left translations (N, 3): MRRPE is their mean. Raises `ValueError`."""
    if predicted.shape != truth.shape or predicted.ndim != 2 or predicted.shape[1] != 3:
        raise ValueError(f"expected translations (N, 3) of one shape, got {predicted.shape} and {truth.shape}")
    return np.asarray(np.linalg.norm(np.asarray(predicted, np.float64) - np.asarray(truth, np.float64), axis=-1))


def vertex_errors(
    predicted: Joints, truth: Joints, predicted_wrists: Joints, true_wrists: Joints, present: BoolArray
) -> DoubleArray:
    """MPVPE's terms: the mean distance (M,) of the vertices of each of the M hands that are present, from the wrist.

    Args:
        predicted, truth: (N, 2, V, 3).
        predicted_wrists, true_wrists: (N, 2, 3) in the same frames.
        present: (N, 2), hands with a true mesh.

    Raises:
        ValueError: the shapes do not fit.
    """
    a, b = np.asarray(predicted, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 4 or a.shape[:2] != present.shape:
        raise ValueError(f"expected meshes (N, 2, V, 3) of one shape, got {a.shape} and {b.shape}")
    ours, theirs = (
        mesh[present] - np.asarray(wrists, dtype=np.float64)[present][:, None]
        for mesh, wrists in ((a, predicted_wrists), (b, true_wrists))
    )
    return np.asarray(np.linalg.norm(ours - theirs, axis=-1).mean(axis=1))


def end_point_error(errors: HandErrors) -> float:
    """EPE of RHD by InterNet's protocol: left and right hands alike, mean of each of 21 joints, then of the joints."""
    return HandErrors(errors.distance.reshape(-1, 1, 21), errors.counted.reshape(-1, 1, 21)).mpjpe()


def curve_area(errors: DoubleArray, low: float, high: float, steps: int = AUC_STEPS) -> float:
    """Area under the PCK curve between two thresholds in metres, 1 at best; RHD's is `RHD_AUC_RANGE`."""
    curve = pck(errors, np.linspace(low, high, steps))
    return float((curve[1:] + curve[:-1]).sum() / 2 / (steps - 1))


def handedness_accuracy(predicted: Joints, present: BoolArray, known: BoolArray) -> float:
    """The share of pictures whose two scores (N, 2) say which hands are there: above one half where present.

    `known` (N,) are the pictures whose annotated hand type is to be trusted; NaN without any.
    """
    right = ((np.asarray(predicted, dtype=np.float64) > _HANDEDNESS_LEVEL) == present).all(axis=1)[known]
    return float(right.mean()) if len(right) else float("nan")


def _pair(predicted: Joints, truth: Joints, valid: BoolArray) -> tuple[DoubleArray, DoubleArray]:
    a, b = np.asarray(predicted, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 4 or a.shape[1] != 2 or a.shape[3] != 3 or valid.shape != a.shape[:3]:
        raise ValueError(
            f"expected joints (N, 2, 21, 3) and valid (N, 2, 21), got {a.shape}, {b.shape} and {valid.shape}"
        )
    return a, b
