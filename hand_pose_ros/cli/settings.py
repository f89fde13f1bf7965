"""Command line options and YAML files made from the configuration dataclasses.

Every leaf becomes an option of its dotted name (`tracking.min_score` → `--tracking.min-score`); those of the pipeline
go without the prefix `pipeline.`. A YAML file holds the same names nested, bare or as a ROS parameter file, so that the
file of the node serves here as well. Options win over the file.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from hand_pose_ros.cli.errors import UsageError
from hand_pose_ros.config import NodeConfig
from hand_pose_ros.options import ConfigError, Option, build, options, unnest

_PIPELINE: Final = "pipeline."
# Dotted names cannot clash with other options of a command.
_DEST: Final = "config."


def add_settings(parser: argparse.ArgumentParser, groups: Iterable[str] = ("pipeline",)) -> None:
    """Give a parser `--config` and the options of these groups of `NodeConfig` ("pipeline", "topics", "sync", …)."""
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="YAML file with these options, nested; the node's parameter file is understood too.",
    )
    for group in groups:
        section = parser.add_argument_group(f"{group} options")
        for item in options(NodeConfig):
            if item.name.startswith(group + "."):
                add_option(section, item, item.name.removeprefix(_PIPELINE))


def add_option(section: argparse._ActionsContainer, item: Option, name: str, dest: str = "") -> None:
    """Add one leaf of a configuration as `--name`; absent from the namespace unless given."""
    flag = "--" + name.replace("_", "-")
    common: dict[str, Any] = {
        "dest": dest or _DEST + item.name,
        "default": argparse.SUPPRESS,
        "help": describe(item).replace("%", "%%"),
    }
    if item.type is bool:
        section.add_argument(flag, action=argparse.BooleanOptionalAction, **common)
        return
    if item.choices is not None:
        section.add_argument(flag, type=item.type, choices=item.choices, **common)
        return
    section.add_argument(flag, type=item.type, metavar=item.type.__name__.upper(), **common)


def describe(item: Option) -> str:
    """Help text with range and default."""
    limits = [] if item.minimum is None else [f"{item.minimum:g} to {item.maximum:g}"]
    default = [] if item.default in (None, "") else [f"default: {item.default}"]
    notes = ", ".join(limits + default)
    return f"{item.help} ({notes})" if notes else item.help


def settings(args: argparse.Namespace) -> NodeConfig:
    """The configuration that the file and the options of a command ask for.

    Raises:
        UsageError: the file cannot be read.
        ConfigError: an unknown name, a wrong type or a value out of range.
    """
    values = {} if args.config is None else read_yaml(args.config)
    given = {name.removeprefix(_DEST): value for name, value in vars(args).items() if name.startswith(_DEST)}
    return build(NodeConfig, {**values, **given})


def read_yaml(path: Path) -> dict[str, Any]:
    """The dotted names of a YAML file, nested or dotted, bare or under `<node>: ros__parameters:`.

    Raises:
        UsageError: no such file, not YAML, or no mapping in it.
        ConfigError: parameters of several nodes.
    """
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--config {path}: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"--config {path}: not a YAML file: {error}") from error
    if tree is None:
        return {}
    if not isinstance(tree, Mapping):
        raise UsageError(f"--config {path}: expected names with values, got {type(tree).__name__}")
    nodes = [item for item in tree.values() if isinstance(item, Mapping) and "ros__parameters" in item]
    if len(nodes) > 1:
        raise ConfigError(f"{path}: expected the parameters of one node, got {len(nodes)}: {', '.join(tree)}")
    return unnest(nodes[0]["ros__parameters"] or {} if nodes else tree)
