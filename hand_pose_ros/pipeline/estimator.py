"""One hand: crop, network, and its joints in camera metres."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import cv2
import numpy as np

from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.engines.base import Array, Engine, TensorSpec, require_contract
from hand_pose_ros.geometry.crop import CROP_SIZE, Crop, CropBuffers, crop_hand
from hand_pose_ros.geometry.specks import remove_specks
from hand_pose_ros.pipeline.timing import StageTimer
from hand_pose_ros.skeleton import NUM_JOINTS, Side
from hand_pose_ros.types import FloatArray, Frame

_FLOAT, _BYTE = np.dtype(np.float32), np.dtype(np.uint8)
INPUTS: Final = (
    TensorSpec("rgb", (1, CROP_SIZE, CROP_SIZE, 3), _BYTE),
    TensorSpec("depth", (1, CROP_SIZE, CROP_SIZE), _FLOAT),
    TensorSpec("center", (1, 3), _FLOAT),
    TensorSpec("crop_matrix", (1, 3, 3), _FLOAT),
    TensorSpec("cube", (1, 3), _FLOAT),
    TensorSpec("intrinsics", (1, 4), _FLOAT),
)
OUTPUTS: Final = (
    TensorSpec("joints", (1, NUM_JOINTS, 3), _FLOAT),
    TensorSpec("joint_std", (1, NUM_JOINTS), _FLOAT),
    TensorSpec("score", (1,), _FLOAT),
    TensorSpec("side", (1,), _FLOAT),
)
# Fewer depth readings in the cube than this are not a hand: 40 of 128 x 128 is a square of 12 mm.
MIN_DEPTH_PIXELS: Final = 40
_SMALLEST: Final = float(np.finfo(np.float32).tiny)  # 0 is no reading


class DroppedHand(Exception):
    """A hand that cannot be given; `reason` is the word it is counted under."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class NetworkHand:
    """What the network says of one crop; finite, in the real camera frame.

    Attributes:
        side: the side that was assumed (the crop was mirrored for a left hand).
        joints: (21, 3) float32 metres.
        joint_std: (21,) float32 metres.
        score: probability that there is a hand.
        side_score: probability that the hand is of `side`.
    """

    side: Side
    joints: FloatArray
    joint_std: FloatArray
    score: float
    side_score: float

    @property
    def center(self) -> FloatArray:
        """Mean of the joints, (3,) metres: where the next crop is cut."""
        mean: FloatArray = self.joints.mean(axis=0, dtype=np.float32)
        return mean


class Estimator(Protocol):
    """Turns the place of a hand into its joints."""

    config: PipelineConfig

    def estimate(self, frame: Frame, center: FloatArray, side: Side, timer: StageTimer) -> NetworkHand:
        """The hand of a cube around `center` (3,) metres.

        Raises:
            DroppedHand: there is nothing to see, or the network's output is unusable.
        """
        ...


class KeypointFusionEstimator:
    """The RGB-D network on the crop of a cube around the hand.

    Args:
        engine: runs the network.
        config: cube size and depth limits.

    Raises:
        EngineError: the network does not have the inputs and outputs above.
    """

    def __init__(self, engine: Engine, config: PipelineConfig) -> None:
        require_contract(engine, "hand pose model", INPUTS, OUTPUTS)
        self.engine = engine
        self.config = config
        # One crop at a time: what a frame needs is allocated here, once.
        self._rgb = np.zeros((1, CROP_SIZE, CROP_SIZE, 3), dtype=np.uint8)
        self._depth = np.zeros((1, CROP_SIZE, CROP_SIZE), dtype=np.float32)
        self._buffers = CropBuffers(self._rgb[0], self._depth[0])
        self._matrix = np.zeros((1, 3, 3), dtype=np.float32)
        self._intrinsics = np.zeros((1, 4), dtype=np.float32)

    def estimate(self, frame: Frame, center: FloatArray, side: Side, timer: StageTimer) -> NetworkHand:
        """See `Estimator.estimate`; the time goes to the stages crop, infer and lift."""
        with timer.stage("crop"):
            crop = self._crop(frame, center, side)
        with timer.stage("infer"):
            outputs = self.engine.run(self._inputs(crop))
        with timer.stage("lift"):
            joints, std = outputs["joints"][0], outputs["joint_std"][0]
            score, side_score = float(outputs["score"][0]), float(outputs["side"][0])
            if not (np.isfinite(joints).all() and np.isfinite(std).all() and np.isfinite([score, side_score]).all()):
                raise DroppedHand("non_finite")
            if not (joints[:, 2] > 0).all():
                raise DroppedHand("behind_camera")
            return NetworkHand(side, crop.to_camera(joints), std, score, side_score)

    def _crop(self, frame: Frame, center: FloatArray, side: Side) -> Crop:
        if not (np.isfinite(center).all() and center[2] > 0):
            raise DroppedHand("behind_camera")
        crop = crop_hand(frame, center, self.config.cube_size, side, into=self._buffers)
        depth = crop.depth
        # Only on the crop: the whole frame is 19 times larger.
        depth[(depth < self.config.min_depth) | (depth > self.config.max_depth)] = 0
        remove_specks(depth, float(center[2]), self.config.cube_size / 2)
        if _readings_near(depth, float(center[2]), self.config.cube_size / 2) < MIN_DEPTH_PIXELS:
            raise DroppedHand("no_depth")
        return crop

    def _inputs(self, crop: Crop) -> dict[str, Array]:
        self._matrix[0] = crop.matrix
        camera = crop.intrinsics
        self._intrinsics[0] = (camera.fx, camera.fy, camera.cx, camera.cy)
        return {
            "rgb": self._rgb,
            "depth": self._depth,
            "center": crop.center[None],
            "crop_matrix": self._matrix,
            "cube": crop.cube[None],
            "intrinsics": self._intrinsics,
        }


def _readings_near(depth: FloatArray, middle: float, reach: float) -> int:
    """How many readings are within `reach` metres of `middle`."""
    near = cv2.inRange(depth, max(middle - reach, _SMALLEST), middle + reach)
    return cv2.countNonZero(near)
