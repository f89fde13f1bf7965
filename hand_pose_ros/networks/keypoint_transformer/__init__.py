"""Keypoint Transformer (CVPR 2022): two hands and the object they hold, from an RGB crop."""

from hand_pose_ros.networks.keypoint_transformer.config import (
    KeypointTransformerConfig,
    PeakSettings,
    Widths,
    published,
)
from hand_pose_ros.networks.keypoint_transformer.model import KeypointTransformer
from hand_pose_ros.networks.keypoint_transformer.output import KeypointTransformerOutput
from hand_pose_ros.networks.keypoint_transformer.peaks import Keypoints

__all__ = [
    "Keypoints",
    "KeypointTransformer",
    "KeypointTransformerConfig",
    "KeypointTransformerOutput",
    "PeakSettings",
    "Widths",
    "published",
]
