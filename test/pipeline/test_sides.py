"""Two looks tell the side: by what was learnt of them, or by the deviations alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.engines.base import EngineError
from hand_pose_ros.engines.zoo import find_model
from hand_pose_ros.geometry.crop import mirror_points
from hand_pose_ros.pipeline.estimator import NetworkHand
from hand_pose_ros.pipeline.side_features import PAIR_FEATURES, pair_features, palm_axes
from hand_pose_ros.pipeline.sides import (
    MAX_EVIDENCE,
    SideJudge,
    bounded,
    finder_evidence,
    judge_path,
    look_due,
    open_judge,
    side_evidence,
)
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import HandDetection, InvalidData


def look(side: Side, std: float, side_score: float = 0.5) -> NetworkHand:
    joints = np.zeros((21, 3), np.float32) + np.float32(0.6)
    return NetworkHand(side, joints, np.full(21, std, np.float32), 0.9, side_score)


@pytest.mark.parametrize(
    ("stds", "scores", "sign"),
    [
        ((0.010, 0.012), (0.5, 0.5), 1),
        ((0.012, 0.010), (0.5, 0.5), -1),
        ((0.010, 0.010), (0.9, 0.1), 1),
        ((0.010, 0.0105), (0.02, 0.98), -1),
        ((0.010, 0.010), (0.5, 0.5), 0),
    ],
)
def test_smaller_deviation_and_the_networks_word_count(
    stds: tuple[float, float], scores: tuple[float, float], sign: int
) -> None:
    right, left = (look(side, *pair) for side, pair in zip(Side, zip(stds, scores, strict=True), strict=True))
    evidence = side_evidence(right, left)
    assert np.sign(round(evidence, 6)) == sign
    assert side_evidence(left, right) == pytest.approx(-evidence)


@pytest.mark.parametrize(("side_score", "evidence"), [(0.5, 0.0), (0.6, 0.405), (1.0, 1.0)])
def test_the_finders_side_counts_a_little(side_score: float, evidence: float) -> None:
    detection = HandDetection(Side.RIGHT, np.zeros(3, np.float32), 1.0, side_score)
    assert finder_evidence(detection) == pytest.approx(evidence, abs=1e-3)


def test_evidence_is_bounded() -> None:
    assert side_evidence(look(Side.RIGHT, 1e-3), look(Side.LEFT, 1.0)) == MAX_EVIDENCE
    assert bounded(-100.0) == -MAX_EVIDENCE


def test_looks_are_frequent_at_first_and_rare_later() -> None:
    due = [age for age in range(1, 61) if look_due(age)]
    assert due == [1, 2, 4, 7, 15, 30, 45, 60]


def toy_judge(seed: int = 0, networks: int = 2, hidden: int = 5, second: int = 4) -> SideJudge:
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    return SideJudge(
        mean=draw(PAIR_FEATURES),
        scale=np.exp(draw(PAIR_FEATURES)),
        weights1=draw(networks, PAIR_FEATURES, hidden) / 20,
        bias1=draw(networks, hidden),
        weights2=draw(networks, hidden, second),
        bias2=draw(networks, second),
        weights3=draw(networks, second) / 20,
        sharpness=0.3,
    )


def scattered(side: Side, rng: np.random.Generator) -> NetworkHand:
    joints = rng.normal([0.1, 0.0, 0.6], 0.05, (21, 3)).astype(np.float32)
    return NetworkHand(side, joints, rng.uniform(0.002, 0.05, 21).astype(np.float32), 0.9, 0.5)


def mirrored(hand: NetworkHand) -> NetworkHand:
    return replace(hand, side=hand.side.other, joints=mirror_points(hand.joints))


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_swapping_the_looks_turns_the_evidence_round_and_a_mirror_keeps_it(seed: int) -> None:
    rng, judge = np.random.default_rng(seed), toy_judge(seed % 7)
    right, left = (scattered(side, rng) for side in (Side.RIGHT, Side.LEFT))
    evidence = judge(right, left)
    assert judge(left, right) == -evidence
    # In a mirror the right hand is a left one, and what spoke for the right side speaks for the left one.
    assert judge(mirrored(right), mirrored(left)) == evidence
    assert abs(evidence) <= MAX_EVIDENCE


def test_features_do_not_depend_on_where_the_hand_is_along_its_line_of_sight() -> None:
    rng = np.random.default_rng(0)
    pair = np.stack([[scattered(Side.RIGHT, rng).joints for _ in range(2)]])
    std = np.full((1, 2, 21), 0.01, np.float32)
    away = np.float32(0.3) * pair.mean(axis=2, keepdims=True)
    np.testing.assert_allclose(pair_features(pair, std), pair_features(pair + away, std), atol=1e-4)


def test_palm_axes_are_right_handed_and_along_the_palm() -> None:
    joints = scattered(Side.RIGHT, np.random.default_rng(1)).joints.astype(np.float64)[None]
    axes = palm_axes(joints)[0]
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-6)
    assert np.linalg.det(axes) == pytest.approx(1.0)
    along = joints[0, 9] - joints[0, 0]
    assert float(axes[:, 1] @ along) == pytest.approx(float(np.linalg.norm(along)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": np.zeros(3, np.float32)}, "sides.mean: expected shape"),
        ({"weights2": np.zeros((2, 9, 4), np.float32)}, "sides.weights2: expected shape"),
        ({"bias1": np.full((2, 5), np.nan, np.float32)}, "sides.bias1: holds NaN"),
        ({"scale": np.zeros(PAIR_FEATURES, np.float32)}, "above 0"),
        ({"sharpness": -1.0}, "above 0"),
    ],
)
def test_weights_that_do_not_fit_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidData, match=message):
        replace(toy_judge(), **change)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "network.onnx"
    path.write_bytes(b"a network")
    return path


def test_what_is_saved_beside_a_network_is_opened_with_it(model: Path) -> None:
    judge, rng = toy_judge(), np.random.default_rng(3)
    judge.save(judge_path(model), model)
    opened = open_judge(model)
    pair = scattered(Side.RIGHT, rng), scattered(Side.LEFT, rng)
    assert opened(*pair) == pytest.approx(judge(*pair), abs=1e-6)


def test_a_network_without_weights_is_judged_by_its_deviations(model: Path) -> None:
    assert open_judge(model) is side_evidence


def test_weights_of_another_network_are_refused(model: Path) -> None:
    toy_judge().save(judge_path(model), model)
    model.write_bytes(b"a network trained on")
    with pytest.raises(EngineError, match=r"hand_pose train hand_sides"):
        open_judge(model)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut off"])
def test_files_that_are_no_weights_are_refused(model: Path, content: bytes) -> None:
    judge_path(model).write_bytes(content)
    with pytest.raises(EngineError, match=r"network.sides.npz: expected weights"):
        open_judge(model)


def test_weights_that_lack_a_part_or_are_of_another_version_are_refused(model: Path) -> None:
    path = judge_path(model)
    toy_judge().save(path, model)
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    np.savez(path, **{name: array for name, array in arrays.items() if name != "bias2"})
    with pytest.raises(EngineError, match="bias2"):
        open_judge(model)
    np.savez(path, **{**arrays, "features_version": np.asarray(99)})
    with pytest.raises(EngineError, match="version"):
        open_judge(model)


def test_weights_that_differ_from_their_card_are_refused(model: Path) -> None:
    toy_judge().save(judge_path(model), model)
    judge_path(model).with_suffix(".md").write_text("- sha256: " + "0" * 64)
    with pytest.raises(EngineError, match="sha256"):
        open_judge(model)


def test_the_shipped_weights_belong_to_the_shipped_network() -> None:
    judge = open_judge(find_model(PipelineConfig().model))
    assert isinstance(judge, SideJudge)
    assert 0.3 < judge.sharpness < 2.0
