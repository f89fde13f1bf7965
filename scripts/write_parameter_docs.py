#!/usr/bin/env python3
"""Write docs/parameters.md from the configuration's own field texts: `python scripts/write_parameter_docs.py`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hand_pose_ros.config import NodeConfig
from hand_pose_ros.options import Option, options

TARGET = Path(__file__).resolve().parents[1] / "docs" / "parameters.md"
INTRODUCTION = """# Parameters

ROS parameters of the node (`ros2 param describe /hand_pose NAME` says the same), written by
`python scripts/write_parameter_docs.py`. The `pipeline.` ones are also options of `hand_pose bag`, `images` and `eval`
without that prefix. "live": may be changed while the node runs. An unknown name or a value out of range is refused.

| name | default | range | live | meaning |
|---|---|---|---|---|
"""


def row(item: Option) -> str:
    """One line of the table."""
    bounds = ", ".join(map(str, item.choices)) if item.choices else _range(item)
    default = repr(item.default) if item.default == "" else item.default
    return f"| `{item.name}` | {default} | {bounds} | {'yes' if item.dynamic else ''} | {item.help} |"


def _range(item: Option) -> str:
    if item.minimum is None and item.maximum is None:
        return ""
    low, high = ("" if bound is None else f"{bound:g}" for bound in (item.minimum, item.maximum))
    return f"{low} to {high}" if high else f"from {low}"


def text() -> str:
    """The whole page."""
    return INTRODUCTION + "\n".join(row(item) for item in options(NodeConfig)) + "\n"


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
