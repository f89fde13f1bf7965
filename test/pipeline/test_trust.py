"""One probability from all that was seen of a place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.engines.base import EngineError
from hand_pose_ros.engines.zoo import find_model
from hand_pose_ros.pipeline.estimator import NetworkHand
from hand_pose_ros.pipeline.finders import finder_file
from hand_pose_ros.pipeline.trust import HandTrust, believe, open_trust, trust_features, trust_path
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import InvalidData

TRUST = HandTrust((1.0, 0.5, -2.0, 0.8), -1.0, (0.2, 3.0, -0.2, 4.0))


def hand(std: float = 0.01, score: float = 0.9) -> NetworkHand:
    joints = np.tile(np.array([0.0, 0.0, 0.5], np.float32), (21, 1))
    return NetworkHand(Side.RIGHT, joints, np.full(21, std, np.float32), score, 0.5)


def test_features_are_log_odds_and_the_deviation_in_centimetres() -> None:
    features = trust_features(0.5, hand(std=0.01, score=0.5), -3.0)
    np.testing.assert_allclose(features, (0.0, 0.0, 0.0, 3.0), atol=1e-6)


@given(
    found=st.floats(0, 1),
    score=st.floats(0, 1),
    std=st.floats(1e-4, 0.2),
    evidence=st.floats(-6, 6),
)
def test_what_speaks_for_a_hand_raises_the_probability(found: float, score: float, std: float, evidence: float) -> None:
    trust = TRUST(found, hand(std, score), evidence)
    assert 0.0 <= trust <= 1.0
    assert TRUST(found, hand(std, score), -evidence) == trust
    better = (
        TRUST(min(1.0, found + 0.1), hand(std, score), evidence),
        TRUST(found, hand(std, min(1.0, score + 0.1)), evidence),
        TRUST(found, hand(std / 2, score), evidence),
        TRUST(found, hand(std, score), 1.2 * evidence),
    )
    assert min(better) >= trust


@given(found=st.floats(0, 1))
def test_without_its_finder_the_finders_score_says_nothing(found: float) -> None:
    usual = 1.0 / (1.0 + np.exp(-TRUST.usual[0]))
    assert TRUST.without_finder()(found, hand(), 2.0) == pytest.approx(TRUST(usual, hand(), 2.0))


@pytest.fixture
def networks(tmp_path: Path) -> tuple[Path, Path]:
    paths = tmp_path / "network.onnx", tmp_path / "finder.onnx"
    for path in paths:
        path.write_bytes(path.name.encode())
    return paths


def test_what_is_saved_beside_a_network_is_opened_with_it(networks: tuple[Path, Path]) -> None:
    model, finder = networks
    TRUST.save(trust_path(model), model, finder)
    assert open_trust(model, finder) == TRUST
    for other in (None, model):
        assert open_trust(model, other) == TRUST.without_finder()


def test_a_network_without_a_file_is_believed(networks: tuple[Path, Path]) -> None:
    assert open_trust(*networks) is believe


def changed(path: Path, **change: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": [1.0]}, "4 finite weights"),
        ({"bias": float("nan")}, "4 finite weights"),
        ({"bias": None}, "expected the weights"),
        ({"usual": "no"}, "expected the weights"),
        ({"features_version": 9}, "version 1, got 9"),
        ({"model_sha256": "0"}, "hand_pose train hand_trust"),
    ],
)
def test_files_that_do_not_fit_are_refused(networks: tuple[Path, Path], change: dict[str, Any], message: str) -> None:
    model, finder = networks
    TRUST.save(trust_path(model), model, finder)
    changed(trust_path(model), **change)
    with pytest.raises(EngineError, match=message):
        open_trust(model, finder)


@pytest.mark.parametrize("content", ["", "no json", "[1, 2]", '{"weights": [1, 2, 3, 4]}'])
def test_files_that_are_no_trust_are_refused(networks: tuple[Path, Path], content: str) -> None:
    trust_path(networks[0]).write_text(content)
    with pytest.raises(EngineError, match=r"network.trust.json: expected the weights"):
        open_trust(*networks)


def test_a_file_that_differs_from_its_card_is_refused(networks: tuple[Path, Path]) -> None:
    model, finder = networks
    TRUST.save(trust_path(model), model, finder)
    trust_path(model).with_suffix(".md").write_text("- sha256: " + "0" * 64)
    with pytest.raises(EngineError, match="sha256"):
        open_trust(model, finder)


def test_weights_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(InvalidData, match="finite"):
        HandTrust((1.0, 1.0, 1.0, float("inf")), 0.0, (0.0,) * 4)


def test_the_shipped_trust_belongs_to_the_shipped_networks() -> None:
    config = PipelineConfig()
    trust = open_trust(find_model(config.model), finder_file(config))
    assert isinstance(trust, HandTrust) and trust.weights[0] > 0


def test_a_place_that_the_finder_did_not_name_counts_as_usual_there() -> None:
    """A hand that shows up beside a followed one."""
    assert np.isnan(trust_features(None, hand(), 2.0)[0])
    usual = 1 / (1 + np.exp(-TRUST.usual[0]))
    assert TRUST(None, hand(), 2.0) == pytest.approx(TRUST(usual, hand(), 2.0))
