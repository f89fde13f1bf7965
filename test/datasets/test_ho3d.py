"""HO-3D's own layout: axes, order, depth bytes, splits, safe pickles, and what is said of broken downloads."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import toy_datasets as toy

from hand_pose_ros.datasets.base import DatasetError, Reading
from hand_pose_ros.datasets.ho3d import Ho3d, capture_of, optical_mano, read_depth
from hand_pose_ros.datasets.registry import open_dataset
from hand_pose_ros.hand_model.model import HandModel
from hand_pose_ros.hand_model.rotation import axis_angle_to_matrix
from hand_pose_ros.skeleton import CANONICAL_TO_INTERHAND, OPENGL_TO_OPTICAL, Side
from hand_pose_ros.types import BoundingBox


@pytest.fixture(scope="module", params=[2, 3])
def tree(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> toy.Ho3dTree:
    return toy.write_ho3d(tmp_path_factory.mktemp("ho3d"), version=request.param)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return toy.write_ho3d(tmp_path / "ho3d", train=("ABF10", "MC1"), frames=1).root


@pytest.mark.parametrize("split", ["train_all", "evaluation"])
def test_samples_are_what_was_written(tree: toy.Ho3dTree, split: str) -> None:
    data = open_dataset("ho3d", tree.root, split)
    assert len(data) == (6 if split == "train_all" else 2)
    for index, sample in enumerate(data):
        truth = tree.truth[sample.key.sequence, int(sample.key.frame)]
        assert data.key(index) == sample.key and sample.side is Side.RIGHT
        assert sample.joints is not None and sample.depth is not None and sample.rgb is not None
        np.testing.assert_allclose(sample.joints, truth, atol=1e-7)
        np.testing.assert_allclose(sample.depth, toy.toy_depth(truth), atol=6.3e-5)
        assert np.abs(sample.rgb.astype(int)[:, 80:] - toy.COLOR).max() < 8
        assert sample.box == (BoundingBox(200, 150, 200, 230) if split == "evaluation" else None)


def test_depth_bytes_do_not_wrap(tmp_path: Path) -> None:
    # Blue, green, red: 10 m is 80009 steps, beyond what two bytes times 256 hold in uint8 arithmetic.
    image = np.zeros((2, 2, 3), dtype=np.uint8)
    image[0, 0] = (9, 255, 254)
    image[1, 1] = (200, 0, 1)
    cv2.imwrite(str(tmp_path / "d.png"), image)
    depth = read_depth(tmp_path / "d.png")
    np.testing.assert_allclose(depth, [[(254 + 255 * 256) * toy.DEPTH_STEP, 0], [0, toy.DEPTH_STEP]], rtol=1e-6)


def test_training_and_validation_share_no_recording(tree: toy.Ho3dTree) -> None:
    splits = {name: Ho3d(tree.root, name, Reading(color=False, depth=False)) for name in ("train", "val", "train_all")}
    captures = {name: {capture_of(data.key(i).sequence) for i in range(len(data))} for name, data in splits.items()}
    assert captures["train"] == {"ABF"} and captures["val"] == {"MC"}
    assert len(splits["train"]) + len(splits["val"]) == len(splits["train_all"])


@pytest.mark.parametrize(("sequence", "capture"), [("ABF10", "ABF"), ("ShSu14", "ShSu"), ("SM1", "SM"), ("MC", "MC")])
def test_cameras_of_a_recording(sequence: str, capture: str) -> None:
    assert capture_of(sequence) == capture


def test_evaluation_without_the_released_truth(own: Path) -> None:
    (own / "evaluation_xyz.json").unlink()
    data = Ho3d(own, "evaluation")
    assert not data.has_truth and "evaluation_xyz.json" in data.notes[0]
    sample = data[0]
    assert sample.joints is None and sample.wrist is not None
    meta = pickle.loads((own / "evaluation/SM1/meta/0000.pkl").read_bytes())  # noqa: S301  written above
    np.testing.assert_allclose(sample.wrist, meta["handJoints3D"] * OPENGL_TO_OPTICAL, atol=1e-7)


def test_released_meshes(own: Path) -> None:
    vertices = Ho3d(own, "evaluation").vertices()
    stored = np.array(json.loads((own / "evaluation_verts.json").read_text()))
    assert vertices is not None and vertices.shape == (1, 778, 3)
    np.testing.assert_allclose(vertices, stored * OPENGL_TO_OPTICAL, atol=1e-7)
    assert Ho3d(own, "train").vertices() is None


def test_a_frame_without_annotation_has_no_joints(own: Path) -> None:
    path = own / "train/ABF10/meta/0000.pkl"
    meta = pickle.loads(path.read_bytes())  # noqa: S301  written by the fixture
    for key in ("handJoints3D", "handPose", "handBeta", "handTrans", "objRot"):
        meta[key] = None
    path.write_bytes(pickle.dumps(meta, protocol=2))
    sample = Ho3d(own, "train_all")[0]
    assert sample.joints is None and sample.mano is None


def test_the_pose_parameters_turn_with_the_axes() -> None:
    rng = np.random.default_rng(5)
    model = HandModel.bundled(Side.RIGHT)
    pose, betas = rng.normal(0, 0.5, 48).astype(np.float32), rng.normal(0, 1, 10).astype(np.float32)
    transl = np.array([0.1, -0.05, -0.6], dtype=np.float32)
    opengl = model.forward(pose[:3], pose[3:], betas, transl)
    # In the file joints are in HO-3D's order; only the wrist's, the first, is used.
    meta = {"handPose": pose, "handBeta": betas, "handTrans": transl, "handJoints3D": opengl.joints}
    optical = model.forward_parameters(optical_mano(meta, Path("x.pkl")))
    np.testing.assert_allclose(optical.vertices, opengl.vertices * OPENGL_TO_OPTICAL, atol=1e-6)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("echo caught > stolen",)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (
            lambda r: (r / "train/ABF10/meta/0000.pkl").write_bytes(pickle.dumps({"camMat": Evil()})),
            "refused: .*system",
        ),
        (lambda r: (r / "train/ABF10/meta/0000.pkl").write_bytes(b"\x80\x02}q"), "not a whole pickle"),
        (lambda r: (r / "train/ABF10/meta/0000.pkl").write_bytes(pickle.dumps([1])), "expected a dict"),
        (lambda r: (r / "train/ABF10/meta/0000.pkl").write_bytes(pickle.dumps({"a": 1})), "lacks"),
        (lambda r: (r / "train/ABF10/meta/0000.pkl").unlink(), "0000.pkl: cannot be read"),
        (lambda r: (r / "train/ABF10/depth/0000.png").unlink(), "depth/0000.png: cannot be read"),
    ],
)
def test_a_damaged_sample_is_named(own: Path, damage: object, says: str) -> None:
    data = Ho3d(own, "train_all")
    damage(own)  # type: ignore[operator]
    with pytest.raises(DatasetError, match=says):
        data[0]
    assert not Path("stolen").exists()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda r: shutil.rmtree(r / "train"), "HO-3D's part train"),
        (lambda r: (r / "train.txt").unlink(), "train.txt: cannot be read"),
        (lambda r: (r / "train.txt").write_text("{}"), "expected lines like ABF10/0000, got '{}'"),
        (lambda r: (r / "train.txt").write_text("../../etc/0000"), "expected lines like"),
        (lambda r: (r / "train/ABF10/rgb/0000.png").unlink(), "no such picture, though train.txt names it"),
    ],
)
def test_a_wrong_folder_is_refused_at_once(own: Path, damage: object, says: str) -> None:
    damage(own)  # type: ignore[operator]
    with pytest.raises(DatasetError, match=says):
        Ho3d(own, "train_all")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[]", "expected 1 entries .* got 0"),
        (json.dumps([np.zeros((21, 3)).tolist()] * 2), "got more"),
        (json.dumps([np.zeros((20, 3)).tolist()]), "numbers of shape"),
        (json.dumps([np.zeros((21, 3)).tolist()])[:-9], "cut off"),
        ("{}", "expected one of"),
    ],
)
def test_a_wrong_truth_file_is_refused(own: Path, content: str, says: str) -> None:
    (own / "evaluation_xyz.json").write_text(content)
    with pytest.raises(DatasetError, match=says):
        Ho3d(own, "evaluation")


def test_the_version_is_checked(own: Path) -> None:
    assert Ho3d(own, "train", version=2).version == 2
    with pytest.raises(DatasetError, match="version 3 was asked for, but the pictures are version 2's"):
        Ho3d(own, "train", version=3)
    with pytest.raises(DatasetError, match="version 2 or 3, got 4"):
        Ho3d(own, "train", version=4)
    with pytest.raises(DatasetError, match="train, val, train_all, evaluation; got 'test'"):
        Ho3d(own, "test")


def test_equals_the_reading_of_the_data_sets_authors(shared_dir: Path) -> None:
    """Keypoint Transformer's loader, by the authors of HO-3D: joints from the wrist and the turned pose."""
    folder = shared_dir / "golden" / "keypoint_transformer"
    stored = np.load(folder / "loader_ho3d_3D.npz")
    for index, sample in enumerate(Ho3d(folder / "mini" / "ho3d", "train_all", Reading(depth=False))):
        name = f"train.ident.{index}"
        assert str(stored[f"{name}.meta.seq_id"]) == sample.key.sequence
        assert sample.joints is not None and sample.mano is not None
        relative = (sample.joints - sample.joints[0])[CANONICAL_TO_INTERHAND] * 1000
        np.testing.assert_allclose(relative, stored[f"{name}.targets.joint_cam_no_trans"][:21], atol=1e-3)
        pose = np.concatenate([sample.mano.global_orient, sample.mano.hand_pose]).astype(np.float64)
        ours, theirs = (
            axis_angle_to_matrix(values.reshape(16, 3)) for values in (pose, stored[f"{name}.targets.mano_pose"][:48])
        )
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
        camera = sample.intrinsics
        np.testing.assert_allclose((camera.fx, camera.fy), stored[f"{name}.meta.focal"], rtol=1e-6)
        np.testing.assert_allclose((camera.cx, camera.cy), stored[f"{name}.meta.princpt"], rtol=1e-6)
