"""H2O-3D and HO-3D as scenes: both hands, the object's pose and pixels, crops' boxes, and what is said of damage."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import toy_datasets
import toy_two_hands as toy

from hand_pose_ros.datasets.base import DatasetError, Reading
from hand_pose_ros.datasets.h2o3d import SPLITS, H2o3d
from hand_pose_ros.datasets.ho3d_objects import Ho3dScenes
from hand_pose_ros.datasets.registry import open_dataset
from hand_pose_ros.datasets.scenes import SCENE_NAMES, list_scene_splits, open_scenes
from hand_pose_ros.datasets.two_hands import scene_box
from hand_pose_ros.hand_model.model import HandModel
from hand_pose_ros.hand_model.rotation import axis_angle_to_matrix
from hand_pose_ros.skeleton import OPENGL_TO_OPTICAL, WRIST, Side
from hand_pose_ros.types import BoundingBox

PLAIN = Reading(color=True, depth=False)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> toy.SceneTree:
    return toy.write_h2o3d(tmp_path_factory.mktemp("data") / "H2O3D_v1")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return toy.write_h2o3d(tmp_path / "h2o3d", train=("MBC10",)).root


def test_samples_are_what_was_written(tree: toy.SceneTree) -> None:
    data = open_scenes("h2o3d", tree.root.parent, "train_all")
    assert len(data) == 3 and data.present.all() and data.has_truth
    for index, sample in enumerate(data):
        truth = tree.truth[sample.key]
        assert data.key(index) == sample.key and sample.depth is not None and sample.rgb is not None
        assert sample.valid[0].all() and np.flatnonzero(~sample.valid[1]).tolist() == [4]
        np.testing.assert_allclose(sample.joints[sample.valid], truth[sample.valid], atol=1e-7)
        assert (sample.joints[1, 4] == 0).all()
        np.testing.assert_allclose(sample.hand_translation, truth[1, WRIST] - truth[0, WRIST], atol=1e-6)
        np.testing.assert_allclose(sample.depth, toy_datasets.toy_depth(truth[0]), atol=6.3e-5)
        rotation, place = toy.optical_object(index)
        assert sample.object is not None and sample.object.name == toy.OBJECT
        np.testing.assert_allclose(sample.object.rotation, rotation, atol=1e-6)
        np.testing.assert_allclose(sample.object.translation, place, atol=1e-6)
        np.testing.assert_allclose(sample.object.corners, toy.BOX @ rotation.T + place, atol=1e-6)


def test_the_objects_pixels(tree: toy.SceneTree) -> None:
    mask = open_scenes("h2o3d", tree.root, "train")[0].object_mask
    assert mask is not None
    expected = np.zeros((480, 640), dtype=bool)
    expected[200:280, 120:160] = True
    assert (mask == expected).all()
    assert open_scenes("h2o3d", tree.root, "train", reading=Reading(color=False))[0].object_mask is None


def test_evaluation_gives_wrists_boxes_and_the_object(tree: toy.SceneTree) -> None:
    data = open_scenes("h2o3d", tree.root, "evaluation")
    sample = data[0]
    assert not data.has_truth and sample.valid.sum(axis=1).tolist() == [1, 1]
    np.testing.assert_allclose(sample.wrists, tree.truth[sample.key][:, WRIST], atol=1e-7)
    assert sample.boxes == (BoundingBox(200, 150, 200, 230),) * 2 and sample.object is not None


def test_the_pose_parameters_of_both_hands(tmp_path: Path) -> None:
    tree = toy.write_h2o3d(tmp_path, train=("A1",))
    path = tree.root / "train/A1/meta/0003.pkl"
    meta = pickle.loads(path.read_bytes())  # noqa: S301  written above
    posed = {}
    for side in Side:
        pose, transl = meta[f"{side.value}HandPose"], np.array([0.1, -0.05, -0.6])
        arguments = (np.asarray(value, np.float32) for value in (pose[:3], pose[3:], meta["handBeta"], transl))
        posed[side] = HandModel.bundled(side).forward(*arguments)
        meta[f"{side.value}HandJoints3D"] = posed[side].joints
        meta[f"{side.value}HandTrans"] = transl
    path.write_bytes(pickle.dumps(meta, protocol=2))
    parameters = H2o3d(tree.root, "train_all", PLAIN)[0].mano
    for side, values in zip((Side.RIGHT, Side.LEFT), parameters, strict=True):
        assert values is not None
        vertices = HandModel.bundled(side).forward_parameters(values).vertices
        np.testing.assert_allclose(vertices, posed[side].vertices * OPENGL_TO_OPTICAL, atol=1e-6)


def test_splits_share_no_recording(tree: toy.SceneTree) -> None:
    keys = {
        name: {data.key(i).sequence for i in range(len(data))}
        for name, data in ((name, H2o3d(tree.root, name)) for name in ("train", "val"))
    }
    assert keys == {"train": {"MBC10", "MBC11"}, "val": {"SS1"}}


def test_hands_one_at_a_time(tree: toy.SceneTree) -> None:
    hands = open_dataset("h2o3d", tree.root, "evaluation", reading=PLAIN)
    assert [hand.side for hand in hands] == [Side.RIGHT, Side.LEFT] and not hands.has_truth
    assert hands[1].joints is None and hands[1].wrist is not None and hands[1].box is not None


def test_a_frame_without_annotation_is_all_invalid(own: Path) -> None:
    path = own / "train/MBC10/meta/0003.pkl"
    meta = pickle.loads(path.read_bytes())  # noqa: S301  written by the fixture
    path.write_bytes(pickle.dumps({**meta, "objRot": None, "rightHandPose": None}, protocol=2))
    sample = H2o3d(own, "train_all", PLAIN)[0]
    assert not sample.valid.any() and sample.object is None and sample.mano[0] is None and scene_box(sample) is None


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda r: (r / "train/MBC10/rgb/0003.jpg").unlink(), "0003.jpg or .png: cannot be read"),
        (lambda r: (r / "train/MBC10/depth/0003.png").unlink(), "depth/0003.png: cannot be read"),
        (lambda r: _meta(r, rightHandJoints3D=np.zeros((20, 3))), "rightHandJoints3D as numbers of shape"),
        (lambda r: _meta(r, objName=7), "object's name under objName, got int"),
        (lambda r: _meta(r, objCorners3DRest=None), "objCorners3DRest"),
        (lambda r: _meta(r, objTrans=np.full(3, np.nan)), "objTrans holds NaN"),
    ],
)
def test_a_damaged_sample_is_named(own: Path, damage: object, says: str) -> None:
    damage(own)  # type: ignore[operator]
    with pytest.raises(DatasetError, match=says):
        H2o3d(own, "train_all")[0]


def _meta(root: Path, **changed: object) -> None:
    path = root / "train/MBC10/meta/0003.pkl"
    meta = pickle.loads(path.read_bytes())  # noqa: S301  written by the fixture
    path.write_bytes(pickle.dumps({**meta, **changed}, protocol=2))


def test_another_data_set_is_refused(own: Path, tmp_path: Path) -> None:
    hands = toy_datasets.write_ho3d(tmp_path / "ho3d", frames=1)
    with pytest.raises(DatasetError, match=r"lacks rightHandJoints3D; is this H2O-3D"):
        H2o3d(hands.root, "train_all")[0]
    with pytest.raises(DatasetError, match="among train, val, train_all, evaluation; got 'test'"):
        H2o3d(own, "test")
    shutil.rmtree(own / "train")
    with pytest.raises(DatasetError, match="H2O-3D's part train"):
        H2o3d(own, "train")


def test_names_and_splits(own: Path, tmp_path: Path) -> None:
    assert SCENE_NAMES == ("interhand", "h2o3d", "ho3d", "rhd") and list_scene_splits("h2o3d") == SPLITS
    with pytest.raises(DatasetError, match="interhand, h2o3d, ho3d, rhd, got 'dexycb'"):
        open_scenes("dexycb", own, "train")
    with pytest.raises(DatasetError, match="expected the folder of h2o3d"):
        open_scenes("h2o3d", own / "absent", "train")
    with pytest.raises(DatasetError, match="dexycb, ho3d, interhand, h2o3d, rhd, got 'h2o'"):
        open_dataset("h2o", own, "train")
    shutil.copytree(own, tmp_path / "H2O3D_v1")
    with pytest.raises(DatasetError, match="holds H2O3D_v1, h2o3d; give the one"):
        open_scenes("h2o3d", tmp_path, "train")


def test_ho3d_as_scenes(tmp_path: Path) -> None:
    tree = toy_datasets.write_ho3d(tmp_path, released=False, frames=1)
    data = open_scenes("ho3d", tree.root, "train_all")
    assert data.present.tolist() == [[True, False]] * 3
    for sample in data:
        np.testing.assert_allclose(sample.joints[0], tree.truth[sample.key.sequence, 0], atol=1e-7)
        assert not sample.valid[1].any() and sample.mano[0] is not None and sample.object_mask is None
        assert sample.object is not None and sample.object.name == "006_mustard_bottle"
    evaluation = open_scenes("ho3d", tree.root, "evaluation")
    assert not evaluation.has_truth and evaluation.notes and evaluation[0].valid.sum() == 1


@pytest.mark.parametrize(("split", "prefix"), [("train_all", "train"), ("evaluation", "test")])
def test_equals_the_reading_of_the_data_sets_authors(shared_dir: Path, split: str, prefix: str) -> None:
    """Keypoint Transformer's loader: the object's pose from the wrist, its box, its pixels, and the crop."""
    folder = shared_dir / "golden" / "keypoint_transformer"
    stored = np.load(folder / "loader_ho3d_3D.npz")
    for index, sample in enumerate(Ho3dScenes(folder / "mini" / "ho3d", split, PLAIN)):
        name = f"{prefix}.ident.{index}"
        assert sample.object is not None and sample.object_mask is not None
        assert int(sample.object.name[:3]) == stored[f"{name}.meta.obj_id"]
        theirs = axis_angle_to_matrix(stored[f"{name}.targets.obj_rot"].astype(np.float64))
        np.testing.assert_allclose(sample.object.rotation, theirs, atol=1e-6)
        relative = sample.object.translation - sample.joints[0, WRIST]
        np.testing.assert_allclose(relative, stored[f"{name}.targets.rel_obj_trans"], atol=1e-6)
        np.testing.assert_allclose(sample.object.box, stored[f"{name}.meta.obj_bb_rest"], atol=1e-7)
        box = scene_box(sample)
        assert box is not None
        crop_to_image = stored[f"{name}.meta.inv_trans"]
        side = 1.25 * max(box.width, box.height)
        assert side / 256 == pytest.approx(crop_to_image[0, 0], abs=1e-5)
        center = (box.x + box.width / 2, box.y + box.height / 2)
        np.testing.assert_allclose(center, crop_to_image @ [128, 128, 1], atol=1e-3)
        # Their segmentation is the crop of ours, at half the crop's size.
        places = np.stack(np.meshgrid(np.arange(128), np.arange(128)), axis=-1) * 2
        pixels = np.rint(places @ crop_to_image[:, :2].T + crop_to_image[:, 2]).astype(int)
        inside = ((pixels >= 0) & (pixels < (640, 480))).all(axis=-1)
        pixels = np.clip(pixels, 0, (639, 479))
        ours = sample.object_mask[pixels[..., 1], pixels[..., 0]] & inside
        assert (ours != (stored[f"{name}.targets.obj_seg"] > 100)).mean() < 0.02
