"""From the configuration to what finds hands."""

from __future__ import annotations

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


def _inner(config: PipelineConfig) -> Finder | None:
    name = config.finder.model
    if name == BOXES:
        return None
    if name == MEDIAPIPE:
        return MediaPipeFinder(config)
    engine = create_engine(find_model(name), config.engine, config.threads)
    warm_up(engine)
    return HandFinder(engine, config)
