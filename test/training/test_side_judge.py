"""The judge of sides learns from looks at hands of known side."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy_models

from hand_pose_ros.cli.main import main
from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.pipeline.estimator import DroppedHand, NetworkHand
from hand_pose_ros.pipeline.sides import SideJudge, open_judge
from hand_pose_ros.pipeline.timing import StageTimer
from hand_pose_ros.skeleton import Side
from hand_pose_ros.training.errors import TrainingError
from hand_pose_ros.training.shards import ShardError
from hand_pose_ros.training.side_judge import calibrated, figures, part, train_judge
from hand_pose_ros.training.side_looks import Looks, collect_looks
from hand_pose_ros.types import FloatArray, Frame

PER_SHARD = 48


def toy_looks(count: int, seed: int) -> Looks:
    """Looks whose wrong one bends the fingers the other way; deviations tell nothing."""
    rng = np.random.default_rng(seed)
    right = toy_models.toy_hand() + np.array([0.0, 0.0, 0.6], np.float32)
    wrong = right * np.array([1.0, 1.0, -1.0], np.float32) + np.array([0.0, 0.0, 1.2], np.float32)
    joints = np.stack([right, wrong])[None] + rng.normal(0, 0.008, (count, 2, 21, 3))
    return Looks(joints.astype(np.float32), rng.uniform(0.005, 0.02, (count, 2, 21)).astype(np.float32))


@pytest.fixture(scope="module")
def judge() -> SideJudge:
    return train_judge(toy_looks(300, 0), steps=60)


def test_what_tells_the_sides_is_learnt(judge: SideJudge) -> None:
    looks = toy_looks(200, 1)
    assert (judge.log_odds(looks.joints, looks.std) > 0).mean() > 0.9
    swapped = [np.ascontiguousarray(array[:, ::-1]) for array in looks]
    np.testing.assert_allclose(judge.log_odds(*swapped), -judge.log_odds(looks.joints, looks.std), atol=1e-5)


def test_training_repeats_itself(judge: SideJudge) -> None:
    again = train_judge(toy_looks(300, 0), steps=60)
    np.testing.assert_array_equal(again.weights1, judge.weights1)


@pytest.mark.parametrize("factor", [0.1, 10.0])
def test_an_over_or_underconfident_judge_is_calibrated(judge: SideJudge, factor: float) -> None:
    # One in eight of the looks tells the contrary: no judge of them is surer than 7 to 1.
    looks = toy_looks(400, 2)
    looks.joints[::8] = looks.joints[::8, ::-1]
    told = [calibrated(dataclasses.replace(judge, sharpness=sharpness), looks) for sharpness in (1.0, factor)]
    assert told[0].sharpness == pytest.approx(told[1].sharpness, rel=0.06)
    odds = told[1].log_odds(looks.joints, looks.std)
    assert (1 / (1 + np.exp(-np.abs(odds)))).mean() == pytest.approx((odds > 0).mean(), abs=0.06)
    assert set(figures(judge, part(looks, slice(10)))) >= {"side right", "cross entropy"}


class Witness:
    """An estimator that keeps what it was asked, and finds every hand 30 mm beside the place it was told."""

    def __init__(self, blind: bool = False) -> None:
        self.config = PipelineConfig()
        self.asked: list[tuple[Side, FloatArray, bool]] = []
        self._blind = blind

    def estimate(self, frame: Frame, center: FloatArray, side: Side, timer: StageTimer) -> NetworkHand:
        self.asked.append((side, center, frame.color is not None))
        if self._blind:
            raise DroppedHand("no_depth")
        joints = (toy_models.toy_hand() + center + np.array([0.03, 0.0, 0.0])).astype(np.float32)
        std = np.full(21, 0.01 if side is Side.RIGHT else 0.02, np.float32)
        return NetworkHand(side, joints, std, 0.9, 0.5)


def crop_shards(folder: Path, shards: int = 2) -> Path:
    """Shards of a flat thing 0.6 m away, every fourth crop without a hand."""
    for number in range(shards):
        path = folder / f"crops-{number:06d}"
        path.mkdir(parents=True)
        focal = 160 * 0.6 / 0.3125
        arrays: dict[str, Any] = {
            "color": np.full((PER_SHARD, 160, 160, 3), 100, np.uint8),
            "depth": np.full((PER_SHARD, 160, 160), 6000, np.uint16),
            "intrinsics": np.tile(np.array([focal, focal, 79.5, 79.5], np.float32), (PER_SHARD, 1)),
            "center": np.tile(np.array([0.0, 0.0, 0.6], np.float32), (PER_SHARD, 1)),
            "negative": np.arange(PER_SHARD) % 4 == 0,
        }
        for name, array in arrays.items():
            np.save(path / f"{name}.npy", array)
    return folder


def test_hands_are_looked_at_as_in_the_pipeline(tmp_path: Path) -> None:
    witness = Witness()
    looks = collect_looks([crop_shards(tmp_path / "a")], witness, 1000, seed=0)
    hands = 2 * PER_SHARD * 3 // 4
    assert looks.joints.shape == (hands, 2, 21, 3) and len(witness.asked) == 3 * hands
    first, right, left = (witness.asked[n::3] for n in range(3))
    assert {side for side, _, _ in right} == {Side.RIGHT} and {side for side, _, _ in left} == {Side.LEFT}
    assert 0.2 < np.mean([side is Side.RIGHT for side, _, _ in first]) < 0.8
    assert 0.4 < np.mean([color for _, _, color in first]) < 0.9
    for (_, place, _), (_, middle, _), (_, other, _) in zip(first, right, left, strict=True):
        assert np.abs(place - [0.0, 0.0, 0.6]).max() <= 0.0401
        np.testing.assert_allclose(middle - place, [0.03, 0.0, 0.0], atol=1e-6)
        np.testing.assert_array_equal(middle, other)
    # Both looks in their own camera: what the left one shows is mirrored.
    np.testing.assert_allclose(looks.joints[:, 1, :, 0], -looks.joints[:, 0, :, 0], atol=1e-6)
    np.testing.assert_allclose(looks.std.mean(axis=(0, 2)), [0.01, 0.02], atol=1e-6)


def test_few_hands_come_from_every_shard(tmp_path: Path) -> None:
    folder = crop_shards(tmp_path / "a")
    for number in range(2):
        centers = np.full((PER_SHARD, 3), [0.0, 0.0, 0.6 + 0.4 * number], np.float32)
        np.save(folder / f"crops-{number:06d}" / "center.npy", centers)
    looks = collect_looks([folder], Witness(), 24, seed=0)
    far = looks.joints[:, 0, :, 2].mean(axis=1) > 0.8
    assert len(far) == 24 and 6 <= far.sum() <= 18


def test_no_hands_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="no shards"):
        collect_looks([tmp_path], Witness(), 10, seed=0)
    with pytest.raises(TrainingError, match="saw none"):
        collect_looks([crop_shards(tmp_path / "a")], Witness(blind=True), 10, seed=0)


def test_the_command_leaves_weights_that_the_pipeline_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("hand_pose_ros.training.side_judge._STEPS", 5)
    network = toy_models.hand_model(tmp_path / "toy.onnx")
    data, validation = crop_shards(tmp_path / "data", 1), crop_shards(tmp_path / "validation", 1)
    folders = ["--data", str(data), "--validation", str(validation), "--out", str(tmp_path)]
    assert main(["train", "hand_sides", *folders, "--network", str(network), "--samples", "20"]) == 0
    assert isinstance(open_judge(network), SideJudge)
    card = (tmp_path / "toy.sides.md").read_text()
    assert "data: 20 hands of data" in card and "validation_hands: 10" in card
    assert "side right" in capsys.readouterr().out
    assert main(["train", "hand_sides", *folders[:2], "--validation", str(data), *folders[4:]]) == 2
