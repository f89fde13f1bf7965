"""Fitting the trust in hands, and the command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from hand_pose_ros.cli.main import main
from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.pipeline.estimator import NetworkHand
from hand_pose_ros.skeleton import Side
from hand_pose_ros.training.errors import TrainingError
from hand_pose_ros.training.hand_trust import Places, _judged, area_under_roc, collect_places, figures, fit_trust
from hand_pose_ros.types import FloatArray

WEIGHTS, BIAS = np.array([1.5, 0.5, -2.0, 0.7]), -1.0


def places(count: int, seed: int = 0) -> Places:
    rng = np.random.default_rng(seed)
    features = rng.normal([0.0, 2.0, 0.0, 2.0], [1.0, 1.5, 0.4, 1.2], (count, 4))
    chance = 1.0 / (1.0 + np.exp(-(BIAS + features @ WEIGHTS)))
    return Places(features, rng.uniform(size=count) < chance)


def test_the_fit_finds_the_function_that_made_the_places() -> None:
    trust = fit_trust(places(40_000))
    np.testing.assert_allclose(trust.weights, WEIGHTS, atol=0.15)
    assert trust.bias == pytest.approx(BIAS, abs=0.15)
    features, right = places(40_000)
    np.testing.assert_allclose(trust.usual, features[right].mean(axis=0))


def test_few_places_that_can_be_told_apart_do_not_break_the_fit() -> None:
    features = np.repeat([[-1.0, -1.0, 1.0, 0.0], [1.0, 1.0, -1.0, 4.0]], 10, axis=0)
    trust = fit_trust(Places(features, np.arange(20) >= 10))
    odds = trust.bias + features @ np.array(trust.weights)
    assert (odds[:10] < -1).all() and (odds[10:] > 1).all()


def test_the_card_says_what_is_kept_and_refused() -> None:
    good = figures(places(4000, seed=1), (0.5,))
    blind = places(4000, seed=1)
    chance = figures(Places(np.random.default_rng(2).normal(size=blind.features.shape), blind.right), (0.5,))
    assert float(good["area_under_roc"]) > 0.85
    assert 0.45 < float(chance["area_under_roc"]) < 0.55
    assert set(good) == {"places", "area_under_roc", "area_under_roc_alone", "at_0.5"}


@dataclass(frozen=True)
class Known:
    side: Side
    joints: FloatArray


@dataclass(frozen=True)
class Seen:
    truth: Known
    visible_fraction: float


def at(x: float) -> FloatArray:
    return np.tile(np.array([x, 0.0, 0.5], np.float32), (21, 1))


def taken(side: Side, x: float) -> tuple[NetworkHand, tuple[float, ...]]:
    return NetworkHand(side, at(x), np.full(21, 0.01, np.float32), 0.9, 0.5), (x,)


def test_a_place_is_right_where_a_hand_of_its_side_is_and_hardly_seen_ones_count_neither_way() -> None:
    hands = [Seen(Known(Side.RIGHT, at(0.0)), 1.0), Seen(Known(Side.LEFT, at(0.5)), 1.0)]
    hidden = Seen(Known(Side.LEFT, at(1.0)), 0.1)
    found = [taken(Side.RIGHT, 0.01), taken(Side.RIGHT, 0.5), taken(Side.LEFT, 1.0), taken(Side.LEFT, 2.0)]
    assert list(_judged(found, [*hands, hidden], 0.25)) == [((0.01,), True), ((0.5,), False), ((2.0,), False)]


def test_too_few_places_are_an_error() -> None:
    with pytest.raises(TrainingError, match="use more frames"):
        collect_places(PipelineConfig(), [])


def test_the_command_does_not_learn_from_the_frames_that_measure_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "hand_trust", "--data", "synthetic", "--seed", "990001", "--out", str(tmp_path)]) == 2
    assert "kept for" in capsys.readouterr().err
    assert main(["train", "hand_trust", "--data", "elsewhere", "--out", str(tmp_path)]) == 2
    assert not list(tmp_path.iterdir())


def test_area_under_roc_is_the_share_of_pairs_in_order() -> None:
    values, right = np.array([1.0, 2.0, 2.0, 3.0, 5.0]), np.array([False, True, False, True, False])
    pairs = [(a > b) + (a == b) / 2 for a in values[right] for b in values[~right]]
    assert area_under_roc(values, right) == pytest.approx(np.mean(pairs))
    assert area_under_roc(values, ~right) == pytest.approx(1 - np.mean(pairs))
