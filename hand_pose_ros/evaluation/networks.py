"""The networks of an evaluation: what the pipeline runs, and the authors' own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.datasets.authors_crop import authors_input, to_real_camera
from hand_pose_ros.engines.factory import create_engine
from hand_pose_ros.engines.zoo import find_model
from hand_pose_ros.pipeline.estimator import DroppedHand, KeypointFusionEstimator, NetworkHand
from hand_pose_ros.pipeline.finder import HandFinder
from hand_pose_ros.pipeline.timing import StageTimer
from hand_pose_ros.skeleton import NUM_JOINTS, Side
from hand_pose_ros.types import FloatArray, Frame


def open_finder(config: PipelineConfig) -> HandFinder:
    """The hand finder that the configuration names. Raises `EngineError`."""
    return HandFinder(create_engine(find_model(config.finder.model), config.engine, config.threads), config)


def open_estimator(config: PipelineConfig) -> KeypointFusionEstimator:
    """The hand pose network that the configuration names. Raises `EngineError`."""
    return KeypointFusionEstimator(create_engine(find_model(config.model), config.engine, config.threads), config)


class AuthorsEstimator:
    """The published network, fed as its own loaders feed it. It has no score and no side: every hand is believed.

    Args:
        network: joints (21, 3) in millimetres from the fields of an `AuthorsInput`.
        config: cube size.
        dataset: "dexycb" or "ho3d", whose loaders differ in two details.
    """

    def __init__(self, network: Callable[..., FloatArray], config: PipelineConfig, dataset: str) -> None:
        self.config = config
        self._network = network
        self._ho3d = dataset == "ho3d"

    def estimate(self, frame: Frame, center: FloatArray, side: Side, timer: StageTimer) -> NetworkHand:
        """See `hand_pose_ros.pipeline.estimator.Estimator.estimate`."""
        if not (np.isfinite(center).all() and center[2] > 0):
            raise DroppedHand("behind_camera")
        with timer.stage("crop"):
            # The loaders draw the points at random; here every sample gets the same draw on every run.
            rng = np.random.default_rng(0)
            given = authors_input(
                frame,
                center,
                self.config.cube_size,
                side,
                rng,
                whole_millimetres=not self._ho3d,
                clamp_points=self._ho3d,
            )
        with timer.stage("infer"):
            joints = self._network(**vars(given))
        with timer.stage("lift"):
            if not np.isfinite(joints).all():
                raise DroppedHand("non_finite")
            real = to_real_camera(joints, side, frame.intrinsics)
            std = np.full(NUM_JOINTS, 0.005, dtype=np.float32)
            return NetworkHand(side, real, std, 1.0, 1.0)
