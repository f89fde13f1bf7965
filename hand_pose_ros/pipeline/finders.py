"""From the configuration to what finds hands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.engines.base import warm_up
from hand_pose_ros.engines.factory import create_engine
from hand_pose_ros.engines.zoo import find_model
from hand_pose_ros.pipeline.finder import HandFinder
from hand_pose_ros.pipeline.mediapipe_finder import MEDIAPIPE, MediaPipeFinder
from hand_pose_ros.pipeline.outside import BOXES, OutsideFinder

if TYPE_CHECKING:
    from hand_pose_ros.pipeline.following import Finder


def open_finder(config: PipelineConfig) -> OutsideFinder:
    """The hand finder that the configuration names, which may be told boxes from outside.

    Raises:
        EngineError: its network cannot be loaded, or MediaPipe is not installed.
        ConfigError: `finder.roi` is no region.
    """
    return OutsideFinder(config, _inner(config))


def finder_file(config: PipelineConfig) -> Path | None:
    """The file of the network that finds hands; None where something else finds them.

    Raises:
        EngineError: there is no such network.
    """
    name = config.finder.model
    return None if name in (BOXES, MEDIAPIPE) else find_model(name)


def _inner(config: PipelineConfig) -> Finder | None:
    if config.finder.model == MEDIAPIPE:
        return MediaPipeFinder(config)
    path = finder_file(config)
    if path is None:
        return None
    engine = create_engine(path, config.engine, config.threads)
    warm_up(engine)
    return HandFinder(engine, config)
