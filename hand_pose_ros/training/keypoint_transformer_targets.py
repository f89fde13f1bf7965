"""The truth Keypoint Transformer learns from, and what is derived of it: maps, identities, camera, bins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

import torch
from torch import Tensor

from hand_pose_ros.networks.keypoint_transformer.config import (
    DEPTH_HALF_RANGE,
    HEAT_SPREAD,
    JOINT_RADIUS,
    MAP_RANGE,
    MAP_SIZE,
    KeypointTransformerConfig,
    PeakSettings,
)
from hand_pose_ros.networks.keypoint_transformer.decode import OBJECT_CLASS, to_map
from hand_pose_ros.networks.keypoint_transformer.peaks import HAND, OBJECT, Keypoints, graph_keypoints
from hand_pose_ros.skeleton import CANONICAL_TO_INTERHAND, PARENTS, WRIST
from hand_pose_ros.training.scene_crops import SceneBatch

PeakSearch = Callable[[Tensor, int, int, PeakSettings], Keypoints]
IdentityRule = Literal["nearest", "front"]

# Fact sheet section 6: spread of the bins' Gaussians.
SIGMA: Final = 1.25
_RIDGE: Final = 1e-4
# An object token is the object's where its pixel of the true segmentation is above this.
_OBJECT_PIXEL: Final = 100.0
_FAR: Final = 1e6


class KeypointTransformerTargets(NamedTuple):
    """The truth of B samples; hands are (right, left), joints in canonical order, lengths in metres, camera axes.

    What is not valid is not read, but must be finite.

    Attributes:
        places: (B, 2, 21, 2) pixels of the 128x128 map (`decode.to_map` of crop pixels).
        joints: (B, 2, 21, 3) from the hand's own wrist.
        joint_valid: (B, 2, 21) 0 or 1.
        hand_translation: (B, 3) right to left wrist.
        translation_valid: (B,) 1 where both wrists are known.
        maps_valid: (B,) 1 where every joint that is seen is annotated, so that the heat map is complete.
        pose: (B, 2, 16, 3) axis-angle, MANO order. shape: (B, 10). pose_valid: (B, 2). "angles" only.
        segmentation: (B, 128, 128) 0 or 255, the object's.
        object_rotation: (B, 3, 3) object to camera axes.
        object_translation: (B, 3) right wrist to object.
        object_box: (B, 8, 3) corners in the object's axes.
        object_symmetries: (B, S, 3, 3) rotations in the object's axes that leave it alike, the identity among them.
        map_size: side of the maps in pixels; 128 in what is said above.
        heat_spread, joint_radius: see `KeypointTransformerConfig`.
        object_weight: (B,) 0 where the object's pose is unknown; else its weight (published: 1, some objects 4).
    """

    places: Tensor
    joints: Tensor
    joint_valid: Tensor
    hand_translation: Tensor
    translation_valid: Tensor
    maps_valid: Tensor
    pose: Tensor | None = None
    shape: Tensor | None = None
    pose_valid: Tensor | None = None
    segmentation: Tensor | None = None
    object_rotation: Tensor | None = None
    object_translation: Tensor | None = None
    object_box: Tensor | None = None
    object_symmetries: Tensor | None = None
    object_weight: Tensor | None = None
    map_size: int = MAP_SIZE
    heat_spread: float = HEAT_SPREAD
    joint_radius: float = JOINT_RADIUS

    @property
    def from_right(self) -> Tensor:
        """Joints (B, 2, 21, 3) from the right wrist."""
        shift = torch.stack((torch.zeros_like(self.hand_translation), self.hand_translation), dim=1)
        return self.joints + shift[:, :, None]


def scene_targets(batch: SceneBatch, config: KeypointTransformerConfig) -> KeypointTransformerTargets:
    """What the network is to say of a batch.

    Where only the left hand is there, its wrist takes the right one's place: the translation between the hands is then
    zero, camera and object stand from the left wrist. (The published code has no camera to learn there.)
    """
    valid = batch.valid.float()
    present = batch.present
    wrists = batch.joints[:, :, WRIST]
    both, left_only = present.all(dim=1), present[:, 1] & ~present[:, 0]
    origin = torch.where(left_only[:, None], wrists[:, 1], wrists[:, 0])
    translation = torch.where(both[:, None], wrists[:, 1] - wrists[:, 0], torch.zeros_like(origin))
    joints = (batch.joints - wrists[:, :, None]) * valid[..., None]
    targets = KeypointTransformerTargets(
        places=to_map(batch.uv, config.variant == "authors"),
        joints=joints,
        joint_valid=valid,
        hand_translation=translation,
        translation_valid=(both | left_only).float(),
        maps_valid=torch.ones_like(origin[:, 0]),
        map_size=config.map_size,
        heat_spread=config.heat_spread,
        joint_radius=config.joint_radius,
    )
    if config.representation == "angles" and batch.pose is not None and batch.shape is not None:
        weight = present.float()[..., None]
        shape = (batch.shape * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)
        targets = targets._replace(pose=batch.pose, shape=shape, pose_valid=present.float())
    if config.objects and batch.object_translation is not None:
        targets = targets._replace(
            segmentation=batch.object_mask,
            object_rotation=batch.object_rotation,
            object_translation=batch.object_translation - origin,
            object_box=batch.object_box,
            object_symmetries=batch.object_symmetries,
            object_weight=batch.object_weight,
        )
    return targets


def published_order(joints: Tensor) -> Tensor:
    """(B, 2, 21, ...) from the canonical joint order to the paper's."""
    return joints[:, :, torch.from_numpy(CANONICAL_TO_INTERHAND.copy()).to(joints.device)]


