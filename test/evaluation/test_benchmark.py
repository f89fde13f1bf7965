"""Rows of the papers' tables from predictions that are off by known distances."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import toy_datasets as toy

from hand_pose_ros.datasets.base import DatasetError, HandSample, Reading
from hand_pose_ros.datasets.registry import open_dataset
from hand_pose_ros.evaluation.benchmark import Predictions, predict, score
from hand_pose_ros.evaluation.paper_tables import dexycb_table, ho3d_table
from hand_pose_ros.types import FloatArray


def off(center: str, *shifts_mm: float) -> Predictions:
    """Hands shifted sideways by so much; NaN: no hand."""
    truth = np.stack([toy.toy_hand(seed) for seed in range(len(shifts_mm))])
    joints = truth + np.float32([1, 0, 0]) * np.float32(shifts_mm)[:, None, None] / 1000
    return Predictions(center, joints.astype(np.float32), truth)


def test_missed_and_misplaced_hands_do_not_count_as_errors() -> None:
    result = score(off("finder", 10, 20, np.nan, 400))
    assert (result.samples, result.found, result.elsewhere, result.counted) == (4, 2, 1, 2)
    assert result.share_found == 0.5
    assert result.mpjpe == pytest.approx(0.015, abs=1e-6)
    assert result.root_relative == pytest.approx(0, abs=1e-6) and result.aligned == pytest.approx(0, abs=1e-6)
    assert result.challenge.raw == pytest.approx(0.015, abs=1e-6)
    assert result.auc == pytest.approx(0.7, abs=0.01) and result.aligned_auc > 0.99


def test_where_the_centre_was_told_every_hand_counts() -> None:
    result = score(off("truth", 10, 400))
    assert (result.found, result.elsewhere, result.counted) == (2, 0, 2)
    assert result.mpjpe == pytest.approx(0.205, abs=1e-6)


def test_hands_without_truth_are_left_out() -> None:
    predictions = off("truth", 5, 5)
    predictions.truth[0] = np.nan
    result = score(predictions)
    assert (result.samples, result.counted) == (1, 1)
    nothing = score(Predictions("truth", predictions.joints[:0], predictions.truth[:0]))
    assert np.isnan([nothing.mpjpe, nothing.auc, nothing.share_found, nothing.challenge.raw]).all()


def test_the_same_hands_can_be_compared() -> None:
    finder, truth = off("finder", 10, np.nan), off("truth", 6, 30)
    partial = score(truth, finder.found)
    assert partial.counted == 1 and not partial.whole and partial.mpjpe == pytest.approx(0.006, abs=1e-6)


def test_table_1() -> None:
    rows = [
        score(off("truth", 6, 8)),
        score(off("finder", 10, np.nan)),
        score(off("truth", 6, 8), np.array([1, 0]) > 0),
    ]
    table = dexycb_table({"s0": rows}, "ours")
    assert [row[1] for row in table.rows] == ["Keypoint-Fusion, paper", "ours", "ours", "ours"]
    assert table.rows[0][5:7] == (6.94, 4.79)
    mpjpe, found = table.columns.index("MPJPE"), table.columns.index("found %")
    assert [row[mpjpe] for row in table.rows[1:]] == pytest.approx([7, 10, 6], abs=1e-3)
    assert [row[found] for row in table.rows[1:3]] == [100, 50] and np.isnan(float(table.rows[3][found] or 0))
    assert "of those found" in str(table.rows[3][2])


def test_table_1_averages_the_four_set_ups() -> None:
    table = dexycb_table({f"s{n}": [score(off("truth", 4.0 + 2 * n))] for n in range(4)}, "ours")
    average = [row for row in table.rows if row[0] == "AVG"]
    assert [row[5] for row in average] == pytest.approx([7.54, 7.0], abs=1e-3)


@pytest.mark.parametrize(("beside", "rows"), [(2, 2), (3, 1), (None, 1)])
def test_table_2(beside: int | None, rows: int) -> None:
    table = ho3d_table([score(off("given", 10, 30))], "ours", beside, beside)
    assert len(table.rows) == rows
    record = table.records()[-1]
    assert record["raw"] == pytest.approx(2.0, abs=1e-4) and record["sc.-tr."] == pytest.approx(0, abs=1e-4)


def test_samples_are_read_once_and_in_order(tmp_path: Path) -> None:
    data = toy.write_ho3d(tmp_path, evaluation=("SM1", "AP1"), frames=2).root
    dataset = open_dataset("ho3d", data, "evaluation", reading=Reading(color=False))
    seen: dict[str, list[str]] = {"truth": [], "given": []}

    class Echo:
        def __init__(self, center: str) -> None:
            self.center = center

        def predict(self, sample: HandSample) -> FloatArray | None:
            seen[self.center].append(str(sample.key))
            return sample.joints if self.center == "truth" else None

    truth, given = predict(dataset, (Echo("truth"), Echo("given")), [0, 2, 3])
    assert seen["truth"] == seen["given"] == ["SM1/0000", "AP1/0000", "AP1/0001"]
    np.testing.assert_array_equal(truth.joints, truth.truth)
    assert not given.given.any() and given.truth is truth.truth
    (data / "evaluation/AP1/depth/0000.png").unlink()
    with pytest.raises(DatasetError, match="AP1/depth/0000"):
        predict(dataset, (Echo("truth"),), [0, 2, 3])
