from __future__ import annotations

import numpy as np
import pytest

from hand_pose_ros.datasets.synthetic.sensor import SensorKind, SensorModel, depth_noise, sample_sensor
from hand_pose_ros.types import FloatArray, Intrinsics

CAMERA = Intrinsics(500.0, 500.0, 79.5, 79.5, 160, 160)
KINDS = ("stereo", "structured", "tof")


def wall(z: float) -> FloatArray:
    return np.full((160, 160), z, dtype=np.float32)


def plain(kind: SensorKind, **changes: float) -> SensorModel:
    """A sensor without holes and speckles."""
    base = {"ragged": 0.0, "flying": 0.0, "edge_holes": 0.0, "speckle": 0.0, "grazing": 1e3}
    return SensorModel(kind, **{**base, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_a_wall_stays_a_wall(kind: str) -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        noisy = depth_noise(wall(0.7), rng, sample_sensor(rng, kind), CAMERA)
        seen = noisy[noisy > 0]
        assert noisy.dtype == np.float32
        assert noisy.shape == (160, 160)
        assert len(seen) > 0.9 * noisy.size
        assert float(np.median(seen)) == pytest.approx(0.7, abs=0.012)
        assert float(seen.std()) < 0.02


def test_ideal_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    assert np.array_equal(depth_noise(wall(0.7), rng, sample_sensor(rng, "ideal"), CAMERA), wall(0.7))


def test_stereo_noise_grows_with_the_square_of_the_range() -> None:
    sensor = plain(SensorKind.STEREO, unit=0.0, max_range=10.0, subpixel=0.2)
    spread = [
        float(depth_noise(wall(z), np.random.default_rng(1), sensor, CAMERA)[:, 5:-5].std()) for z in (0.5, 1.0, 2.0)
    ]
    assert spread[1] / spread[0] == pytest.approx(4.0, rel=0.1)
    assert spread[2] / spread[1] == pytest.approx(4.0, rel=0.1)
    # z^2 / (f B) * sigma, with the matcher's steps of 1/32 px.
    assert spread[1] == pytest.approx(1.0 / (500 * 0.05) * 0.2, rel=0.15)


@pytest.mark.parametrize("unit", [0.001, 0.000125])
def test_depth_comes_in_the_sensors_unit(unit: float) -> None:
    sensor = plain(SensorKind.STRUCTURED, unit=unit, subpixel=4.0)
    noisy = depth_noise(wall(0.6), np.random.default_rng(2), sensor, CAMERA)
    steps = noisy / unit
    assert np.abs(steps - np.rint(steps)).max() < 0.01
    assert len(np.unique(np.rint(steps))) > 3


@pytest.mark.parametrize("baseline", [0.05, -0.05])
def test_the_second_eye_does_not_see_behind_a_near_edge(baseline: float) -> None:
    """A near square before a wall: the shadow is as wide as the difference of the disparities, on one side only."""
    scene = wall(1.0)
    scene[40:120, 60:100] = 0.5
    noisy = depth_noise(scene, np.random.default_rng(3), plain(SensorKind.STEREO, baseline=baseline), CAMERA)
    left, right = (noisy[45:115, 20:60] == 0).sum(axis=1), (noisy[45:115, 100:140] == 0).sum(axis=1)
    shadow, other = (left, right) if baseline > 0 else (right, left)
    expected = 500 * 0.05 * (1 / 0.5 - 1 / 1.0)
    assert float(np.median(shadow)) == pytest.approx(expected, abs=2.0)
    assert float(np.median(other)) == 0.0
    assert (noisy[45:115, 65:95] > 0).all()


def test_flying_pixels_lie_between_the_surfaces() -> None:
    scene = wall(1.0)
    scene[40:120, 60:100] = 0.6
    noisy = depth_noise(scene, np.random.default_rng(4), plain(SensorKind.TOF, flying=0.9, baseline=0.0), CAMERA)
    between = (noisy > 0.65) & (noisy < 0.95)
    assert between.sum() > 50
    v, u = np.nonzero(between)
    near_edge = np.minimum.reduce([abs(u - 60), abs(u - 99), abs(v - 40), abs(v - 119)])
    assert near_edge.max() <= 2


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_empty_or_out_of_range_stays_empty(kind: str) -> None:
    scene = wall(0.0)
    scene[60:100, 60:100] = 0.7
    scene[:20] = 9.0
    rng = np.random.default_rng(5)
    noisy = depth_noise(scene, rng, sample_sensor(rng, kind), CAMERA)
    assert (noisy[:20] == 0).all()
    assert (noisy[scene == 0] == 0).all()
    assert (noisy[65:95, 65:95] > 0).mean() > 0.9


def test_equal_seeds_give_equal_noise() -> None:
    sensor = sample_sensor(np.random.default_rng(6), "stereo")
    a, b, c = (depth_noise(wall(0.7), np.random.default_rng(seed), sensor, CAMERA) for seed in (1, 1, 2))
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_dark_surfaces_lose_readings() -> None:
    sensor = plain(SensorKind.STRUCTURED, absorption=1.0)
    for level, share in ((0, 0.0), (15, 15 / 31), (31, 1.0)):
        loss = np.zeros((160, 160), dtype=np.uint8)
        loss[:, 80:] = level
        noisy = depth_noise(wall(0.6), np.random.default_rng(7), sensor, CAMERA, loss)
        assert float((noisy[:, 80:] == 0).mean()) == pytest.approx(share, abs=0.12)
        assert (noisy[:, :80] > 0).all()
