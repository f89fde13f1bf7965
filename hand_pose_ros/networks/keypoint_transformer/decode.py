"""The network's output as hands in our order: joints, image places, presence, the object's pose."""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from torch import Tensor

from hand_pose_ros.networks.keypoint_transformer.config import DEPTH_HALF_RANGE, MAP_RANGE, MAP_STRIDE
from hand_pose_ros.networks.keypoint_transformer.output import KeypointTransformerOutput
from hand_pose_ros.networks.keypoint_transformer.peaks import Keypoints
from hand_pose_ros.networks.keypoint_transformer.rotation import rotation_matrix
from hand_pose_ros.skeleton import INTERHAND_TO_CANONICAL, NUM_JOINTS

# Identities of the keypoints: background, right and left joints, object.
RIGHT: Final = slice(1, 1 + NUM_JOINTS)
LEFT: Final = slice(1 + NUM_JOINTS, 1 + 2 * NUM_JOINTS)
OBJECT_CLASS: Final = 1 + 2 * NUM_JOINTS
# So completely found, a hand is as likely there as not (`placed_presence`); small networks are sure of few keypoints.
_HALF_FOUND: Final = 0.05
# Of the crop's side: how near a keypoint lies to where its joint is expected; and the squared probability of all that
# do which counts as much as the expectation (`drawn_to_keypoints`). Best of some tried on validation scenes.
_NEARBY: Final = 1 / 6
_AS_SURE: Final = 0.02
# Bins about the highest of a one-dimensional heat map whose mean is taken (default variant).
_WINDOW: Final = 3


class Decoded(NamedTuple):
    """B samples; hands are (right, left), joints in canonical order, image places in pixels of the 256x256 crop.

    Attributes:
        joints: (B, 2, 21, 3) metres from the hand's own wrist ("3d" only).
        uv: (B, 2, 21, 2) where the joints are seen ("3d" through the weak-perspective camera, or with maps by
            place where they expect them; "2p5d" read off).
        depth: (B, 2, 21) metres behind the hand's own wrist ("3d", "2p5d").
        pose: (B, 2, 16, 3) axis-angle in MANO order, shape (B, 10) ("angles" only).
        camera: (B, 3) weak perspective: crop pixel = s XY + t, XY metres from the right wrist ("3d", "angles").
        hand_translation: (B, 3) metres, right to left wrist.
        presence: (B, 2) 0..1, how completely the hand's joints are found among the keypoints (`placed_presence`).
        keypoint_uv: (B, K, 2). keypoint_score: (B, K) height of the peak, 0..1 and above; 0 in unused slots.
        identity: (B, K, C) probabilities: background, right joints, left joints, object.
        attention: (B, Q, K) of the queries to the keypoints.
        object_rotation: (B, 3, 3) object to camera. object_translation: (B, 3) metres from the right wrist.
        object_presence: (B,) 0..1 (`_object_presence`).
        wrist_depth: (B,) metres, how much farther the left wrist is than the right (with `depth_look` only).
    """

    joints: Tensor | None
    uv: Tensor | None
    depth: Tensor | None
    pose: Tensor | None
    shape: Tensor | None
    camera: Tensor | None
    hand_translation: Tensor
    presence: Tensor
    keypoint_uv: Tensor
    keypoint_score: Tensor
    identity: Tensor
    attention: Tensor
    object_rotation: Tensor | None
    object_translation: Tensor | None
    object_presence: Tensor | None
    wrist_depth: Tensor | None = None

    def placed(self, joints: Tensor) -> Decoded:
        """With these joints (B, 2, 21, 3) metres from the wrist, and what follows from them."""
        uv = None if self.camera is None else project(joints, self.hand_translation, self.camera)
        return self._replace(joints=joints, uv=uv, depth=joints[..., 2])