def parent_vectors(joints: Tensor) -> Tensor:
    """Vectors from parents (B, 2, 21, C), canonical order; zero at the wrist."""
    parents = torch.tensor([max(parent, 0) for parent in PARENTS], device=joints.device)
    return joints - joints[:, :, parents]


def with_parents(valid: Tensor) -> Tensor:
    """1 where a joint and its parent are valid (B, 2, 21), canonical order; 0 at the wrist."""
    parents = torch.tensor([max(parent, 0) for parent in PARENTS], device=valid.device)
    has_parent = torch.tensor([float(parent >= 0) for parent in PARENTS], device=valid.device)
    return valid * valid[:, :, parents] * has_parent


def heat_map(targets: KeypointTransformerTargets) -> Tensor:
    """(B, 128, 128): the sum of all valid joints' Gaussians of height 255."""
    axis = torch.arange(targets.map_size, dtype=targets.places.dtype, device=targets.places.device)
    along = torch.exp(-((targets.places.flatten(1, 2)[..., None] - axis).square()) / (2 * targets.heat_spread**2))
    columns, rows = along[:, :, 0] * targets.joint_valid.flatten(1)[..., None], along[:, :, 1]
    return MAP_RANGE * torch.einsum("bjy,bjx->byx", rows, columns)


def identities(targets: KeypointTransformerTargets, keypoints: Keypoints, rule: IdentityRule) -> Tensor:
    """The class (B, K) of each keypoint, in the network's order (the paper's): background, right, left, object.

    A joint within 3 pixels (`joint_radius`): the nearest (paper), or the one in front (published code).
    """
    places = published_order(targets.places).flatten(1, 2)
    valid = published_order(targets.joint_valid).flatten(1)
    distance = torch.linalg.vector_norm(keypoints.xy[:, :, None] - places[:, None], dim=3)
    near = (distance <= targets.joint_radius * targets.map_size / MAP_SIZE) & (valid[:, None] > 0)
    depth = published_order(targets.from_right)[..., 2].flatten(1)
    rank = distance if rule == "nearest" else depth[:, None].expand_as(distance)
    best = torch.where(near, rank, torch.full_like(rank, _FAR)).argmin(dim=2) + 1
    label = torch.where(near.any(dim=2), best, torch.zeros_like(best))
    if targets.segmentation is None:
        return label
    column, row = keypoints.xy.round().to(torch.int64).clamp(0, targets.map_size - 1).unbind(dim=2)
    sample = torch.arange(label.shape[0], device=label.device)[:, None]
    on_object = targets.segmentation[sample, row, column] > _OBJECT_PIXEL
    return torch.where(keypoints.kind == OBJECT, on_object.to(torch.int64) * OBJECT_CLASS, label)


def fitted_camera(targets: KeypointTransformerTargets) -> Tensor:
    """The weak-perspective camera (B, 3) s, tx, ty of the true joints: map pixel = s XY + t, least squares."""
    known = torch.stack((torch.ones_like(targets.translation_valid), targets.translation_valid), dim=1)
    weight = (targets.joint_valid * known[:, :, None]).flatten(1)
    plane, places = targets.from_right[..., :2].flatten(1, 2), targets.places.flatten(1, 2)
    ones, zeros = torch.ones_like(weight), torch.zeros_like(weight)
    rows_x = torch.stack((plane[..., 0], ones, zeros), dim=2)
    rows_y = torch.stack((plane[..., 1], zeros, ones), dim=2)
    rows = torch.cat((rows_x, rows_y), dim=1) * torch.cat((weight, weight), dim=1)[..., None]
    values = torch.cat((places[..., 0], places[..., 1]), dim=1) * torch.cat((weight, weight), dim=1)
    normal = rows.transpose(1, 2) @ rows + _RIDGE * torch.eye(3, device=rows.device, dtype=rows.dtype)
    solved: Tensor = torch.linalg.solve(normal, rows.transpose(1, 2) @ values[..., None])
    return solved[..., 0]


