"""Keypoint-Fusion (AAAI 2024): 21 joints of one hand from an RGB-D crop."""

from hand_pose_ros.networks.keypoint_fusion.checkpoint import load_checkpoint
from hand_pose_ros.networks.keypoint_fusion.config import FusionParts, KeypointFusionConfig, Widths
from hand_pose_ros.networks.keypoint_fusion.model import KeypointFusion
from hand_pose_ros.networks.keypoint_fusion.output import KeypointFusionOutput

__all__ = ["FusionParts", "KeypointFusion", "KeypointFusionConfig", "KeypointFusionOutput", "Widths", "load_checkpoint"]
