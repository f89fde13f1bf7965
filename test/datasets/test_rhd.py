"""RHD: order of hands and joints, visibility, masks, depth bytes, safe pickles."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import toy_two_hands as toy

from hand_pose_ros.datasets.base import DatasetError, Reading
from hand_pose_ros.datasets.registry import list_splits, open_dataset
from hand_pose_ros.datasets.rhd import Rhd
from hand_pose_ros.datasets.scenes import open_scenes
from hand_pose_ros.skeleton import Side

LABELS = "training/anno_training.pickle"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> toy.SceneTree:
    return toy.write_rhd(tmp_path_factory.mktemp("data") / "RHD_published_v2")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return toy.write_rhd(tmp_path / "rhd", samples=1).root


@pytest.mark.parametrize("split", ["train", "evaluation"])
def test_samples_are_what_was_written(tree: toy.SceneTree, split: str) -> None:
    data = open_scenes("rhd", tree.root.parent, split)
    # Both hands, the right one, the left one.
    assert data.present.tolist() == [[True, True], [True, False], [False, True]]
    for index, sample in enumerate(data):
        assert data.key(index) == sample.key
        truth = np.where(sample.present[:, None, None], tree.truth[sample.key], 0)
        np.testing.assert_allclose(sample.joints, truth, atol=1e-7)
        assert (sample.valid == sample.present[:, None]).all()
        assert sample.rgb is not None and sample.rgb[0, 0].tolist() == [30 + index, 20, 10]
        assert sample.depth is not None
        np.testing.assert_allclose(sample.depth, (50 * 256 + 7) / 65535 * 5, rtol=1e-6)
        assert (sample.intrinsics.fx, sample.intrinsics.cy) == (280, 160)


def test_visibility_is_apart_from_validity(tree: toy.SceneTree) -> None:
    sample = open_scenes("rhd", tree.root, "train")[0]
    assert sample.visible is not None and sample.valid.all()
    # The thumb's base, on disk the fourth of the finger.
    assert np.argwhere(~sample.visible).tolist() == [[1, 1]]


def test_masks_of_the_hands(tree: toy.SceneTree) -> None:
    masks = open_scenes("rhd", tree.root, "train")[0].hand_masks
    assert masks is not None
    assert [np.flatnonzero(mask[:, 0]).tolist() for mask in masks] == [list(range(200, 215)), list(range(100, 130))]


def test_hands_one_at_a_time(tree: toy.SceneTree) -> None:
    hands = open_dataset("rhd", tree.root, "train", reading=Reading(depth=False))
    assert [hand.side for hand in hands] == [Side.RIGHT, Side.LEFT, Side.RIGHT, Side.LEFT]
    assert all(hand.joints is not None and hand.box is None for hand in hands)
    assert list_splits("rhd") == ("train", "evaluation")


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("echo caught > stolen",)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({0: Evil()}, "refused: .*system"),
        ({0: {"xyz": np.zeros((42, 3)), "uv_vis": np.zeros((42, 3))}}, "sample 0: lacks K"),
        ({0: {"xyz": np.zeros((21, 3)), "uv_vis": np.zeros((42, 3)), "K": np.eye(3)}}, "xyz as numbers of shape"),
        ({0: [1]}, "expected a dict of uv_vis, xyz and K, got list"),
        ({}, "holds no sample"),
        ([], "expected a dict"),
    ],
)
def test_foreign_labels_are_refused(own: Path, content: object, says: str) -> None:
    (own / LABELS).write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(DatasetError, match=says):
        Rhd(own, "train")
    assert not Path("stolen").exists()


def test_missing_files_are_named(own: Path) -> None:
    data = Rhd(own, "train")
    (own / "training/mask/00000.png").unlink()
    with pytest.raises(DatasetError, match=r"mask/00000.png: cannot be read"):
        data[0]
    with pytest.raises(DatasetError, match="among train, evaluation; got 'val'"):
        Rhd(own, "val")
    (own / LABELS).unlink()
    with pytest.raises(DatasetError, match=r"anno_training.pickle: cannot be read"):
        Rhd(own, "train")
