"""What the network returns, as it computes it; `decode` makes hands of it."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from hand_pose_ros.networks.keypoint_transformer.peaks import Keypoints


class KeypointTransformerOutput(NamedTuple):
    """B samples, K keypoint slots, Q queries, N = max(N_SA, 1) and L = N_CA layers; the last layer is the prediction.

    Hands are (right, left). Joints here stand in the paper's order (InterHand: per finger from tip to knuckle, thumb
    first, wrist last; MANO order for angles). A head that the configuration does not have is None.

    Attributes:
        maps: (B, 1 or 2, 128, 128) heat map of all joints, object segmentation; 0 to 255.
        keypoints: the peaks, or those given.
        identity_logits: (N, B, K, C): background, 21 right joints, 21 left joints, object.
        attention: (B, Q, K) the last cross-attention layer's weights, mean over heads.
        joint_vectors: (L, B, 2, 20, 3) metres from the parent joint.
        bins: (L, B, 3, 2, 21, 128) one-dimensional heat maps over x, y and depth.
        pose: (L, B, 2, 16, 3) axis-angle, radians.
        shape: (L, B, 10) betas of both hands.
        hand_translation: (L, B, 3) metres, right to left wrist (authors, angles: between MANO translations).
        camera: (L, B, 3) weak perspective: pixel of the 128x128 map = s XY + t, XY metres from the right wrist.
        object_rotation: (L, B, 6), see `rotation`.
        object_translation: (L, B, 3) metres, from the right wrist.
        object_left_translation: (L, B, 3) metres, from the left wrist.
        object_corners: (L, B, 8, 2) pixels of the 128x128 map (authors only; never trained).
        hand_type_logits: (B, 2) right, left (authors only; never trained).
        side_logits: (B,) that the first hand by place is a right one; pair_logits: (B,) that there are two
            (`KeypointTransformerConfig.placed`). places: (B, 2, 21, 2) where its maps expect the joints, pixels of the
            128x128 map; canonical order.
    """

    maps: Tensor
    keypoints: Keypoints
    identity_logits: Tensor
    attention: Tensor
    joint_vectors: Tensor | None
    bins: Tensor | None
    pose: Tensor | None
    shape: Tensor | None
    hand_translation: Tensor
    camera: Tensor | None
    object_rotation: Tensor | None
    object_translation: Tensor | None
    object_left_translation: Tensor | None
    object_corners: Tensor | None
    hand_type_logits: Tensor | None
    side_logits: Tensor | None = None
    pair_logits: Tensor | None = None
    places: Tensor | None = None
