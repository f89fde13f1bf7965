"""Keypoint-Fusion as the authors' published code computes it, for their checkpoints and for comparison.

Millimetres, BGR, their joint order (`skeleton.KPT_FUSION_TO_CANONICAL` leads out), crop pixels without the half pixel.
"""

from hand_pose_ros.networks.keypoint_fusion.authors.checkpoint import (
    load_authors_state_dict,
    read_authors_checkpoint,
    recognise,
)
from hand_pose_ros.networks.keypoint_fusion.authors.model import AuthorsKeypointFusion, AuthorsOutput

__all__ = ["AuthorsKeypointFusion", "AuthorsOutput", "load_authors_state_dict", "read_authors_checkpoint", "recognise"]
