"""The authors' re-packed annotations, against the official layout and against what the authors' own loaders read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import toy_datasets as toy

from hand_pose_ros.datasets.base import DatasetError
from hand_pose_ros.datasets.registry import find_layout, list_splits, open_dataset
from hand_pose_ros.skeleton import Side


@pytest.fixture
def tree(tmp_path: Path) -> toy.DexYcbTree:
    tree = toy.write_dexycb(tmp_path, sequences=2, serials=1, frames=2, unseen=())
    toy.write_coco_dexycb(tree)
    return tree


def test_it_is_the_same_data_as_in_the_official_layout(tree: toy.DexYcbTree) -> None:
    official = open_dataset("dexycb", tree.root, "s1_train")
    packed = open_dataset("dexycb", tree.root, "s0_test", layout="coco")
    assert len(official) == len(packed) == 4
    for one, other in zip(official, packed, strict=True):
        assert one.side is other.side and one.intrinsics == other.intrinsics
        np.testing.assert_allclose(one.joints, other.joints, atol=1e-7)  # type: ignore[arg-type]
        np.testing.assert_array_equal(one.depth, other.depth)  # type: ignore[arg-type]
        np.testing.assert_array_equal(one.rgb, other.rgb)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "folder", "split", "golden", "side"),
    [
        ("dexycb", "dex", "s0_test", "loader_dexycb_test", (Side.RIGHT, Side.LEFT)),
        ("ho3d", "ho", "test", "loader_ho3d_test", (Side.RIGHT, Side.RIGHT)),
    ],
)
def test_centres_are_those_of_the_authors_loaders(
    shared_dir: Path, name: str, folder: str, split: str, golden: str, side: tuple[Side, ...]
) -> None:
    mini = shared_dir / "golden" / "keypoint_fusion" / "mini"
    data = open_dataset(name, mini / folder, split)
    assert len(data) == 2 and data.has_truth
    for index, sample in enumerate(data):
        stored = np.load(mini / f"{golden}_{index}.npz")
        assert sample.side is side[index] and sample.joints is not None
        center = sample.joints.mean(axis=0) * 1000
        if sample.side is Side.LEFT:  # their mirror keeps the principal point, see test_authors_crop
            camera = sample.intrinsics
            center[0] = -center[0] + (639 - 2 * camera.cx) / camera.fx * center[2]
        np.testing.assert_allclose(center, stored["center"], atol=1e-3)
        camera_row = (sample.intrinsics.fx, sample.intrinsics.fy, sample.intrinsics.cx, sample.intrinsics.cy)
        np.testing.assert_allclose(camera_row, stored["cam_para"], rtol=1e-6)


def test_the_evaluation_centres_are_read(shared_dir: Path) -> None:
    mini = shared_dir / "golden" / "keypoint_fusion" / "mini"
    for index, sample in enumerate(open_dataset("ho3d", mini / "ho", "eval")):
        assert sample.center is not None and sample.box is not None
        stored = np.load(mini / f"loader_ho3d_eval_{index}.npz")["center"]
        np.testing.assert_allclose(sample.center * 1000, stored, atol=1e-3)


def test_layouts_are_told_apart(tree: toy.DexYcbTree, shared_dir: Path) -> None:
    assert find_layout("dexycb", tree.root) == "official"
    assert find_layout("dexycb", shared_dir / "golden/keypoint_fusion/mini/dex") == "coco"
    assert list_splits("ho3d", "coco") == ("train_all", "test", "eval")


def _edit(path: Path, change: object) -> None:
    content = json.loads(path.read_text())
    change(content)  # type: ignore[operator]
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c.pop("images"), "lacks images"),
        (lambda c: c["annotations"].clear(), "holds no annotation"),
        (lambda c: c["annotations"][0].update(image_id=99), "of image 99, which is not among the images"),
        (lambda c: c["annotations"][0].update(joints_coord_cam=[[1, 2, 3]]), r"numbers of shape \(21, 3\)"),
        (lambda c: c["annotations"][0].update(hand_type="middle"), "not as expected"),
        (lambda c: c["annotations"][0].pop("cam_param"), "cam_param"),
        (lambda c: c["images"][0].update(color_file_name="/etc/passwd"), "a path below"),
        (lambda c: c["images"][0].update(color_file_name="a/../../b"), "a path below"),
    ],
)
def test_a_wrong_annotation_file_is_refused(tree: toy.DexYcbTree, change: object, says: str) -> None:
    _edit(tree.root / "annotations" / "DEX_YCB_s0_test_data.json", change)
    with pytest.raises(DatasetError, match=says):
        open_dataset("dexycb", tree.root, "s0_test", layout="coco")


def test_a_cut_off_or_missing_file_is_named(tree: toy.DexYcbTree) -> None:
    path = tree.root / "annotations" / "DEX_YCB_s0_test_data.json"
    path.write_text(path.read_text()[:-500])
    with pytest.raises(DatasetError, match="cut off"):
        open_dataset("dexycb", tree.root, "s0_test", layout="coco")
    with pytest.raises(DatasetError, match=r"DEX_YCB_s1_test_data\.json: cannot be read"):
        open_dataset("dexycb", tree.root, "s1_test", layout="coco")
    with pytest.raises(DatasetError, match="got 's0_val'"):
        open_dataset("dexycb", tree.root, "s0_val", layout="coco")
