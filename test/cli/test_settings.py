"""Options and YAML files become the configuration."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from hand_pose_ros.cli.errors import UsageError
from hand_pose_ros.cli.settings import add_settings, settings
from hand_pose_ros.config import NodeConfig
from hand_pose_ros.options import ConfigError


def parse(*argv: str) -> NodeConfig:
    parser = argparse.ArgumentParser()
    add_settings(parser, ("pipeline", "sync"))
    return settings(parser.parse_args(argv))


def test_without_options_it_is_the_default() -> None:
    assert parse() == NodeConfig()


def test_options_have_dotted_names() -> None:
    config = parse("--model", "x.onnx", "--tracking.min-score", "0.25", "--smoothing.enabled", "--no-mesh")
    assert config.pipeline.model == "x.onnx"
    assert config.pipeline.tracking.min_score == 0.25
    assert config.pipeline.smoothing.enabled
    assert not config.pipeline.mesh
    assert parse("--sync.tolerance-ms", "5").sync.tolerance_ms == 5.0


@pytest.mark.parametrize(
    "text",
    [
        "pipeline:\n  max_hands: 1\n  finder:\n    period: 9\n",
        "pipeline.max_hands: 1\npipeline.finder.period: 9\n",
        "/**:\n  ros__parameters:\n    pipeline:\n      max_hands: 1\n      finder.period: 9\n",
        "hand_pose:\n  ros__parameters:\n    pipeline.max_hands: 1\n    pipeline.finder.period: 9\n",
    ],
)
def test_a_file_in_every_spelling_and_options_win(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    config = parse("--config", str(path), "--finder.period", "3")
    assert config.pipeline.max_hands == 1
    assert config.pipeline.finder.period == 3


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("pipeline:\n  max_hand: 1\n", ConfigError, "unknown option"),
        ("pipeline:\n  max_hands: 9\n", ConfigError, "expected 1 to 2, got 9"),
        ("pipeline:\n  max_hands: many\n", ConfigError, "expected int"),
        ("- a\n- b\n", UsageError, "expected names with values"),
        ("a: [", UsageError, "not a YAML file"),
        ("a:\n  ros__parameters: {}\nb:\n  ros__parameters: {}\n", ConfigError, "one node"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str, error: type[Exception], says: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(error, match=says):
        parse("--config", str(path))


def test_an_empty_file_is_the_default(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("# nothing\n")
    assert parse("--config", str(path)) == NodeConfig()
