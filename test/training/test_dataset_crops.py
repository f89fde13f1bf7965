"""DexYCB and HO-3D as crops to train on: exact geometry, disjoint parts, no test split."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from toy_datasets import DexYcbTree, write_coco_dexycb, write_dexycb, write_ho3d

torch = pytest.importorskip("torch")

from hand_pose_ros.datasets.registry import open_dataset  # noqa: E402
from hand_pose_ros.training.dataset_crops import SplitError, crop_record, dataset_crops, open_splits  # noqa: E402
from hand_pose_ros.training.errors import TrainingError  # noqa: E402
from hand_pose_ros.training.fusion_training import FusionOptions, _sources, _split_names  # noqa: E402
from hand_pose_ros.training.hand_crops import VALIDATION, crop_batch  # noqa: E402


@pytest.fixture(scope="module")
def dexycb(tmp_path_factory: pytest.TempPathFactory) -> DexYcbTree:
    return write_dexycb(tmp_path_factory.mktemp("dexycb"), sequences=10)


def test_a_record_shows_the_hand_where_its_joints_are(dexycb: DexYcbTree) -> None:
    samples = [sample for sample in open_dataset("dexycb", dexycb.root, "s0_train") if sample.joints is not None]
    for sample in samples[:6]:
        record = crop_record(sample, 0.25)
        fx, fy, cx, cy = record["intrinsics"]
        x, y, z = record["joints"].mean(axis=0)
        assert (x / z * fx + cx, y / z * fy + cy) == (pytest.approx(127.5, abs=1e-3),) * 2
        # The toy hand is a patch at its mean depth.
        assert record["depth"][128, 128] == pytest.approx(1e4 * z, abs=12)
        mirrored = sample.as_right()
        assert mirrored.joints is not None
        np.testing.assert_allclose(record["joints"], mirrored.joints, atol=1e-6)
    batch = crop_batch({k: v[None] for k, v in record.items()}, np.random.default_rng(0), VALIDATION)
    assert bool(batch.is_hand[0]) and bool(batch.expected_side[0])
    assert float(batch.joints_nl.abs().max()) < 1


def test_batches_depend_on_the_number_alone_and_show_every_sample_once(dexycb: DexYcbTree) -> None:
    dataset = open_dataset("dexycb", dexycb.root, "s0_train")
    crops = dataset_crops(dataset, 0.25, 4, seed=1)
    stream = crops.batches()
    first = [next(stream)[1]["center"] for _ in range(crops.batches_per_epoch)]
    centers = {tuple(row) for batch in first for row in batch}
    assert len(centers) > 0.8 * 4 * crops.batches_per_epoch  # frames without a hand give way to a neighbour
    every_second = crops.batches(1, 2)
    for number in (1, 3):
        got, batch = next(every_second)
        assert got == number and np.array_equal(batch["center"], first[number])


@pytest.mark.parametrize(("split", "validation"), [("s0_test", ""), ("s0_train", "s0_test"), ("train", "evaluation")])
def test_a_test_split_chooses_no_weights(dexycb: DexYcbTree, split: str, validation: str) -> None:
    with pytest.raises(SplitError, match="a test split is neither trained on"):
        open_splits("dexycb", dexycb.root, split, validation, 0.25)


@pytest.mark.parametrize("name", ["official", "packed"])
def test_training_and_validation_share_no_sequence(dexycb: DexYcbTree, tmp_path: Path, name: str) -> None:
    root = dexycb.root
    if name == "packed":
        root = write_dexycb(tmp_path, sequences=10).root
        write_coco_dexycb(DexYcbTree(root, dexycb.truth), "s0_train")
        shutil.rmtree(root / "calibration")  # what tells the official layout
    splits = open_splits("dexycb", root, "s0_train", "s0_val", 0.25)
    parts = [{d.key(k).sequence for k in range(len(d))} for d in (splits.training, splits.validation)]
    assert parts[0] and parts[1] and not parts[0] & parts[1]


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("dexycb", ("", ""), ("s0_train", "s0_val")),
        ("dexycb", ("s2", ""), ("s2_train", "s2_val")),
        ("dexycb", ("s1_train", "s3_val"), ("s1_train", "s3_val")),
        ("ho3d", ("", ""), ("train", "val")),
        ("ho3d", ("train_all", ""), ("train_all", "")),
    ],
)
def test_split_names(name: str, given: tuple[str, str], expected: tuple[str, str]) -> None:
    assert _split_names(name, *given) == expected


def test_sources_of_data_sets(dexycb: DexYcbTree, tmp_path: Path) -> None:
    training, validation, count = _sources(FusionOptions(("dexycb",), root=dexycb.root), 4, 0)
    assert next(training.batches())[1]["color"].shape[0] == 4 and count >= 1
    tree = write_ho3d(tmp_path)
    _, validation, count = _sources(FusionOptions(("ho3d",), root=tree.root), 4, 0)
    assert next(validation.batches())[1]["joints"].shape[1:] == (21, 3)
    with pytest.raises(TrainingError, match="--root: expected the folder of ho3d"):
        _sources(FusionOptions(("ho3d",)), 4, 0)