def decode(output: KeypointTransformerOutput, authors: bool = False) -> Decoded:
    """Make hands of the last layer's answers; `authors` where the network is of that variant."""
    translation = output.hand_translation[-1]
    camera = None
    if output.camera is not None and output.bins is None:
        camera = crop_camera(output.camera[-1], authors)
    joints = uv = depth = None
    if output.joint_vectors is not None:
        joints = canonical(joints_from_vectors(output.joint_vectors[-1]))
    if output.bins is not None:
        places, depth = read_bins(output.bins[-1], sub_bin=not authors)
        uv, depth = canonical(to_crop(places, authors)), canonical(depth[..., None])[..., 0]
    identity = canonical_identities(torch.softmax(output.identity_logits[-1], dim=2))
    objects = output.object_rotation is not None and output.object_translation is not None
    keypoints = output.keypoints
    result = Decoded(
        joints=None,
        uv=uv,
        depth=depth,
        pose=None if output.pose is None else output.pose[-1],
        shape=None if output.pose is None or output.shape is None else output.shape[-1],
        camera=camera,
        hand_translation=translation,
        presence=placed_presence(output, presence(identity, keypoints)),
        keypoint_uv=to_crop(keypoints.xy, authors),
        keypoint_score=keypoints.score / 255,
        identity=identity,
        attention=output.attention,
        object_rotation=rotation_matrix(output.object_rotation[-1]) if output.object_rotation is not None else None,
        object_translation=output.object_translation[-1] if output.object_translation is not None else None,
        object_presence=_object_presence(output, identity[..., OBJECT_CLASS], authors) if objects else None,
    )
    if joints is None:
        return result
    result = result.placed(joints)
    if output.places is None:
        return result
    # Weak perspective is coarse; maps of the joints say where they are, and keypoints where exactly.
    side = float(MAP_STRIDE * output.maps.shape[-1])
    return result._replace(uv=drawn_to_keypoints(to_crop(output.places, authors), result, side))


def canonical(joints: Tensor) -> Tensor:
    """(..., 21, C) from the paper's joint order to ours."""
    order = torch.tensor(INTERHAND_TO_CANONICAL.tolist(), device=joints.device)
    return joints.index_select(joints.dim() - 2, order)


def canonical_identities(identity: Tensor) -> Tensor:
    """Classes (..., C) of the keypoints from the paper's joint order to ours."""
    order = torch.tensor(INTERHAND_TO_CANONICAL.tolist(), device=identity.device)
    hands = [identity[..., side].index_select(identity.dim() - 1, order) for side in (RIGHT, LEFT)]
    has_object = identity.shape[-1] > OBJECT_CLASS
    rest = (identity[..., OBJECT_CLASS:],) if has_object else ()
    return torch.cat((identity[..., :1], *hands, *rest), dim=-1)


def joints_from_vectors(vectors: Tensor) -> Tensor:
    """Vectors from parents (..., 20, 3) -> joints from the wrist (..., 21, 3), both in the paper's order."""
    return with_wrist(_along_fingers(vectors))


def with_wrist(joints: Tensor) -> Tensor:
    """(..., 20, C) -> (..., 21, C) with the wrist, zero, at the end."""
    return torch.cat((joints, torch.zeros_like(joints[..., :1, :])), dim=-2)


def _along_fingers(steps: Tensor) -> Tensor:
    """Sums (..., 20, C) from the knuckle outwards; a finger stands from its tip to its knuckle."""
    fingers = steps.reshape(*steps.shape[:-2], 5, 4, steps.shape[-1])
    tip, outer, inner, knuckle = fingers.unbind(-2)
    inner = knuckle + inner
    outer = inner + outer
    return torch.stack((outer + tip, outer, inner, knuckle), dim=-2).reshape(steps.shape)


def read_bins(bins: Tensor, sub_bin: bool) -> tuple[Tensor, Tensor]:
    """One-dimensional heat maps (B, 3, 2, 21, 128) -> map pixels (B, 2, 21, 2), metres behind the wrist (B, 2, 21).

    The published code takes the highest bin; `sub_bin` takes the mean about it.
    """
    highest = bins.argmax(dim=4).to(bins.dtype)
    if sub_bin:
        places = torch.arange(bins.shape[4], dtype=bins.dtype, device=bins.device)
        near = ((places - highest[..., None]).abs() <= _WINDOW).to(bins.dtype)
        weights = torch.relu(bins) * near + 1e-6 * near
        highest = (weights * places).sum(dim=4) / weights.sum(dim=4)
    relative = (highest[:, 2] / bins.shape[4] * 2 - 1) * DEPTH_HALF_RANGE
    depth = with_wrist(_along_fingers(relative[..., :20, None]))[..., 0]
    return torch.stack((highest[:, 0], highest[:, 1]), dim=3), depth


