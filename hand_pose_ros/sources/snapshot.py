"""One frame and what was seen in it as a small recording: what a bug report needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hand_pose_ros.sources.bag_writer import NAMESPACE, BagWriter
from hand_pose_ros.sources.message_types import make
from hand_pose_ros.types import Frame, Scene


def write_snapshot(folder: Path, frame: Frame, scene: Scene, about: Mapping[str, Any]) -> Path:
    """Write `hand_pose_<stamp>.mcap`; `hand_pose bag` reads it. A snapshot of the same frame is replaced.

    Args:
        folder: made where it does not exist.
        frame: written without loss (depth in whole millimetres).
        scene: in the camera's frame.
        about: what ran and how, as JSON in a std_msgs/String on `/hand_pose/about`.

    Returns:
        The file.

    Raises:
        OSError: the folder cannot be written to.
    """
    path = folder.expanduser() / f"hand_pose_{frame.stamp_ns}.mcap"
    with BagWriter(path, overwrite=True) as writer:
        writer.write_frame(frame, color="png", depth="png")
        writer.write_scene(scene, (frame.intrinsics.width, frame.intrinsics.height))
        text = make("std_msgs/msg/String", data=json.dumps(about, indent=1))
        writer.write(f"{NAMESPACE}/about", text, frame.stamp_ns, latched=True)
    return path