def bin_targets(targets: KeypointTransformerTargets) -> tuple[Tensor, Tensor]:
    """One-dimensional heat maps (B, 3, 2, 21, 128) over x, y and depth, and where they hold (B, 3, 2, 21).

    In the network's order. A joint with any of its bins outside the map is left out; a wrist has no depth bin.
    """
    relative = parent_vectors(targets.joints)[..., 2:]
    bins = torch.cat((targets.places, (relative / DEPTH_HALF_RANGE + 1) / 2 * targets.map_size), dim=3)
    inside = ((bins >= 0) & (bins < targets.map_size)).all(dim=3).to(bins.dtype)
    valid = targets.joint_valid * inside
    axis = torch.arange(targets.map_size, dtype=bins.dtype, device=bins.device)
    maps = torch.exp(-(((axis - published_order(bins)[..., None]) / SIGMA) ** 2) / 2)
    flat, deep = published_order(valid), published_order(with_parents(valid))
    return maps.permute(0, 3, 1, 2, 4), torch.stack((flat, flat, deep), dim=1)


def true_keypoints(
    targets: KeypointTransformerTargets,
    hand_slots: int,
    object_slots: int,
    search: PeakSearch = graph_keypoints,
    settings: PeakSettings | None = None,
) -> Keypoints:
    """Keypoints in place of detections, for the first epochs (fact sheet section 7).

    Valid joints inside the map where they truly are; object points as the search finds them on the true segmentation
    (published: `greedy_keypoints`; the paper draws them at random).
    """
    places, valid = targets.places.flatten(1, 2), targets.joint_valid.flatten(1) > 0
    inside = ((places >= 0) & (places <= targets.map_size - 1)).all(dim=2)
    # Stable: used slots first, in the joints' order.
    order = torch.sort((valid & inside).to(torch.int8), dim=1, descending=True, stable=True).indices[:, :hand_slots]
    used = (valid & inside).gather(1, order)
    xy = places.gather(1, order[..., None].expand(-1, -1, 2)) * used[..., None]
    missing = hand_slots - order.shape[1]
    used = torch.nn.functional.pad(used, (0, missing))
    xy = torch.nn.functional.pad(xy, (0, 0, 0, missing))
    found = Keypoints(xy, used, used.to(torch.int64) * HAND, used.to(xy.dtype) * MAP_RANGE)
    if not object_slots or targets.segmentation is None:
        return found
    maps = torch.stack((torch.zeros_like(targets.segmentation), targets.segmentation), dim=1)
    # No slots for hands, and there is nothing on their map.
    points = search(maps, 0, object_slots, PeakSettings() if settings is None else settings)
    return Keypoints(*(torch.cat(pair, dim=1) for pair in zip(found, points, strict=True)))


class Disturbance(NamedTuple):
    """How keypoints are made worse.

    shift: deviation in pixels of the 128x128 map. missed: part of the hands' keypoints that is left out. false: this
    many more (as a part of all joints there are) lie anywhere in the map.
    """

    shift: float = 0.0
    missed: float = 0.0
    false: float = 0.0


def disturbed(keypoints: Keypoints, disturbance: Disturbance, hand_slots: int, map_size: int) -> Keypoints:
    """Hand keypoints (the first slots) as a detector might have found them, from torch's own randomness.

    False ones need empty slots; they look like any other keypoint.
    """
    hand = Keypoints(*(part[:, :hand_slots] for part in keypoints))
    rest = Keypoints(*(part[:, hand_slots:] for part in keypoints))
    chance, place = torch.rand_like(hand.score), torch.rand_like(hand.xy) * (map_size - 1)
    kept = hand.valid & (chance >= disturbance.missed)
    free = ~hand.valid
    wanted = disturbance.false * hand.valid.sum(dim=1, keepdim=True)
    # Each empty slot with the chance that gives the wanted number on average.
    false = free & (chance < wanted / free.sum(dim=1, keepdim=True).clamp(min=1))
    scale = disturbance.shift * map_size / MAP_SIZE
    moved = (hand.xy + scale * torch.randn_like(hand.xy)).clamp(0, map_size - 1)
    used = kept | false
    xy = torch.where(kept[..., None], moved, place) * used[..., None]
    score = torch.where(kept, hand.score, torch.full_like(hand.score, MAP_RANGE)) * used
    worse = Keypoints(xy, used, used.to(torch.int64) * HAND, score)
    return Keypoints(*(torch.cat(pair, dim=1) for pair in zip(worse, rest, strict=True)))
