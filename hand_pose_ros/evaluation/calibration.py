"""Does `joint_std` mean what it says? Reliability of the predicted standard deviations.

`joint_std` is the standard deviation s per axis of an isotropic 3D Gaussian. Then the distance r of a joint from the
truth, divided by s, follows the chi distribution with three degrees of freedom (Maxwell's), that is
P(r <= k s) = erf(k / sqrt 2) - sqrt(2 / pi) k exp(-k² / 2): 19.9 % of the joints lie within 1 s, 73.9 % within 2 s,
97.1 % within 3 s. (68 % and 95 % belong to one axis alone, and hold for 1.88 s and 2.80 s in space.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from hand_pose_ros.types import DoubleArray, FloatArray

Array = FloatArray | DoubleArray
LEVELS: Final = 20
BINS: Final = 10


def expected_coverage(k: float) -> float:
    """Probability that a 3D Gaussian point lies within k standard deviations of its mean."""
    return math.erf(k / math.sqrt(2)) - math.sqrt(2 / math.pi) * k * math.exp(-k * k / 2)


@dataclass(frozen=True)
class Calibration:
    """Predicted standard deviations against the errors that happened, over M joints.

    Attributes:
        count: M.
        within: fraction of the joints within 1, 2 and 3 standard deviations; compare with `expected`.
        expected: the same for a perfectly calibrated prediction (0.199, 0.739, 0.971).
        levels: (20,) nominal probabilities.
        observed: (20,) fraction of the joints inside the ball that should hold this probability.
        error: mean |observed - nominal| over the levels: 0 is perfect, 0.5 the worst.
        scale: the one factor on all standard deviations that makes the data most likely; above 1: too confident.
        correlation: Spearman's between predicted deviation and error: does it know where it is bad?
        bin_std: (10,) mean predicted standard deviation (m) in bins of equal count, smallest first.
        bin_rms: (10,) root mean square error per axis (m) in the same bins; equal to `bin_std` when calibrated.
    """

    count: int
    within: tuple[float, float, float]
    expected: tuple[float, float, float]
    levels: DoubleArray
    observed: DoubleArray
    error: float
    scale: float
    correlation: float
    bin_std: DoubleArray
    bin_rms: DoubleArray


def calibration(errors: Array, std: Array) -> Calibration:
    """Compare joint errors (any shape, metres, absolute) with predicted standard deviations of the same shape.

    Raises:
        ValueError: shapes differ, nothing to compare, or a standard deviation that is not positive.
    """
    r = np.asarray(errors, dtype=np.float64).reshape(-1)
    s = np.asarray(std, dtype=np.float64).reshape(-1)
    if np.shape(errors) != np.shape(std) or not r.size:
        raise ValueError(
            f"expected errors and deviations of one non-empty shape, got {np.shape(errors)}, {np.shape(std)}"
        )
    if (s <= 0).any():
        raise ValueError(f"expected positive standard deviations, got {s.min()}; a joint without one must be left out")
    ratio = r / s
    nominal = np.arange(1, LEVELS + 1) / (LEVELS + 1)
    # The level at which each joint just enters its ball; uniform on 0..1 when calibrated.
    reached = np.sort(np.array([expected_coverage(k) for k in ratio]))
    observed = np.searchsorted(reached, nominal, side="right") / len(reached)
    bin_std, bin_rms = _bins(r, s)
    return Calibration(
        count=r.size,
        within=(float((ratio <= 1).mean()), float((ratio <= 2).mean()), float((ratio <= 3).mean())),
        expected=(expected_coverage(1), expected_coverage(2), expected_coverage(3)),
        levels=nominal,
        observed=observed,
        error=float(np.abs(observed - nominal).mean()),
        scale=float(np.sqrt((ratio**2).mean() / 3)),
        correlation=_rank_correlation(s, r),
        bin_std=bin_std,
        bin_rms=bin_rms,
    )


def calibrating_factor(errors: Array, std: Array) -> float:
    """The factor on all standard deviations that makes the calibration error smallest.

    Unlike `Calibration.scale`, which makes the data most likely, it is not ruled by the few worst failures.

    Raises:
        ValueError: see `calibration`.
    """
    best = calibration(errors, std).scale
    # Coarse to fine about the best so far.
    for spread in (1.0, 0.2, 0.04):
        tried = best * np.exp(np.linspace(-spread, spread, 11))
        best = float(tried[int(np.argmin([calibration(errors, factor * std).error for factor in tried]))])
    return best


def _bins(errors: DoubleArray, std: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
    groups = [group for group in np.array_split(np.argsort(std, kind="stable"), BINS) if group.size]
    means = np.array([std[group].mean() for group in groups])
    rms = np.array([np.sqrt((errors[group] ** 2).mean() / 3) for group in groups])
    return means, rms


def _rank_correlation(a: DoubleArray, b: DoubleArray) -> float:
    ranks = [np.argsort(np.argsort(x, kind="stable"), kind="stable").astype(np.float64) for x in (a, b)]
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])
