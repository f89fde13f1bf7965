from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hand_pose_ros.config import SmoothingConfig
from hand_pose_ros.pipeline.smoothing import OneEuroFilter
from hand_pose_ros.types import FloatArray


def run(config: SmoothingConfig, points: list[FloatArray], rate: float = 30.0) -> list[FloatArray]:
    smooth = OneEuroFilter(config)
    return [smooth(point, round(k / rate * 1e9)) for k, point in enumerate(points)]


def noise(count: int, scale: float, seed: int = 0) -> list[FloatArray]:
    return list(np.random.default_rng(seed).normal(0, scale, (count, 21, 3)).astype(np.float32))


configs = st.builds(
    SmoothingConfig, min_cutoff=st.floats(0.01, 100), beta=st.floats(0, 1000), derivative_cutoff=st.floats(0.01, 100)
)


@given(configs, st.floats(-2, 2), st.floats(1, 200))
@settings(max_examples=25)
def test_a_hand_at_rest_stays_where_it_is(config: SmoothingConfig, place: float, rate: float) -> None:
    still = [np.full((21, 3), place, dtype=np.float32)] * 5
    np.testing.assert_allclose(run(config, still, rate), still, atol=1e-6)


@given(configs, st.integers(0, 99))
@settings(max_examples=25)
def test_the_result_stays_between_the_extremes_of_the_input(config: SmoothingConfig, seed: int) -> None:
    points = noise(20, 0.05, seed)
    out = np.array(run(config, points))
    assert (out <= np.max(points, axis=0) + 1e-6).all() and (out >= np.min(points, axis=0) - 1e-6).all()


@given(configs, st.integers(0, 99), st.floats(0, 2 * math.pi))
@settings(max_examples=25)
def test_it_does_not_depend_on_the_direction_of_the_axes(config: SmoothingConfig, seed: int, angle: float) -> None:
    turn = np.array([[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]])
    points = noise(10, 0.05, seed)
    turned = [(point @ turn.T).astype(np.float32) for point in points]
    np.testing.assert_allclose(run(config, turned), np.array(run(config, points)) @ turn.T, atol=1e-5)


def test_without_speed_term_it_is_the_exponential_filter_of_the_real_time_step() -> None:
    smooth = OneEuroFilter(SmoothingConfig(min_cutoff=2.0, beta=0.0))
    zero, one = np.zeros((21, 3), np.float32), np.ones((21, 3), np.float32)
    smooth(zero, 0)
    expected = 0.0
    stamp = 0.0
    for dt in (0.033, 0.1, 0.01):  # an irregular stream
        stamp += dt
        rate = 2 * math.pi * 2.0 * dt
        expected += (1 - expected) * rate / (1 + rate)
        np.testing.assert_allclose(smooth(one, round(stamp * 1e9)), expected, rtol=1e-5)


def test_it_calms_a_resting_hand_and_follows_a_fast_one() -> None:
    config = SmoothingConfig()
    rest = noise(200, 0.003)
    assert np.std(run(config, rest)[50:]) < 0.6 * np.std(rest[50:])
    # 1 m/s: the lag of the raw low-pass at min_cutoff would be 1 / (2 pi 1.5) s = 10 cm; the speed term shortens it.
    moving = [np.full((21, 3), [k / 30, 0, 0], dtype=np.float32) for k in range(60)]
    assert moving[-1][0, 0] - run(config, moving)[-1][0, 0] < 0.02


def test_joints_are_filtered_independently() -> None:
    points = noise(10, 0.01)
    moved = [point.copy() for point in points]
    for point in moved[5:]:
        point[3] += 0.1
    a, b = np.array(run(SmoothingConfig(), points)), np.array(run(SmoothingConfig(), moved))
    others = [joint for joint in range(21) if joint != 3]
    np.testing.assert_array_equal(a[:, others], b[:, others])
    assert np.abs(a[-1, 3] - b[-1, 3]).max() > 0.05


def test_stamps() -> None:
    smooth = OneEuroFilter(SmoothingConfig())
    first, second = noise(2, 0.1)
    np.testing.assert_array_equal(smooth(first, 10), first)
    np.testing.assert_array_equal(smooth(second, 10), first)  # no time has passed
    with pytest.raises(ValueError, match="expected a stamp from 10 ns on, got 9 ns"):
        smooth(second, 9)
