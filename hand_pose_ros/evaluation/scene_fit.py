"""What the pipeline makes of the hands of a network of two, where there is depth: laid onto the depth image."""

from __future__ import annotations

from collections import Counter
from typing import Final

from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.datasets.two_hands import HANDS, SceneSample
from hand_pose_ros.hand_model.model import HandModel
from hand_pose_ros.options import build
from hand_pose_ros.pipeline.hand_surface import HandSurfaces
from hand_pose_ros.pipeline.scene_estimator import SceneEstimator
from hand_pose_ros.pipeline.scene_network import AS_LIKELY, SceneNetwork, SeenScene
from hand_pose_ros.pipeline.tracking import Track
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import FloatArray, Frame

# Data sets' hands are where they are.
_LIMITS: Final = {"min_depth": 0.05, "max_depth": 10.0}


class SceneFit:
    """Lifts a network's hands and lays the hand model onto the depth image about them, as in the pipeline.

    Args:
        network: whose hands they are.
    """

    def __init__(self, network: SceneNetwork) -> None:
        self._config = build(PipelineConfig, {"tracking.min_score": AS_LIKELY, **_LIMITS})
        self._estimator = SceneEstimator(network, self._config)
        self._surfaces = HandSurfaces({side: HandModel.bundled(side) for side in Side})

    def __call__(self, seen: SeenScene, sample: SceneSample) -> dict[int, FloatArray]:
        """Joints (21, 3) metres in the camera frame by the hand's number (0 right, 1 left); without hands that are
        likelier not there, and those that depth does not show. Every sample is of another person."""
        if sample.depth is None:
            return {}
        self._estimator.reset()
        self._surfaces.reset()
        frame = Frame(0, sample.dataset, sample.intrinsics, sample.rgb, sample.depth)
        look = self._estimator.lift(seen, frame, Counter())
        tracks = [Track(HANDS.index(hand.side), hand, 0) for hand in look.hands]
        reach = (self._config.min_depth, self._config.max_depth)
        fitted = self._surfaces.fit(tracks, frame, reach, one_person=True)
        return {number: hand.joints for number, hand in fitted.items()}
