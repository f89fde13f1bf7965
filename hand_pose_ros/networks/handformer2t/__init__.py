"""Handformer2T (WACV 2024): two tokens for two hands, from an RGB crop."""

from hand_pose_ros.networks.handformer2t.config import Handformer2TConfig, Widths
from hand_pose_ros.networks.handformer2t.model import Handformer2T
from hand_pose_ros.networks.handformer2t.output import Handformer2TOutput

__all__ = ["Handformer2T", "Handformer2TConfig", "Handformer2TOutput", "Widths"]
