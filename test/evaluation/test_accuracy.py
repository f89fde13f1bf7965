"""The accumulator on scenes whose errors are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from hand_pose_ros.evaluation.accuracy import AccuracyMeter, LatencyMeter
from hand_pose_ros.evaluation.report import Report
from hand_pose_ros.evaluation.tables import (
    accuracy_data,
    detection_table,
    error_table,
    joint_table,
    latency_table,
    reliability_table,
    stability_table,
)
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import BoundingBox, HandEstimate, Scene, TrackingState, WristPose

REST = (np.random.default_rng(0).normal(0.0, 0.04, (21, 3)) + [0.0, 0.0, 0.5]).astype(np.float32)  # noqa: RUF005


@dataclass
class TrueHand:
    side: Side
    joints: np.ndarray


def estimate(joints: np.ndarray, side: Side = Side.RIGHT, std: float = 0.01, track: int = 1) -> HandEstimate:
    wrist = WristPose(joints[0].astype(np.float32), np.array([0, 0, 0, 1], dtype=np.float32))
    return HandEstimate(
        side,
        joints.astype(np.float32),
        np.full(21, std, dtype=np.float32),
        np.ones(21, dtype=np.bool_),
        0.9,
        track,
        TrackingState.TRACKED,
        BoundingBox(0, 0, 1, 1),
        wrist,
    )


def scene(stamp_ms: int, *hands: HandEstimate, **timings: float) -> Scene:
    return Scene(stamp_ms * 1_000_000, "camera", hands, (), timings)


def test_errors_counts_and_reliability() -> None:
    meter = AccuracyMeter()
    truth = [TrueHand(Side.RIGHT, REST)]
    matched = meter.add(scene(0, estimate(REST + np.float32([0.006, 0.0, 0.0]))), truth)
    np.testing.assert_allclose(matched[0][1], 0.006, atol=1e-6)
    meter.add(scene(33, estimate(REST + np.float32([0.0, 0.0, 0.012]))), truth)
    meter.add(scene(66, estimate(REST, Side.LEFT)), truth)
    meter.add(scene(99), truth)
    result = meter.result()
    assert (result.frames, result.hands) == (4, 2)
    assert result.absolute == pytest.approx(0.009, abs=1e-6)
    assert result.root_relative == pytest.approx(0.0, abs=1e-6)
    assert result.aligned == pytest.approx(0.0, abs=1e-6)
    both = result.counts["both"]
    assert (both.found, both.wrong_side, both.missed, both.invented) == (2, 1, 1, 0)
    assert result.reliability is not None
    # Errors of 6 and 12 mm against 10 mm: half within one deviation, all within two.
    assert result.reliability.within == (0.5, 1.0, 1.0)
    assert result.pck["absolute"][7] == 0.5
    assert np.isnan(result.jitter)


def test_jitter_is_the_second_difference_of_the_error() -> None:
    meter = AccuracyMeter()
    for index, offset in enumerate((0.0, 0.001, 0.0, 0.001)):
        moving = REST + np.float32([0.01 * index, 0.0, 0.0])
        meter.add(scene(20 * index, estimate(moving + np.float32([0, offset, 0]))), [TrueHand(Side.RIGHT, moving)])
    # |1 - 2 * 0 + 1| mm / (20 ms)² = 2 mm / 0.0004 s² = 5 m/s²
    assert meter.result().jitter == pytest.approx(5.0, rel=1e-3)


def test_a_gap_is_no_motion() -> None:
    meter = AccuracyMeter()
    for stamp, shift in ((0, 0.0), (33, 0.0), (1000, 0.05), (1033, 0.05)):
        meter.add(scene(stamp, estimate(REST + np.float32(shift))), [TrueHand(Side.RIGHT, REST)])
    assert np.isnan(meter.result().jitter)


def test_bone_spread_of_a_breathing_hand() -> None:
    meter = AccuracyMeter()
    for index, scale in enumerate((0.9, 1.0, 1.1)):
        meter.add(scene(33 * index, estimate(REST * np.float32(scale))), [TrueHand(Side.RIGHT, REST)])
    parents = [0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11, 0, 13, 14, 15, 0, 17, 18, 19]
    mean_length = np.mean([np.linalg.norm(REST[j + 1] - REST[p]) for j, p in enumerate(parents)])
    assert meter.result().bone_spread == pytest.approx(mean_length * np.std([0.9, 1.0, 1.1]), rel=1e-4)


def test_latency_percentiles_and_rate() -> None:
    meter = LatencyMeter()
    for total in (10.0, 20.0, 30.0):
        meter.add(scene(0, total=total, infer=total / 2))
    assert meter.summary()["total"] == pytest.approx({"mean": 20.0, "p50": 20.0, "p95": 29.0})
    assert meter.frames_per_second == pytest.approx(50.0)


def test_tables_speak_millimetres_and_nothing_measured_is_a_dash() -> None:
    meter = AccuracyMeter()
    empty = meter.result()
    tables = (error_table, detection_table, joint_table, reliability_table, stability_table)
    text = Report("empty", tuple(make(empty) for make in tables), accuracy_data(empty)).text()
    assert "absolute MPJPE" in text
    assert "–" in text
    assert "nan mm" not in text
    meter.add(scene(0, estimate(REST + np.float32([0.006, 0.0, 0.0]))), [TrueHand(Side.RIGHT, REST)])
    assert error_table(meter.result()).rows[0][1] == pytest.approx(6.0, abs=1e-3)
    assert latency_table({"total": {"mean": 1.0, "p50": 2.0, "p95": 3.0}}).rows == (("total", 1.0, 2.0, 3.0),)
