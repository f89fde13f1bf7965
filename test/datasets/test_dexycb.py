"""DexYCB's own layout: splits, order, numbers, and what is said of broken downloads."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import toy_datasets as toy

from hand_pose_ros.datasets.base import DatasetError, HandSample, Reading
from hand_pose_ros.datasets.dexycb import SERIALS, SPLITS, SUBJECTS, DexYcb
from hand_pose_ros.datasets.registry import list_splits, open_dataset
from hand_pose_ros.geometry.camera import project
from hand_pose_ros.hand_model.mano_file import ModelFileError
from hand_pose_ros.skeleton import Side


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> toy.DexYcbTree:
    return toy.write_dexycb(tmp_path_factory.mktemp("dexycb"), subjects=2, sequences=2)


@pytest.fixture
def own(tmp_path: Path, tree: toy.DexYcbTree) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(tree.root, tmp_path / "dexycb"))


def truth_of(tree: toy.DexYcbTree, sample: HandSample) -> np.ndarray:
    subject, sequence, serial = sample.key.sequence.split("/")
    return tree.truth[subject, sequence, serial, int(sample.key.frame)]


def test_the_splits_are_the_official_ones() -> None:
    # Sequences x cameras of the whole data set, from the definition of the set-ups (Chao et al. 2021, section 4.1).
    sizes = {name: len(p.subjects) * len(p.positions) * len(p.serials) for name, p in SPLITS.items()}
    assert sizes["s0_train"] == 10 * 80 * 8 and sizes["s0_val"] == 2 * 20 * 8 and sizes["s0_test"] == 8 * 20 * 8
    assert [sizes[f"s1_{part}"] for part in ("train", "val", "test")] == [7 * 800, 800, 1600]
    assert [sizes[f"s2_{part}"] for part in ("train", "val", "test")] == [6000, 1000, 1000]
    assert [sizes[f"s3_{part}"] for part in ("train", "val", "test")] == [75 * 80, 10 * 80, 15 * 80]
    for setup in ("s0", "s1", "s2", "s3"):
        cells = [
            {(s, c, p) for s in part.subjects for c in part.serials for p in part.positions}
            for part in (SPLITS[f"{setup}_{name}"] for name in ("train", "val", "test"))
        ]
        assert not cells[0] & cells[1] and not cells[0] & cells[2] and not cells[1] & cells[2]
        assert sum(map(len, cells)) == 8000
    assert list_splits("dexycb") == tuple(SPLITS)


def test_samples_are_what_was_written(tree: toy.DexYcbTree) -> None:
    data = open_dataset("dexycb", tree.root, "s1_train")
    # 2 subjects x 2 sequences x 2 cameras x 2 of 3 frames: the first shows no hand.
    assert len(data) == 16
    for index, sample in enumerate(data):
        assert sample.key == data.key(index)
        assert sample.joints is not None and sample.depth is not None and sample.rgb is not None
        np.testing.assert_array_equal(sample.joints, truth_of(tree, sample))
        np.testing.assert_allclose(sample.depth, toy.toy_depth(sample.joints), atol=5.1e-4)
        u, v = project(sample.joints.mean(axis=0), sample.intrinsics).astype(int)
        assert abs(sample.depth[v, u] - sample.joints[:, 2].mean()) < 1e-3
        assert np.abs(sample.rgb.astype(int)[:, 80:] - toy.COLOR).max() < 8, "JPEG colours are red, green, blue"
        assert sample.side is (Side.LEFT if sample.key.sequence.split("/")[1].endswith("1") else Side.RIGHT)


def test_order_is_sequence_camera_frame_and_ids_count_every_frame(tree: toy.DexYcbTree) -> None:
    data = DexYcb(tree.root, "s1_train")
    keys = [data.key(i) for i in range(4)]
    first = f"{SUBJECTS[0]}/20200709_140000"
    assert [(key.sequence, key.frame) for key in keys] == [
        (f"{first}/{SERIALS[camera]}", f"{frame:06d}") for camera in (0, 1) for frame in (1, 2)
    ]
    assert [data.image_id(i) for i in range(5)] == [1, 2, 4, 5, 7]
    assert data[-1].key == data[15].key
    with pytest.raises(IndexError, match="below 16, got 16"):
        data[16]


def test_a_camera_split_takes_its_cameras_only(tree: toy.DexYcbTree) -> None:
    assert len(DexYcb(tree.root, "s2_train")) == 16
    with pytest.raises(DatasetError, match="no annotated frame"):
        DexYcb(tree.root, "s2_test")


def test_an_incomplete_download_is_noted(tree: toy.DexYcbTree) -> None:
    notes = " | ".join(DexYcb(tree.root, "s1_train").notes)
    assert "5 subjects of s1_train are missing" in notes
    assert "not 100 sequences" in notes and "(2)" in notes


def test_left_hands_are_mirrored_there_and_back(tree: toy.DexYcbTree) -> None:
    left = next(sample for sample in DexYcb(tree.root, "s1_train") if sample.side is Side.LEFT)
    right = left.as_right()
    assert right.side is Side.RIGHT and right.as_right() is right
    assert left.joints is not None and right.joints is not None
    mirrored = project(right.joints, right.intrinsics)
    original = project(left.joints, left.intrinsics)
    np.testing.assert_allclose(mirrored[:, 0], 639 - original[:, 0], atol=1e-9)
    np.testing.assert_allclose(mirrored[:, 1], original[:, 1], atol=1e-9)
    assert left.rgb is not None and right.rgb is not None and left.depth is not None and right.depth is not None
    np.testing.assert_array_equal(right.rgb, left.rgb[:, ::-1])
    np.testing.assert_array_equal(right.depth, left.depth[:, ::-1])


def test_only_what_is_asked_for_is_read(own: Path) -> None:
    for path in own.rglob("*.jpg"):
        path.unlink()
    sample = DexYcb(own, "s1_train", Reading(color=False))[0]
    assert sample.rgb is None and sample.depth is not None


def test_without_pose_npz_the_labels_tell_which_frames_count(own: Path) -> None:
    with_poses = [DexYcb(own, "s1_train").key(i) for i in range(16)]
    for path in own.rglob("pose.npz"):
        path.unlink()
    without = DexYcb(own, "s1_train")
    assert [without.key(i) for i in range(len(without))] == with_poses


def test_a_label_without_a_hand_gives_no_joints(own: Path) -> None:
    data = DexYcb(own, "s1_train")
    path = own / data.key(0).sequence / f"labels_{data.key(0).frame}.npz"
    np.savez(path, joint_3d=np.full((1, 21, 3), -1, np.float32), pose_m=np.zeros((1, 51), np.float32))
    assert data[0].joints is None and data[0].wrist is None


def test_poses_become_axis_angles_with_the_users_mano_files(tree: toy.DexYcbTree, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    mean, basis = rng.normal(size=45).astype(np.float32), rng.normal(size=(45, 45)).astype(np.float32)
    np.savez(tmp_path / "MANO_RIGHT.npz", hands_mean=mean, hands_components=basis)
    data = open_dataset("dexycb", tree.root, "s1_train", mano_path=tmp_path)
    label = np.load(tree.root / data.key(0).sequence / f"labels_{data.key(0).frame}.npz")["pose_m"][0]
    mano = data[0].mano
    assert mano is not None
    np.testing.assert_allclose(mano.hand_pose, mean + label[3:48] @ basis, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(mano.global_orient, label[:3])
    np.testing.assert_array_equal(mano.transl, label[48:])
    np.testing.assert_allclose(mano.betas, 0.1 * np.arange(10), atol=1e-6)
    assert DexYcb(tree.root, "s1_train")[0].mano is None, "not without the files"
    with pytest.raises(ModelFileError, match="MANO_LEFT"):
        next(data[i] for i in range(16) if "140001" in data.key(i).sequence)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda f, c: _cut(f / "color_000001.jpg"), "cut off after .* fetch it anew"),
        (lambda f, c: _cut(f / "aligned_depth_to_color_000001.png"), "cut off after"),
        (lambda f, c: _cut(f / "labels_000001.npz"), "not a whole .npz"),
        (lambda f, c: (f / "labels_000001.npz").unlink(), "labels_000001.npz: no such file"),
        (lambda f, c: (f / "color_000001.jpg").write_bytes(b""), "the file is empty"),
        (lambda f, c: (f / "color_000001.jpg").write_bytes(b"not a picture"), "not an image"),
        (lambda f, c: (f / "color_000001.jpg").unlink(), "color_000001.jpg: cannot be read"),
        (lambda f, c: toy.cv2.imwrite(str(f / "aligned_depth_to_color_000001.png"), toy.toy_color()), "one channel"),
        (lambda f, c: np.savez(f / "labels_000001.npz", seg=np.zeros(3)), "lacks joint_3d, pose_m"),
        (lambda f, c: (c / f"{SERIALS[0]}_640x480.yml").write_text("depth: {}"), "expected color: fx"),
        (lambda f, c: (c / f"{SERIALS[0]}_640x480.yml").write_text("a: [1"), "not readable as YAML"),
    ],
)
def test_a_damaged_sample_is_named(own: Path, damage: object, says: str) -> None:
    data = DexYcb(own, "s1_train")
    damage(own / data.key(0).sequence, own / "calibration" / "intrinsics")  # type: ignore[operator]
    with pytest.raises(DatasetError, match=says):
        data[0]


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda r: shutil.rmtree(r), "expected the folder of DexYCB"),
        (lambda r: shutil.rmtree(r / "calibration"), "camera calibration; .* holds .*20200709-subject-01"),
        (lambda r: [shutil.rmtree(r / s) for s in SUBJECTS[:2]], "none of the subjects of s1_train"),
        (lambda r: next(r.rglob("meta.yml")).write_text("num_frames: 3"), "expected serials, num_frames"),
        (lambda r: next(r.rglob("meta.yml")).unlink(), "meta.yml: cannot be read"),
        (lambda r: np.savez(next(r.rglob("pose.npz")), pose_m=np.zeros((7, 1, 51))), r"\(3, 1, 51\) as meta.yml says"),
    ],
)
def test_a_wrong_folder_is_refused_at_once(own: Path, damage: object, says: str) -> None:
    damage(own)  # type: ignore[operator]
    with pytest.raises(DatasetError, match=says):
        DexYcb(own, "s1_train")


def test_an_unknown_split_lists_those_there_are(tree: toy.DexYcbTree) -> None:
    with pytest.raises(DatasetError, match=r"s0_train.*s3_test; got 's4_test'"):
        DexYcb(tree.root, "s4_test")
