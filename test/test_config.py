from __future__ import annotations

import dataclasses

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hand_pose_ros.config import NodeConfig, PipelineConfig
from hand_pose_ros.options import ConfigError, Option, build, flatten, options, replace, unnest

ALL = tuple(options(NodeConfig))


def values_of(item: Option) -> st.SearchStrategy[object]:
    if item.choices is not None:
        return st.sampled_from(item.choices)
    if item.type is bool:
        return st.booleans()
    if item.type is int:
        return st.integers(int(item.minimum or 0), int(item.maximum or 0))
    if item.type is float:
        return st.floats(item.minimum, item.maximum)
    return st.text(max_size=8)


@given(st.fixed_dictionaries({}, optional={item.name: values_of(item) for item in ALL}))
@settings(max_examples=25, deadline=None)
def test_flatten_undoes_build(values: dict[str, object]) -> None:
    config = build(NodeConfig, values)
    flat = flatten(config)
    assert {name: flat[name] for name in values} == values
    assert build(NodeConfig, flat) == config
    assert list(flat) == [item.name for item in ALL]


@pytest.mark.parametrize("item", ALL, ids=lambda item: item.name)
def test_every_option_is_documented_and_its_default_allowed(item: Option) -> None:
    assert item.help.endswith(".") and len(item.help) > 10
    assert build(NodeConfig, {item.name: item.default}) == NodeConfig()
    if item.type in (int, float):
        assert item.minimum is not None and item.maximum is not None and item.minimum < item.maximum


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cube": 0.2}, r"unknown option\(s\) cube; known: cube_size, depth_fit, engine"),
        ({"tracking": 1}, r"unknown option\(s\) tracking;"),
        ({"cube_size": 2.0}, r"cube_size: expected 0.1 to 0.6, got 2.0"),
        ({"cube_size": float("nan")}, "cube_size: expected 0.1 to 0.6, got nan"),
        ({"cube_size": "0.2"}, r"cube_size: expected float, got '0.2' \(str\)"),
        ({"max_hands": 1.0}, "max_hands: expected int, got 1.0"),
        ({"max_hands": True}, "max_hands: expected int, got True"),
        ({"mesh": 1}, "mesh: expected bool, got 1"),
        ({"max_depth": True}, "max_depth: expected float, got True"),
        ({"engine": "cpu"}, r"engine: expected one of auto, onnxruntime, .*torch, got 'cpu'"),
        ({"smoothing.beta": -1.0}, "smoothing.beta: expected 0.0 to 1000.0"),
    ],
)
def test_bad_values_are_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(PipelineConfig, values)


def test_whole_numbers_are_taken_for_floats() -> None:
    assert build(PipelineConfig, {"max_depth": 3}).max_depth == 3.0


def test_a_yaml_tree_becomes_dotted_names() -> None:
    tree = yaml.safe_load("pipeline:\n  max_hands: 1\n  tracking: {min_score: 0.4}\nautostart: false\n")
    config = build(NodeConfig, unnest(tree))
    assert (config.pipeline.max_hands, config.pipeline.tracking.min_score, config.autostart) == (1, 0.4, False)


def test_replace_changes_only_what_it_is_told() -> None:
    config = replace(PipelineConfig(), {"finder.period": 9})
    assert config.finder.period == 9
    assert dataclasses.replace(config, finder=PipelineConfig().finder) == PipelineConfig()
    with pytest.raises(ConfigError, match="unknown option"):
        replace(config, {"finder.periods": 9})
