"""HO-3D's challenge: our scores are the official ones, and our submission is what the server reads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import toy_datasets as toy

from hand_pose_ros.evaluation import metrics
from hand_pose_ros.evaluation.challenge import joint_scores, mesh_scores, write_submission
from hand_pose_ros.skeleton import HO3D_TO_CANONICAL


@pytest.fixture(scope="module")
def official(shared_dir: Path) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Inputs in HO-3D's order and what the official script printed for them (cm)."""
    folder = shared_dir / "golden" / "keypoint_transformer" / "eval"
    lines = (line.split(": ") for line in (folder / "ho3d_challenge_scores.txt").read_text().splitlines())
    return dict(np.load(folder / "ho3d_challenge_metrics.npz")), {name: float(value) for name, value in lines}


def test_joint_scores_are_the_official_ones(official: tuple[dict[str, np.ndarray], dict[str, float]]) -> None:
    arrays, printed = official
    predicted, truth = (arrays[name][:, HO3D_TO_CANONICAL] for name in ("pred_xyz", "gt_xyz"))
    ours = joint_scores(predicted, truth)
    # 1e-4 mm, or the last digit printed.
    assert ours.raw * 100 == pytest.approx(printed["xyz_mean3d"], abs=1e-6)
    assert ours.scale_translation * 100 == pytest.approx(printed["xyz_scale_trans_al_mean3d"], abs=1e-6)
    assert ours.procrustes * 100 == pytest.approx(printed["xyz_procrustes_al_mean3d"], abs=1e-6)
    assert ours.raw_auc == pytest.approx(printed["xyz_auc3d"], abs=1e-6)
    assert ours.scale_translation_auc == pytest.approx(printed["xyz_scale_trans_al_auc3d"], abs=1e-6)
    assert ours.procrustes_auc == pytest.approx(printed["xyz_procrustes_al_auc3d"], abs=1e-6)
    for name, align in (("sc_tr", metrics.scale_translation_aligned), ("procrustes", metrics.procrustes_aligned)):
        np.testing.assert_allclose(align(predicted, truth), arrays[f"{name}_aligned"][:, HO3D_TO_CANONICAL], atol=1e-7)


def test_mesh_scores_are_the_official_ones(official: tuple[dict[str, np.ndarray], dict[str, float]]) -> None:
    arrays, printed = official
    ours = mesh_scores(arrays["pred_verts"], arrays["gt_verts"])
    assert ours.raw * 100 == pytest.approx(printed["mesh_mean3d"], abs=2e-6)
    assert ours.aligned * 100 == pytest.approx(printed["mesh_al_mean3d"], abs=2e-6)
    assert (ours.raw_auc, ours.aligned_auc) == pytest.approx(
        (printed["mesh_auc3d"], printed["mesh_al_auc3d"]), abs=1e-6
    )
    assert ours.f_scores == pytest.approx((printed["f_score_5"], printed["f_score_15"]), abs=1e-6)
    assert ours.aligned_f_scores == pytest.approx((printed["f_al_score_5"], printed["f_al_score_15"]), abs=1e-6)


def test_scale_and_translation_are_undone_but_not_rotation() -> None:
    truth = np.stack([toy.toy_hand(seed) for seed in range(4)]).astype(np.float64)
    moved = 1.3 * truth + [0.1, -0.2, 0.3]
    np.testing.assert_allclose(metrics.scale_translation_aligned(moved, truth), truth, atol=1e-12)
    turned = truth[:, :, [1, 0, 2]] * [1, -1, 1]
    assert joint_scores(turned, truth).scale_translation > 0.03
    collapsed = metrics.scale_translation_aligned(np.zeros_like(truth), truth)
    np.testing.assert_array_equal(collapsed, np.broadcast_to(truth[:, :1], truth.shape))


def test_f_score_by_hand() -> None:
    truth = np.array([[[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0]]])
    predicted = np.array([[[0.0, 0, 0], [1, 0, 0], [9, 0, 0], [10, 0, 0]]])
    # Half of the predicted points are near, and half of the true ones.
    assert metrics.f_score(predicted, truth, 0.5) == pytest.approx([0.5])
    assert metrics.f_score(predicted + 100, truth, 0.5) == pytest.approx([0.0])


def test_the_submission_is_in_the_challenges_order_and_axes(tmp_path: Path) -> None:
    joints = np.stack([toy.toy_hand(seed) for seed in range(3)])
    vertices = np.random.default_rng(0).normal(size=(3, 778, 3)).astype(np.float32)
    joints[1], vertices[1] = np.nan, np.nan
    xyz, verts = json.loads(write_submission(tmp_path / "a" / "pred.json", joints, vertices).read_text())
    for number in (0, 2):
        np.testing.assert_allclose(xyz[number], toy.native_ho3d(joints[number]), atol=6e-7)
        np.testing.assert_allclose(verts[number], vertices[number] * [1, -1, -1], atol=6e-7)
    assert np.shape(xyz) == (3, 21, 3) and np.shape(verts) == (3, 778, 3)
    assert not np.any(xyz[1]) and not np.any(verts[1])
    assert "NaN" not in (tmp_path / "a" / "pred.json").read_text()


def test_a_submission_without_meshes_has_zeros(tmp_path: Path) -> None:
    xyz, verts = json.loads(write_submission(tmp_path / "pred.json", toy.toy_hand(1)[None]).read_text())
    assert np.shape(xyz) == (1, 21, 3) and np.shape(verts) == (1, 778, 3) and not np.any(verts)


@pytest.mark.parametrize(
    ("joints", "vertices"), [((2, 20, 3), None), ((21, 3), None), ((2, 21, 3), (1, 778, 3)), ((2, 21, 3), (2, 700, 3))]
)
def test_wrong_shapes_are_refused(tmp_path: Path, joints: tuple[int, ...], vertices: tuple[int, ...] | None) -> None:
    with pytest.raises(ValueError, match="expected"):
        write_submission(
            tmp_path / "x.json",
            np.zeros(joints, np.float32),
            None if vertices is None else np.zeros(vertices, np.float32),
        )
