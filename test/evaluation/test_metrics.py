"""Metrics against worked examples, invariances, and the published code's own figures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hand_pose_ros.evaluation import metrics
from hand_pose_ros.geometry.alignment import procrustes
from hand_pose_ros.geometry.wrist import quaternion_to_matrix

SEEDS = st.integers(0, 2**32 - 1)


def hands(seed: int, count: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, 0.05, (count, 21, 3)) + np.array([0.0, 0.0, 0.6])


@pytest.mark.parametrize("stage", range(6))
def test_errors_equal_those_of_the_published_code(shared_dir: Path, stage: int) -> None:
    folder = shared_dir / "golden" / "keypoint_fusion"
    arrays = np.load(folder / "losses_metrics_arrays.npz")
    inputs = np.load(folder / "inputs_train_batch2.npz")
    reference = json.loads((folder / "losses_r18_rule.json").read_text())
    # Their normalised cube coordinates: millimetres are x * cube / 2 + center, with the same centre for both.
    half_mm = inputs["cube"][:, None] / 2
    predicted_m = (arrays[f"pred_xyz_nl_{stage}"] * half_mm + inputs["center"][:, None]) / 1000
    truth_m = (inputs["xyz_gt"] * half_mm + inputs["center"][:, None]) / 1000
    errors = metrics.pose_errors(predicted_m, truth_m)
    np.testing.assert_allclose(errors.absolute * 1000, arrays[f"joint_err_mm_{stage}"], atol=1e-4)
    aligned = metrics.procrustes_aligned(arrays[f"pred_xyz_nl_{stage}"], inputs["xyz_gt"])
    for sample in range(2):
        # Normalised units: 1e-6 of half a cube is 1.25e-4 mm, float32's own step there.
        np.testing.assert_allclose(aligned[sample], arrays[f"aligned_{stage}_{sample}"], atol=1e-6)
    assert metrics.mean_error(errors.absolute) * 1000 == pytest.approx(reference[f"mpjpe_mm_{stage}"], abs=1e-4)
    assert metrics.mean_error(errors.aligned) * 1000 == pytest.approx(reference[f"pa_mpjpe_mm_{stage}"], abs=1e-4)


@settings(max_examples=30, deadline=None)
@given(SEEDS, SEEDS)
def test_batched_alignment_is_the_single_one(a: int, b: int) -> None:
    source, target = hands(a), hands(b)
    aligned = metrics.procrustes_aligned(source, target)
    for got, one, other in zip(aligned, source, target, strict=True):
        np.testing.assert_allclose(got, procrustes(one, other), atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.floats(0.5, 2.0), st.booleans())
def test_alignment_undoes_a_similarity_but_not_a_mirror(seed: int, scale: float, mirrored: bool) -> None:
    rng = np.random.default_rng(seed)
    truth = hands(seed)
    quaternion = rng.normal(size=4)
    rotation = quaternion_to_matrix(quaternion / np.linalg.norm(quaternion))
    moved = scale * truth @ rotation.T + rng.normal(size=3)
    if mirrored:
        moved = moved * [-1.0, 1.0, 1.0]
    error = metrics.mean_error(metrics.pose_errors(moved, truth).aligned)
    assert error > 0.005 if mirrored else error < 1e-9


def test_a_shift_is_an_absolute_error_only() -> None:
    truth = hands(1)
    errors = metrics.pose_errors(truth + np.array([0.003, 0.0, 0.004]), truth)
    np.testing.assert_allclose(errors.absolute, 0.005, atol=1e-12)
    np.testing.assert_allclose(errors.root_relative, 0.0, atol=1e-12)
    np.testing.assert_allclose(errors.aligned, 0.0, atol=1e-12)


def test_collapsed_prediction_aligns_to_the_mean() -> None:
    truth = hands(2, 1)
    aligned = metrics.procrustes_aligned(np.zeros_like(truth), truth)
    np.testing.assert_allclose(aligned[0], np.broadcast_to(truth[0].mean(axis=0), (21, 3)))


def test_mean_error_takes_the_valid_joints_only() -> None:
    errors = np.array([[1.0, 3.0], [5.0, 100.0]])
    assert metrics.mean_error(errors, np.array([[True, True], [True, False]])) == 3.0
    assert np.isnan(metrics.mean_error(errors, np.zeros((2, 2), dtype=bool)))
    np.testing.assert_array_equal(metrics.per_joint(errors), [3.0, 51.5])


def test_pck_counts_errors_at_the_threshold() -> None:
    errors = np.array([[0.010, 0.020], [0.030, 0.040]])
    np.testing.assert_array_equal(metrics.pck(errors, np.array([0.005, 0.010, 0.035, 1.0])), [0.0, 0.25, 0.75, 1.0])
    assert np.isnan(metrics.pck(np.zeros((0, 21)), np.array([0.01]))).all()


@pytest.mark.parametrize(("error_mm", "area"), [(0.0, 1.0), (60.0, 0.0), (25.0, 0.5)])
def test_auc_of_one_constant_error(error_mm: float, area: float) -> None:
    assert metrics.auc(np.full((3, 21), error_mm / 1000)) == pytest.approx(area, abs=0.006)


def test_bone_lengths_of_a_hand_on_a_grid() -> None:
    joints = np.zeros((1, 21, 3))
    # Finger f along y at x = f, joints at y = 1, 2, 3, 4; the wrist at the origin.
    for finger in range(5):
        joints[0, 1 + 4 * finger : 5 + 4 * finger, 0] = finger
        joints[0, 1 + 4 * finger : 5 + 4 * finger, 1] = [1, 2, 3, 4]
    lengths = metrics.bone_lengths(joints)[0].reshape(5, 4)
    np.testing.assert_allclose(lengths[:, 1:], 1.0)
    np.testing.assert_allclose(lengths[:, 0], np.sqrt(1 + np.arange(5) ** 2))
    np.testing.assert_allclose(metrics.bone_length_errors(2 * joints, joints)[0].reshape(5, 4), lengths)


def test_acceleration_of_a_parabola_with_uneven_frames() -> None:
    times = np.array([0.0, 0.03, 0.07, 0.10, 0.2])
    gravity = np.array([0.0, 9.81, 0.0])
    path = 0.5 * gravity * times[:, None, None] ** 2 + np.array([0.3, -0.1, 0.0]) * times[:, None, None]
    joints = np.broadcast_to(path, (5, 21, 3))
    np.testing.assert_allclose(metrics.acceleration(joints, times), np.broadcast_to(gravity, (3, 21, 3)), atol=1e-9)
    np.testing.assert_allclose(metrics.acceleration_error(joints, joints * 0, times), 9.81, atol=1e-9)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: metrics.joint_errors(np.zeros((2, 21, 3)), np.zeros((1, 21, 3))), "one shape"),
        (lambda: metrics.bone_lengths(np.zeros((21, 3))), "add an axis"),
        (lambda: metrics.acceleration(np.zeros((3, 21, 3)), np.array([0.0, 1.0, 1.0])), "increasing"),
        (lambda: metrics.acceleration(np.zeros((3, 21, 3)), np.array([0.0, 1.0])), "one time per frame"),
    ],
)
def test_wrong_input_is_named(call: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call()  # type: ignore[operator]
