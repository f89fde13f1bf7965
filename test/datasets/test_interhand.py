"""InterHand2.6M's layouts: world to camera, order, validity, subsets, fits, and what is said of broken downloads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import toy_datasets
import toy_two_hands as toy

from hand_pose_ros.datasets.base import DatasetError, Reading
from hand_pose_ros.datasets.interhand import SPLITS, InterHand
from hand_pose_ros.datasets.interhand_files import read_root_depths
from hand_pose_ros.datasets.registry import list_splits, open_dataset
from hand_pose_ros.datasets.scenes import open_scenes
from hand_pose_ros.hand_model.model import HandModel
from hand_pose_ros.skeleton import CANONICAL_TO_INTERHAND, INTERHAND_TO_CANONICAL, WRIST, Side
from hand_pose_ros.types import BoundingBox

DATA = "annotations/test/InterHand2.6M_test_data.json"


@pytest.fixture(scope="module", params=["v1.0", "v0.0"])
def tree(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> toy.InterHandTree:
    return toy.write_interhand(tmp_path_factory.mktemp("data") / "InterHand2.6M", old=request.param == "v0.0")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return toy.write_interhand(tmp_path / "ih", parts=("test",)).root


def test_samples_are_what_was_written(tree: toy.InterHandTree) -> None:
    data = open_scenes("interhand", tree.root.parent, "test")
    assert len(data) == 12 and data.present.sum(axis=0).tolist() == [8, 8]
    for index, sample in enumerate(data):
        written = (f"test/{sample.key.sequence}", sample.key.frame)
        valid = tree.valid[written]
        assert data.key(index) == sample.key
        assert (sample.valid == valid).all()
        np.testing.assert_allclose(sample.joints, np.where(valid[..., None], tree.truth[written], 0), atol=1e-6)
        assert (sample.present == data.present[index]).all() and sample.sides_known == (index != 0)
        assert sample.rgb is not None and sample.depth is None
        assert sample.rgb.shape == ((512, 334, 3) if "400262" in sample.key.sequence else (334, 512, 3))
        # Red, green, blue; the number is the annotation's, which the pictures' list has in another order.
        np.testing.assert_allclose(sample.rgb[5, 5], (200, 90, 10 * index), atol=6)
        assert sample.box == BoundingBox(10.5, 20, 100 + index, 80)
        assert (sample.intrinsics.fx, sample.intrinsics.fy) == toy.FOCAL
        assert sample.intrinsics.cx == sample.intrinsics.width / 2


def test_a_missing_wrist_leaves_no_translation(tree: toy.InterHandTree) -> None:
    both = [sample for sample in open_scenes("interhand", tree.root, "test") if sample.interacting]
    assert [sample.wrists is None for sample in both] == [False, False, True, True]
    for sample in both:
        if sample.hand_translation is None:
            assert not sample.valid[1, WRIST] and (sample.joints[1, WRIST] == 0).all()
            continue
        joints = tree.truth[f"test/{sample.key.sequence}", sample.key.frame]
        np.testing.assert_allclose(sample.hand_translation, joints[1, 0] - joints[0, 0], atol=1e-6)


@pytest.mark.parametrize(("split", "ids"), [("test_human", [1, 3, 5, 7, 9, 11]), ("test_machine", [0, 2, 4, 6, 8, 10])])
def test_annotators_apart(tree: toy.InterHandTree, split: str, ids: list[int]) -> None:
    data = InterHand(tree.root, split, Reading(color=False))
    assert data.ids.tolist() == ids
    sample = data[0]
    assert sample.box is not None and sample.box.width == 100 + ids[0] and sample.rgb is None


def test_fitted_frames(tree: toy.InterHandTree) -> None:
    data = InterHand(tree.root, "test", Reading(color=False))
    part = data.subset([int(i) for i in data.fitted()])
    assert len(part) == 8 and {sample.key.frame for sample in part} == {"image3", "image6"}
    # Two-hand frames have no fit here.
    assert (part.present.sum(axis=1) == 1).all()


def test_the_fits_stand_in_the_camera_frame(tmp_path: Path) -> None:
    files = toy_datasets.write_toy_mano(tmp_path / "mano")
    models = {side: HandModel.from_file(files / f"MANO_{side.value.upper()}.npz", side) for side in Side}
    tree = toy.write_interhand(tmp_path / "ih", parts=("test",), mano=models)
    data = open_scenes("interhand", tree.root, "test", mano_path=files, reading=Reading(color=False))
    seen = 0
    for sample in data:
        joints = tree.truth[f"test/{sample.key.sequence}", sample.key.frame]
        for hand, side in enumerate((Side.RIGHT, Side.LEFT)):
            parameters = sample.mano[hand]
            assert parameters is not None
            np.testing.assert_allclose(models[side].forward_parameters(parameters).joints, joints[hand], atol=2e-6)
            seen += 1
    assert seen == 24
    assert open_scenes("interhand", tree.root, "test")[0].mano == (None, None)


def test_hands_one_at_a_time(tree: toy.InterHandTree) -> None:
    hands = open_dataset("interhand", tree.root, "test", reading=Reading(color=False))
    scenes = open_scenes("interhand", tree.root, "test", reading=Reading(color=False))
    assert len(hands) == 16 and [hands[i].side for i in (0, 2, 4, 5)] == [Side.RIGHT, Side.LEFT, Side.RIGHT, Side.LEFT]
    assert hands[5].key == scenes[4].key and hands[5].joints is not None
    np.testing.assert_array_equal(hands[5].joints, scenes[4].joints[1])
    # A lone hand's box is the scene's; that of two hands is not one hand's.
    assert hands[0].box == scenes[0].box and hands[4].box is None
    # The last one is a left hand without a wrist.
    assert hands[15].joints is None and hands[15].wrist is None
    assert list_splits("interhand") == SPLITS


def test_no_fits_are_told(own: Path) -> None:
    (own / "annotations/test/InterHand2.6M_test_MANO_NeuralAnnot.json").unlink()
    data = InterHand(own, "test")
    assert "no MANO fits" in data.notes[0] and len(data.fitted()) == 0


def _edit(path: Path, change: object) -> None:
    content = json.loads(path.read_text())
    change(content)  # type: ignore[operator]
    path.write_text(json.dumps(content))


def _misnamed(content: dict[str, dict[str, object]]) -> None:
    content["0"]["first"] = content["0"].pop("3")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda r: shutil.rmtree(r / "annotations"), "no such file, nor .*all.* of the v0.0 layout; give the folder"),
        (lambda r: shutil.rmtree(r / "images"), "pictures of test"),
        (lambda r: (r / DATA).write_text((r / DATA).read_text()[:-40]), "cut off"),
        (lambda r: (r / DATA).write_text('{"images": []}'), "lacks annotations"),
        (lambda r: _edit(r / DATA, lambda c: c["annotations"].clear()), "holds no picture"),
        (lambda r: _edit(r / DATA, lambda c: c["annotations"][0].pop("bbox")), "expected annotations as InterHand2.6M"),
        (lambda r: _edit(r / DATA, lambda c: c["annotations"][0]["joint_valid"].pop()), "41 joint_valid"),
        (
            lambda r: _edit(r / DATA, lambda c: c["annotations"][0].update(hand_type="both")),
            "as InterHand2.6M has them",
        ),
        (lambda r: _edit(r / DATA, lambda c: c["annotations"][0].update(image_id=5)), "names an image that is not"),
        (lambda r: _edit(r / DATA, lambda c: c["images"][0].update(file_name="../../x.jpg")), "leads out"),
        (lambda r: (r / DATA.replace("data", "camera")).write_text("[]"), "expected an object of captures"),
        (lambda r: (r / DATA.replace("data", "camera")).write_text("{"), "not readable as JSON"),
        (lambda r: (r / DATA.replace("data", "joint_3d")).unlink(), "joint_3d.json: cannot be read"),
        (lambda r: (r / DATA.replace("data", "joint_3d")).write_text('{"0": {"3": {}}}'), "lacks world_coord"),
        (lambda r: (r / DATA.replace("data", "joint_3d")).write_text('{"0": {"3": {"world_coord": []}}}'), "shape"),
        (lambda r: _edit(r / DATA.replace("data", "joint_3d"), _misnamed), "expected numbers of captures and frames"),
        (lambda r: (r / DATA.replace("data", "MANO_NeuralAnnot")).write_text('{"0": {"3": 1}}'), "object per frame"),
    ],
)
def test_a_wrong_folder_is_refused_at_once(own: Path, damage: object, says: str) -> None:
    damage(own)  # type: ignore[operator]
    with pytest.raises(DatasetError, match=says):
        InterHand(own, "test")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda r: (r / "images/test/Capture0/ROM01/cam400262/image3.jpg").unlink(), "image3.jpg: cannot be read"),
        (
            lambda r: _edit(r / DATA.replace("data", "camera"), lambda c: c["0"]["focal"].pop("400262")),
            "capture 0 focal: lacks 400262",
        ),
        (lambda r: _edit(r / DATA.replace("data", "camera"), lambda c: c.pop("0")), "expected campos, camrot"),
        (lambda r: _edit(r / DATA.replace("data", "joint_3d"), lambda c: c["0"].pop("3")), "lacks capture 0, frame 3"),
    ],
)
def test_a_damaged_sample_is_named(own: Path, damage: object, says: str) -> None:
    damage(own)  # type: ignore[operator]
    data = InterHand(own, "test")
    with pytest.raises(DatasetError, match=says):
        data[0]


def test_root_depths(tmp_path: Path) -> None:
    path = tmp_path / "rootnet.json"
    path.write_text(json.dumps([{"annot_id": 1234567, "bbox": [1, 2, 30.5, 30.5], "abs_depth": [900.0, 1250.0]}]))
    box, depths = read_root_depths(path)[1234567]
    assert box == BoundingBox(1, 2, 30.5, 30.5)
    np.testing.assert_allclose(depths, [0.9, 1.25])
    path.write_text('[{"annot_id": 3, "bbox": [1, 2, 3, 4]}]')
    with pytest.raises(DatasetError, match="annotation 3: lacks abs_depth"):
        read_root_depths(path)
    path.write_text('[{"id": 1}]')
    with pytest.raises(DatasetError, match="expected annot_id, bbox and abs_depth, got id"):
        read_root_depths(path)
    path.write_text("[1]")
    with pytest.raises(DatasetError, match="object per"):
        read_root_depths(path)


def test_wrong_words(own: Path) -> None:
    with pytest.raises(DatasetError, match=r"split among train, val, test, .*; got 'all'"):
        InterHand(own, "all")
    (own / "annotations/aid_human_annot_test.txt").write_text("1\nx\n")
    with pytest.raises(DatasetError, match="one annotation id per line"):
        InterHand(own, "test_human")
    with pytest.raises(IndexError, match="below 12, got 12"):
        InterHand(own, "test")[12]


def test_equals_the_reading_of_the_authors(shared_dir: Path) -> None:
    """What Keypoint Transformer's own loader hands to its evaluation."""
    folder = shared_dir / "golden" / "keypoint_transformer"
    stored = np.load(folder / "eval" / "eval_in_InterHand2.6M_3D.npz")
    rows = {int(frame): row for row, frame in enumerate(stored["pred.frame"])}
    data = open_scenes("interhand", folder / "mini", "test")
    assert len(data) == 4
    for sample in data:
        row = rows[int(sample.key.frame[5:])]
        valid = stored["gt.joint_valid"][row].reshape(2, 21)[:, INTERHAND_TO_CANONICAL] > 0
        assert (sample.valid == valid).all() and (sample.present == stored["gt.hand_type"][row]).all()
        theirs = stored["gt.joints"][row].reshape(2, 21, 3)[:, INTERHAND_TO_CANONICAL] / 1000
        theirs, ours = (joints - joints[:, :1] for joints in (theirs, sample.joints))
        np.testing.assert_allclose(ours[valid], theirs[valid], atol=1e-6)
        if sample.hand_translation is not None:
            np.testing.assert_allclose(sample.hand_translation, stored["gt.rel_trans"][row], atol=1e-6)
        depths = [stored[f"pred.abs_depth_{side}"][row] for side in ("right", "left")]
        for hand in np.flatnonzero(sample.present):
            assert sample.joints[hand, WRIST, 2] == pytest.approx(depths[hand] / 1000, abs=1e-6)
        camera = sample.intrinsics
        np.testing.assert_allclose((camera.fx, camera.fy), stored["gt.focal"][row])
        np.testing.assert_allclose((camera.cx, camera.cy), stored["gt.princpt"][row])


def test_the_order_is_the_data_sets() -> None:
    assert CANONICAL_TO_INTERHAND[20] == 0 and INTERHAND_TO_CANONICAL[4] == 0
