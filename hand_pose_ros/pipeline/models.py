"""From the configuration to a network that runs: which kind it is, its file says."""

from __future__ import annotations

from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.engines.base import Engine, warm_up
from hand_pose_ros.engines.factory import create_engine
from hand_pose_ros.engines.zoo import find_model
from hand_pose_ros.pipeline import handformer2t, keypoint_transformer
from hand_pose_ros.pipeline.estimator import Estimator, KeypointFusionEstimator
from hand_pose_ros.pipeline.followed_looks import open_followed
from hand_pose_ros.pipeline.following import Finder, Following
from hand_pose_ros.pipeline.hand_models import load_hand_models
from hand_pose_ros.pipeline.scene_estimator import SceneEstimator
from hand_pose_ros.pipeline.scene_hands import SceneHands
from hand_pose_ros.pipeline.sides import Judge
from hand_pose_ros.pipeline.single_hands import SingleHands
from hand_pose_ros.pipeline.tracking import Tracker
from hand_pose_ros.pipeline.trust import Trust


def open_pose_model(config: PipelineConfig) -> Estimator | SceneEstimator:
    """The pose network that the configuration names: of one hand, or of two where its file says so ("model").

    Raises:
        EngineError: it cannot be loaded, or does not have the inputs and outputs of its kind.
    """
    engine = _engine(config, config.model)
    kind = engine.metadata.get("model", "")
    if kind == handformer2t.MODEL:
        followed = open_followed(find_model(config.model), engine)
        return SceneEstimator(handformer2t.Handformer2TNetwork(engine), config, followed)
    if kind == keypoint_transformer.MODEL:
        models = load_hand_models(config)
        return SceneEstimator(keypoint_transformer.KeypointTransformerNetwork(engine, models), config)
    return KeypointFusionEstimator(engine, config)


def following_of(
    finder: Finder, estimator: Estimator | SceneEstimator, tracker: Tracker, judge: Judge, trust: Trust
) -> Following:
    """The way of finding and following hands that this estimator needs."""
    if isinstance(estimator, SceneEstimator):
        return SceneHands(finder, estimator, tracker, trust)
    return SingleHands(finder, estimator, tracker, judge, trust)


def _engine(config: PipelineConfig, model: str) -> Engine:
    engine = create_engine(find_model(model), config.engine, config.threads)
    warm_up(engine)
    return engine
