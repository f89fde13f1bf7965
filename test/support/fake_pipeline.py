"""A pipeline that needs no weights: it answers every frame with scenes that the test knows."""

from __future__ import annotations

import dataclasses
from typing import Any

from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.pipeline.outside import HandBox
from hand_pose_ros.types import Frame, Scene


class FakePipeline:
    """Takes the place of `Pipeline`; what happened to it stands in its lists.

    Args:
        config: kept.
        scenes: given in turn, at the stamp and in the frame of the images.
    """

    needs_depth = False
    needs_color = False
    inside = None

    def __init__(self, config: PipelineConfig, scenes: list[Scene]) -> None:
        self.config = config
        self.frames: list[Frame] = []
        self.boxes: list[tuple[list[HandBox], int]] = []
        self.resets = 0
        self._scenes = scenes

    def process(self, frame: Frame) -> Scene:
        """The next scene."""
        scene = self._scenes[len(self.frames) % len(self._scenes)]
        self.frames.append(frame)
        return dataclasses.replace(scene, stamp_ns=frame.stamp_ns, frame_id=frame.frame_id)

    def suggest(self, boxes: list[HandBox], stamp_ns: int) -> None:
        """Kept."""
        self.boxes.append((boxes, stamp_ns))

    def reset(self) -> None:
        """Counted."""
        self.resets += 1

    def reconfigure(self, config: PipelineConfig) -> None:
        """Kept."""
        self.config = config

    def engines(self) -> dict[str, Any]:
        """None."""
        return {}

    def describe(self) -> dict[str, str]:
        """A name."""
        return {"model": "fake"}


def installed(monkeypatch: Any, scenes: list[Scene]) -> list[FakePipeline]:
    """Nodes that are configured from now on run on fake pipelines, which the list returned fills with."""
    made: list[FakePipeline] = []

    def build(config: PipelineConfig) -> FakePipeline:
        made.append(FakePipeline(config, scenes))
        return made[-1]

    monkeypatch.setattr("hand_pose_ros.ros.node.Pipeline", build)
    return made
