"""The node's topic parameters for a recording, whatever its topics are called."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from hand_pose_ros.sources.bag import BagReader

_TRANSPORTS: Final = ("compressedDepth", "compressed")


def topic_parameters(bag: Path) -> dict[str, Any]:
    """The node's topic parameters for a recording.

    Raises:
        BagError: it cannot be read.
    """
    with BagReader(bag) as reader:
        topics = reader.topics
    parameters: dict[str, Any] = {"topics.camera_info": topics.camera_info}
    if topics.depth_camera_info:
        parameters["topics.depth_camera_info"] = topics.depth_camera_info
    for role, topic in (("color", topics.color), ("depth", topics.depth)):
        parameters[f"topics.use_{role}"] = bool(topic)
        if topic:
            base, _, last = topic.rpartition("/")
            packed = last in _TRANSPORTS
            parameters[f"topics.{role}"] = base if packed else topic
            parameters[f"topics.{role}_transport"] = last if packed else "raw"
    return parameters
