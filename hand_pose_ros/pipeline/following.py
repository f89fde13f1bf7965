"""How hands are found and followed, as the pipeline sees it; there is a way for each kind of network."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Protocol

from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.pipeline.timing import StageTimer
from hand_pose_ros.pipeline.tracking import Track
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import Frame, HandDetection, ObjectEstimate


class Finder(Protocol):
    """Finds hands in a whole frame; see `hand_pose_ros.pipeline.finder.HandFinder`."""

    config: PipelineConfig

    def find(self, frame: Frame, known: list[HandDetection], dropped: Counter[str]) -> list[HandDetection]: ...


@dataclass(frozen=True)
class Observation:
    """What was seen in a frame: followed hands, as the tracker keeps them, and objects."""

    tracks: tuple[Track, ...]
    objects: tuple[ObjectEstimate, ...] = ()


class Following(Protocol):
    """Finds hands and follows them from frame to frame with a tracker that it shares with the pipeline."""

    def observe(self, frame: Frame, timer: StageTimer, dropped: Counter[str]) -> Observation:
        """The hands and objects of the next frame; what cannot be given is counted in `dropped` by reason."""
        ...

    def reset(self) -> None:
        """Forget every hand."""
        ...

    def reconfigure(self, config: PipelineConfig) -> None:
        """Use other options from the next frame on."""
        ...


def sides_of(config: PipelineConfig) -> tuple[Side, ...]:
    """The sides that are looked for."""
    return tuple(Side) if config.sides == "both" else (Side(config.sides),)
