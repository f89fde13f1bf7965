"""Errors of two hands: by hand-made cases, properties, and the published evaluation's own output."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from hand_pose_ros.evaluation.metrics import auc
from hand_pose_ros.evaluation.two_hands import (
    RHD_AUC_RANGE,
    HandErrors,
    curve_area,
    end_point_error,
    handedness_accuracy,
    translation_errors,
    two_hand_scores,
    vertex_errors,
    wrist_relative,
)
from hand_pose_ros.evaluation.two_hands_report import interhand_table, write_h2o3d_submission
from hand_pose_ros.skeleton import CANONICAL_TO_INTERHAND, INTERHAND_TO_CANONICAL, OPENGL_TO_OPTICAL, WRIST


def hands(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.05, (count, 2, 21, 3)).astype(np.float32)


def test_each_hand_is_measured_from_its_own_wrist() -> None:
    truth = hands(3)
    predicted = truth + np.random.default_rng(1).normal(0, 1, (3, 2, 1, 3))
    predicted[:, 0, 7] += [0, 0.003, 0.004]
    errors = wrist_relative(predicted, truth, np.ones((3, 2, 21), bool))
    expected = np.zeros((2, 21))
    expected[0, 7] = 0.005
    np.testing.assert_allclose(errors.per_joint(), expected, atol=1e-7)
    # The wrists count: 42 joints, 41 of which could err.
    assert errors.mpjpe() == pytest.approx(0.005 / 42)


def test_a_hand_without_its_wrist_does_not_count() -> None:
    valid = np.ones((2, 2, 21), bool)
    valid[0, 1, WRIST] = valid[1, 0, 5] = False
    predicted = hands(2, 1)
    predicted[0, 1] = np.nan  # Nothing of this hand is looked at.
    errors = wrist_relative(predicted, hands(2), valid)
    assert errors.counted.sum() == 84 - 21 - 1
    assert not errors.counted[0, 1].any() and not errors.counted[1, 0, 5]
    assert np.isfinite(errors.mpjpe()) and len(errors.flat()) == 62


def test_the_mean_is_of_joints_and_not_of_instances() -> None:
    distance, counted = np.zeros((4, 2, 21)), np.zeros((4, 2, 21), bool)
    counted[:, 0, 1], distance[:, 0, 1] = True, 1.0
    counted[0, 0, 2], distance[0, 0, 2] = True, 5.0
    errors = HandErrors(distance, counted)
    assert errors.mpjpe() == pytest.approx(3.0)
    assert errors.flat().mean() == pytest.approx(9 / 5)
    assert np.isnan(errors.of(np.zeros(4, bool)).mpjpe())
    # Left and right alike: joint 1 of both hands is one joint.
    counted[:, 1, 1], distance[:, 1, 1] = True, 3.0
    assert end_point_error(errors) == pytest.approx((2.0 + 5.0) / 2)


def test_scores_divide_by_the_annotated_hands() -> None:
    truth = hands(4)
    present = np.array([[True, True], [True, False], [False, True], [True, True]])
    valid = np.repeat(present[..., None], 21, axis=2)
    valid[3, 1, WRIST] = False
    predicted = truth.copy()
    predicted[0, :, 1:] += [0.01, 0, 0]
    translation = truth[:, 1, WRIST] - truth[:, 0, WRIST] + np.float32([0, 0.03, 0])
    scores = two_hand_scores(predicted, truth, valid, present, translation)
    assert scores.single == pytest.approx(0, abs=1e-8)
    # Right joints over two pictures, left ones over the first alone; both wrists are 0.
    assert scores.interacting == pytest.approx((20 * 0.005 + 20 * 0.01) / 42)
    assert scores.all == pytest.approx((20 * 0.01 / 3 + 20 * 0.01 / 2) / 42)
    assert scores.mrrpe == pytest.approx(0.03) and scores.pictures == (2, 2, 1)
    alone = two_hand_scores(predicted[1:3], truth[1:3], valid[1:3], present[1:3], translation[1:3])
    assert np.isnan(alone.interacting) and np.isnan(alone.mrrpe) and alone.pictures == (2, 0, 0)


def test_meshes_from_the_wrist() -> None:
    rng = np.random.default_rng(2)
    truth, wrists = rng.normal(0, 0.1, (2, 2, 50, 3)), rng.normal(0, 0.1, (2, 2, 3))
    moved = rng.normal(0, 1, (2, 2, 3))
    predicted = truth + moved[:, :, None] + [0, 0.004, 0]
    present = np.array([[True, False], [True, True]])
    np.testing.assert_allclose(vertex_errors(predicted, truth, wrists + moved, wrists, present), [0.004] * 3)


def test_curve_area_between_thresholds() -> None:
    errors = np.random.default_rng(0).uniform(0, 0.06, 500)
    assert curve_area(errors, 0.0, 0.05) == pytest.approx(auc(errors))
    assert curve_area(np.zeros(5), *RHD_AUC_RANGE) == 1 and curve_area(np.full(5, 0.051), *RHD_AUC_RANGE) == 0
    assert curve_area(np.full(5, 0.035), *RHD_AUC_RANGE, steps=1001) == pytest.approx(0.5, abs=2e-3)


def test_handedness() -> None:
    present = np.array([[True, False], [True, True], [False, True], [True, True]])
    scores = np.array([[0.9, 0.4], [0.6, 0.4], [0.2, 0.7], [0.1, 0.1]])
    assert handedness_accuracy(scores, present, np.array([True, True, True, False])) == pytest.approx(2 / 3)
    assert np.isnan(handedness_accuracy(scores, present, np.zeros(4, bool)))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda: wrist_relative(hands(2), hands(3), np.ones((3, 2, 21), bool)),
            r"got \(2, 2, 21, 3\), \(3, 2, 21, 3\)",
        ),
        (lambda: wrist_relative(hands(2), hands(2), np.ones((2, 21), bool)), r"and \(2, 21\)"),
        (lambda: wrist_relative(hands(1) * np.nan, hands(1), np.ones((1, 2, 21), bool)), "finite joints where valid"),
        (lambda: translation_errors(np.zeros((2, 3)), np.zeros((1, 3))), "of one shape"),
        (lambda: vertex_errors(hands(1), hands(2), hands(1), hands(1), np.ones((1, 2), bool)), "meshes"),
        (lambda: write_h2o3d_submission(Path("x.json"), hands(1)[0]), r"\(N, 2, 21, 3\), got \(2, 21, 3\)"),
    ],
)
def test_wrong_shapes_are_refused(call: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call()  # type: ignore[operator]


def test_the_table_stands_beside_the_papers() -> None:
    truth = hands(2)
    everything = np.ones((2, 2), bool)
    scores = two_hand_scores(
        truth, truth, np.ones((2, 2, 21), bool), everything, np.zeros((2, 3)), np.ones((2, 3)) / 100
    )
    table = interhand_table([("ours", scores)])
    assert table.rows[0] == ("Keypoint Transformer, paper", 10.99, 14.34, 12.78, 29.63, None)
    assert table.rows[-1][4:] == (pytest.approx(17.3205), 2) and "–" in table.text().splitlines()[-1]
    assert len(interhand_table([("ours", scores)], published=False).rows) == 1


def test_a_hand_not_found_is_zeros_in_the_submission(tmp_path: Path) -> None:
    joints = hands(2)
    joints[1, 1] = np.nan
    stored = np.array(json.loads(write_h2o3d_submission(tmp_path / "out" / "p.json", joints).read_text()))
    assert stored.shape == (1, 2, 21, 6) and (stored[0, 1, :, 3:] == 0).all() and (stored[0, 0] != 0).all()
    # Their order puts the middle finger's base fourth.
    np.testing.assert_allclose(stored[0, 0, 4, :3], joints[0, 0, 9] * OPENGL_TO_OPTICAL, atol=1e-6)


def stored_hands(stored: np.lib.npyio.NpzFile, name: str) -> np.ndarray:
    return stored[name].reshape(-1, 2, 21, 3)[:, :, INTERHAND_TO_CANONICAL] / 1000


def decoded_bins(stored: np.lib.npyio.NpzFile) -> np.ndarray:
    """Bins to joints as the fact sheet tells it: image places through the crop, depths summed along the fingers."""
    bins = stored["pred.joint_coord"].reshape(-1, 2, 21, 3).astype(np.float64)
    to_image = stored["pred.inv_trans"].astype(np.float64)
    places = np.einsum("nij,nhkj->nhki", to_image[:, :, :2], 2 * bins[..., :2]) + to_image[:, None, None, :, 2]
    steps = ((bins[..., 2] / 128 * 2 - 1) * 150)[:, :, :20].reshape(-1, 2, 5, 4)
    along = np.cumsum(steps[..., ::-1], axis=3)[..., ::-1].reshape(-1, 2, 20)
    roots = np.stack([stored["pred.abs_depth_right"], stored["pred.abs_depth_left"]], axis=1)[:, :, None]
    depth = np.concatenate([along, np.zeros_like(along[..., :1])], axis=2) + roots
    plane = (places - stored["gt.princpt"][:, None, None]) / stored["gt.focal"][:, None, None] * depth[..., None]
    return np.concatenate([plane, depth[..., None]], axis=3)[:, :, INTERHAND_TO_CANONICAL] / 1000


@pytest.mark.parametrize("representation", ["3D", "2p5D", "angles"])
def test_equals_the_published_evaluation(shared_dir: Path, representation: str) -> None:
    folder = shared_dir / "golden" / "keypoint_transformer" / "eval"
    stored = np.load(folder / f"eval_in_InterHand2.6M_{representation}.npz")
    printed = (folder / f"eval_out_InterHand2.6M_{representation}.txt").read_text()
    predicted = decoded_bins(stored) if representation == "2p5D" else stored_hands(stored, "pred.joints")
    truth = stored_hands(stored, "gt.joints")
    valid = stored["gt.joint_valid"].reshape(-1, 2, 21)[:, :, INTERHAND_TO_CANONICAL] > 0
    present = stored["gt.hand_type"] > 0
    scores = two_hand_scores(predicted, truth, valid, present, stored["pred.rel_trans"], stored["gt.rel_trans"])
    # They print millimetres of this one for 2.5D, metres otherwise.
    mrrpe = float(re.search(r"MRRPE: ([0-9.]+)", printed)[1]) * (1 if representation == "2p5D" else 1000)  # type: ignore[index]
    assert scores.mrrpe * 1000 == pytest.approx(mrrpe, abs=1e-3)
    for name, value in (("all", scores.all), ("single", scores.single), ("interacting", scores.interacting)):
        figure = re.search(rf"MPJPE for {name} hand sequences: ([0-9.]+)", printed)
        assert figure is not None and value * 1000 == pytest.approx(float(figure[1]), abs=0.0051)
    per_joint = wrist_relative(predicted, truth, valid).per_joint()[:, CANONICAL_TO_INTERHAND].ravel() * 1000
    figures = [float(value) for value in re.findall(r"[rl]_[a-z]+[0-9]?: ([0-9.]+)", printed)[:42]]
    np.testing.assert_allclose(per_joint, figures, atol=0.0051)


def test_equals_the_published_submission(shared_dir: Path, tmp_path: Path) -> None:
    folder = shared_dir / "golden" / "keypoint_transformer" / "eval"
    stored = np.load(folder / "eval_in_h2o3d_3D.npz")
    joints = stored_hands(stored, "pred.joints")
    joints[:, 1] += stored["pred.rel_trans"][:, None]
    written = json.loads(write_h2o3d_submission(tmp_path / "p.json", joints).read_text())
    theirs = json.loads((folder / "challenge_h2o3d_3D.json").read_text())
    np.testing.assert_allclose(written, theirs, atol=1e-6)