def to_crop(xy: Tensor, authors: bool) -> Tensor:
    """Pixels of the 128x128 map -> of the 256x256 crop; the published code leaves the half pixel out."""
    ratio = MAP_STRIDE
    return xy * ratio if authors else (xy + 0.5) * ratio - 0.5


def to_map(uv: Tensor, authors: bool) -> Tensor:
    """The inverse of `to_crop`."""
    ratio = MAP_STRIDE
    return uv / ratio if authors else (uv + 0.5) / ratio - 0.5


def crop_camera(camera: Tensor, authors: bool) -> Tensor:
    """Weak perspective (B, 3) into the 128x128 map -> into the crop."""
    return torch.cat((camera[:, :1] * MAP_STRIDE, to_crop(camera[:, 1:], authors)), dim=1)


def project(joints: Tensor, hand_translation: Tensor, camera: Tensor) -> Tensor:
    """Joints of both hands (B, 2, J, 3) from their wrists -> pixels (B, 2, J, 2) through s XY + t."""
    from_right = torch.stack((torch.zeros_like(hand_translation), hand_translation), dim=1)
    plane = joints[..., :2] + from_right[:, :, None, :2]
    return plane * camera[:, None, None, :1] + camera[:, None, None, 1:]


def presence(identity: Tensor, keypoints: Keypoints) -> Tensor:
    """How completely each hand (B, 2) is found: per joint the surest keypoint, mean over the hand's joints.

    In place of the published hand-type head, whose loss has weight 0.
    """
    hands = [_certain(identity[..., side], keypoints).mean(dim=1) for side in (RIGHT, LEFT)]
    return torch.stack(hands, dim=1)


def drawn_to_keypoints(places: Tensor, result: Decoded, side: float) -> Tensor:
    """Expected places (B, 2, 21, 2) in a crop of this side, drawn to the keypoints nearby that may be the joint: their
    mean by squared probability and a Gaussian of the distance, the more of it the surer they are."""
    used = (result.keypoint_score > 0).to(places.dtype)[:, :, None]
    drawn = []
    for hand, identity in enumerate((RIGHT, LEFT)):
        chance = (result.identity[..., identity] * used).square()
        gap = result.keypoint_uv[:, :, None] - places[:, hand][:, None]
        weight = chance * torch.exp(gap.square().sum(dim=3) / (-2 * (_NEARBY * side) ** 2))
        total = weight.sum(dim=1)[..., None]
        moved = (weight[..., None] * gap).sum(dim=1) / (total + _AS_SURE)
        drawn.append(places[:, hand] + moved)
    return torch.stack(drawn, dim=1)


def placed_presence(output: KeypointTransformerOutput, found: Tensor) -> Tensor:
    """Presence (B, 2) of what is `found`. With maps by place these tell which hand it is, which identities alone tell
    less surely, and keypoints tell that there is any: the surer hand's, on a scale that ends at 1."""
    if output.side_logits is None or output.pair_logits is None:
        return found
    side, pair = torch.sigmoid(output.side_logits), torch.sigmoid(output.pair_logits)
    there = torch.stack((pair + (1 - pair) * side, pair + (1 - pair) * (1 - side)), dim=1)
    any_hand = found.amax(dim=1, keepdim=True)
    return there * any_hand / (any_hand + _HALF_FOUND)


def _object_presence(output: KeypointTransformerOutput, chances: Tensor, authors: bool) -> Tensor:
    """(B,) of the keypoints' chances (B, K) to be the object's. Ours: geometric mean with the highest value of the
    segmentation, which tells scenes with an object from those without better than the keypoints alone
    (docs/keypoint_transformer.md)."""
    surest = _certain(chances, output.keypoints)
    if authors:
        return surest
    peak = (output.maps[:, 1] / MAP_RANGE).amax(dim=(1, 2)).clamp(0.0, 1.0)
    return torch.sqrt(surest * peak)


def _certain(probability: Tensor, keypoints: Keypoints) -> Tensor:
    """The largest probability (B, K) or (B, K, C) among the used slots; 0 without any."""
    used = keypoints.valid.to(probability.dtype)
    if probability.dim() == 3:
        used = used[..., None]
    return (probability * used).amax(dim=1)
