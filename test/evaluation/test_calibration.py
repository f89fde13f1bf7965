"""Calibration on draws whose deviations are known."""

from __future__ import annotations

import numpy as np
import pytest

from hand_pose_ros.evaluation.calibration import calibration, expected_coverage


def draws(factor: float, count: int = 40_000) -> tuple[np.ndarray, np.ndarray]:
    """Errors of points drawn with `factor` times the stated deviation, and the stated deviations."""
    rng = np.random.default_rng(3)
    std = rng.uniform(0.003, 0.030, count)
    return np.linalg.norm(rng.normal(size=(count, 3)) * (factor * std)[:, None], axis=1), std


@pytest.mark.parametrize(("k", "probability"), [(1.0, 0.19875), (2.0, 0.73854), (3.0, 0.97071), (1.8779, 0.6827)])
def test_coverage_is_that_of_the_chi_distribution(k: float, probability: float) -> None:
    # Tabulated values of the chi-squared distribution with three degrees of freedom at k².
    assert expected_coverage(k) == pytest.approx(probability, abs=1e-4)


def test_a_calibrated_prediction_is_called_calibrated() -> None:
    result = calibration(*draws(1.0))
    assert result.within == pytest.approx(result.expected, abs=0.01)
    assert result.error < 0.01
    assert result.scale == pytest.approx(1.0, abs=0.02)
    np.testing.assert_allclose(result.bin_rms, result.bin_std, rtol=0.05)
    assert result.correlation > 0.5


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_the_missing_factor_is_found(factor: float) -> None:
    result = calibration(*draws(factor))
    assert result.scale == pytest.approx(factor, rel=0.02)
    assert result.error > 0.2
    assert (result.observed.mean() < 0.5) == (factor > 1)


def test_constant_deviation_has_no_ranking() -> None:
    errors, _ = draws(1.0, 100)
    assert np.isnan(calibration(errors, np.full(100, 0.01)).correlation)


@pytest.mark.parametrize(
    ("errors", "std", "says"),
    [
        (np.ones(3), np.array([1.0, 0.0, 1.0]), "positive"),
        (np.ones(3), np.ones(2), "one non-empty shape"),
        (np.ones(0), np.ones(0), "one non-empty shape"),
    ],
)
def test_wrong_input_is_named(errors: np.ndarray, std: np.ndarray, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        calibration(errors, std)
