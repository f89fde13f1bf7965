from __future__ import annotations

import numpy as np
import pytest

from hand_pose_ros.datasets.synthetic.noise import SIDE, SMOOTHNESS, NoiseSource

SIZE = (160, 120)


@pytest.mark.parametrize("smooth", SMOOTHNESS)
def test_noise_is_normal_and_as_smooth_as_asked(smooth: float) -> None:
    source = NoiseSource(np.random.default_rng(1))
    windows = np.stack([source.normal(SIZE, smooth) for _ in range(12)])
    assert float(windows.std()) == pytest.approx(1.0, rel=0.12)
    assert abs(float(windows.mean())) < 0.15
    # White noise blurred by sigma has the correlation exp(-d^2 / (4 sigma^2)) at distance d.
    neighbours = float((windows[:, :, 1:] * windows[:, :, :-1]).mean() / windows.var())
    assert neighbours == pytest.approx(np.exp(-1.0 / (4.0 * max(smooth, 0.1) ** 2)), abs=0.12)


def test_windows_differ_and_are_repeatable() -> None:
    first, second = (NoiseSource(np.random.default_rng(seed)) for seed in (5, 5))
    windows = [first.normal(SIZE) for _ in range(8)]
    assert all(np.array_equal(window, second.normal(SIZE)) for window in windows)
    assert len({window.tobytes() for window in windows}) == 8


def test_bytes_are_uniform() -> None:
    window = NoiseSource(np.random.default_rng(2)).uniform((SIDE, SIDE))
    assert window.shape == (SIDE, SIDE)
    assert np.bincount(window.reshape(-1), minlength=256).std() < 100


def test_what_cannot_be_is_refused() -> None:
    source = NoiseSource(np.random.default_rng(3))
    with pytest.raises(ValueError, match=str(SIDE)):
        source.normal((SIDE + 1, 10))
    with pytest.raises(RuntimeError, match="16"):
        for _ in range(17):
            source.uniform((4, 4))
