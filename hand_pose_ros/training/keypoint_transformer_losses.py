"""The losses of Keypoint Transformer (CVPR 2022, section 3.4; fact sheet section 6)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

import torch
from torch import Tensor
from torch.nn import functional

from hand_pose_ros.networks.keypoint_transformer.decode import canonical, joints_from_vectors, project
from hand_pose_ros.networks.keypoint_transformer.output import KeypointTransformerOutput
from hand_pose_ros.networks.keypoint_transformer.rotation import published_matrix, rotation_matrix
from hand_pose_ros.skeleton import WRIST
from hand_pose_ros.training.keypoint_transformer_targets import (
    IdentityRule,
    KeypointTransformerTargets,
    bin_targets,
    fitted_camera,
    heat_map,
    identities,
    parent_vectors,
    with_parents,
)

PUBLISHED_WEIGHTS: Final[Mapping[str, float]] = MappingProxyType(
    {
        "heat_map": 0.01,
        "segmentation": 0.001,
        "identity": 1.0,
        "hand_translation": 100.0,
        "joint_vectors": 1.0,
        "joints": 0.1,
        "places": 0.01,
        "camera_scale": 0.005,
        "camera_place": 0.05,
        "bins": 1000.0,
        "pose": 0.07,
        "shape": 5.0,
        "object_translation": 100.0,
        "object_corners": 0.1,
    }
)
_MM: Final = 1000.0
# How errors become one number; what is valid broadcasts to the errors.
Mean = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class KeypointTransformerLossConfig:
    """Weights and rules.

    Attributes:
        weights: by term; a term of weight 0 is not computed.
        identity_rule: which of several close joints a keypoint is: "nearest" (paper) or "front" (published code).
        variant: "default" takes means over what is valid and compares proper rotations; "authors" counts what is not
            valid as zero error and keeps the published rotation matrix.
        background: what a keypoint that is no joint's counts in the identities' mean, of one that is (published: 1).
            Where most peaks are false, "nothing" is the answer that is right most often, and stays it for long.
    """

    weights: Mapping[str, float] = field(default_factory=lambda: PUBLISHED_WEIGHTS)
    identity_rule: IdentityRule = "nearest"
    variant: Literal["default", "authors"] = "default"
    background: float = 1.0

    def __post_init__(self) -> None:
        unknown = sorted(set(self.weights) - set(PUBLISHED_WEIGHTS))
        if unknown:
            raise ValueError(f"weights: unknown terms {unknown}; known are {sorted(PUBLISHED_WEIGHTS)}")


PUBLISHED_LOSSES: Final = KeypointTransformerLossConfig(identity_rule="front", variant="authors")


def keypoint_transformer_loss(
    output: KeypointTransformerOutput,
    targets: KeypointTransformerTargets,
    config: KeypointTransformerLossConfig | None = None,
    posed_joints: Tensor | None = None,
) -> dict[str, Tensor]:
    """All terms that the network's heads have, weighted, and their sum under "total".

    Args:
        output: of the network.
        targets: the truth.
        config: weights and rules.
        posed_joints: for "angles", (L, B, 2, 21, 3) the hand model's joints from the wrist, canonical order, of every
            layer's pose and shape; without them the joints teach nothing there.
    """
    config = KeypointTransformerLossConfig() if config is None else config
    return _weighted(raw_terms(output, targets, config, posed_joints), config)


def map_loss(
    maps: Tensor, targets: KeypointTransformerTargets, config: KeypointTransformerLossConfig
) -> dict[str, Tensor]:
    """The weighted terms of heat map and segmentation alone (B, 1 or 2, 128, 128), and their sum under "total"."""
    return _weighted(_positive(_map_terms(maps, targets, _mean_of(config)), config), config)


def _weighted(terms: Mapping[str, Tensor], config: KeypointTransformerLossConfig) -> dict[str, Tensor]:
    weighted = {name: config.weights[name] * value for name, value in terms.items()}
    return {**weighted, "total": torch.stack(list(weighted.values())).sum()}


def _positive(terms: Mapping[str, Tensor], config: KeypointTransformerLossConfig) -> dict[str, Tensor]:
    return {name: value for name, value in terms.items() if config.weights.get(name, 0.0) > 0}


def _mean_of(config: KeypointTransformerLossConfig) -> Mean:
    return _plain_mean if config.variant == "authors" else _valid_mean


def raw_terms(
    output: KeypointTransformerOutput,
    targets: KeypointTransformerTargets,
    config: KeypointTransformerLossConfig,
    posed_joints: Tensor | None = None,
) -> dict[str, Tensor]:
    """The terms of positive weight, unweighted."""
    mean = _mean_of(config)
    terms = _map_terms(output.maps, targets, mean)
    terms["identity"] = _identity(output, targets, config)
    translation_error = (output.hand_translation - targets.hand_translation).abs()
    terms["hand_translation"] = mean(translation_error, targets.translation_valid[None, :, None])
    joints = posed_joints
    if output.joint_vectors is not None:
        joints = canonical(joints_from_vectors(output.joint_vectors))
        vectors = parent_vectors_of_layers(joints)
        error = _MM * (vectors - parent_vectors(targets.joints)).abs()
        terms["joint_vectors"] = mean(error[:, :, :, 1:], with_parents(targets.joint_valid)[None, :, :, 1:, None])
    if joints is not None:
        terms.update(_joint_terms(joints, output, targets, mean))
    if output.bins is not None:
        maps, valid = bin_targets(targets)
        terms["bins"] = mean((output.bins - maps).square(), valid[None, ..., None])
    if output.pose is not None:
        terms.update(_angle_terms(output, targets, mean))
    if output.object_rotation is not None:
        terms.update(_object_terms(output, targets, config, mean))
    return _positive(terms, config)


def parent_vectors_of_layers(joints: Tensor) -> Tensor:
    """`parent_vectors` of (L, B, 2, 21, 3)."""
    return parent_vectors(joints.flatten(0, 1)).reshape(joints.shape)


def _plain_mean(error: Tensor, valid: Tensor) -> Tensor:
    return (error * valid).mean()


def _valid_mean(error: Tensor, valid: Tensor) -> Tensor:
    weight = valid.expand_as(error)
    return (error * weight).sum() / weight.sum().clamp(min=1e-6)


def _map_terms(maps: Tensor, targets: KeypointTransformerTargets, mean: Mean) -> dict[str, Tensor]:
    with torch.no_grad():
        truth = heat_map(targets)
    terms = {"heat_map": mean((maps[:, 0] - truth).square(), targets.maps_valid[:, None, None])}
    if maps.shape[1] > 1:
        error = (maps[:, 1] - _require(targets.segmentation, "segmentation")).square()
        terms["segmentation"] = error.mean()
    return terms


def _identity(
    output: KeypointTransformerOutput, targets: KeypointTransformerTargets, config: KeypointTransformerLossConfig
) -> Tensor:
    """Cross entropy of every layer's logits over the used slots (keypoint-joint association loss)."""
    with torch.no_grad():
        labels = identities(targets, output.keypoints, config.identity_rule)
        used = output.keypoints.valid
        if config.variant == "authors":
            # A sample without keypoints teaches all its dummies as background there.
            used = used | ~used.any(dim=1, keepdim=True)
        weight = torch.where(labels > 0, 1.0, config.background) * used
    logits = output.identity_logits
    loss = functional.cross_entropy(
        logits.permute(1, 3, 0, 2), labels[:, None].expand(-1, logits.shape[0], -1), reduction="none"
    )
    return _valid_mean(loss, weight[:, None].to(loss.dtype))


def _joint_terms(
    joints: Tensor, output: KeypointTransformerOutput, targets: KeypointTransformerTargets, mean: Mean
) -> dict[str, Tensor]:
    """joints (L, B, 2, 21, 3) metres from the wrist, canonical order."""
    valid = targets.joint_valid * targets.joint_valid[:, :, WRIST : WRIST + 1]
    error = _MM * (joints - targets.joints).abs()
    terms = {"joints": mean(error[:, :, :, 1:], valid[None, :, :, 1:, None])}
    if output.camera is None:
        return terms
    layers = zip(joints, output.hand_translation, output.camera, strict=True)
    places = torch.stack([project(joint, translation, camera) for joint, translation, camera in layers])
    error = (places - targets.places).abs()
    terms["places"] = mean(error[:, :, :, 1:], targets.joint_valid[None, :, :, 1:, None])
    with torch.no_grad():
        fitted = fitted_camera(targets)
        seen = (targets.joint_valid.sum(dim=(1, 2)) > 0).to(fitted.dtype)[None, :, None]
    error = (output.camera - fitted).abs()
    terms["camera_scale"], terms["camera_place"] = mean(error[..., :1], seen), mean(error[..., 1:], seen)
    return terms


def _angle_terms(
    output: KeypointTransformerOutput, targets: KeypointTransformerTargets, mean: Mean
) -> dict[str, Tensor]:
    pose, shape = _require(targets.pose, "pose"), _require(targets.shape, "shape")
    valid = _require(targets.pose_valid, "pose_valid")
    assert output.pose is not None and output.shape is not None
    # Summed over the three components of a joint's axis-angle, mean over the 32 joints.
    error = (output.pose - pose).abs().sum(dim=4)
    some = (valid.sum(dim=1) > 0).to(shape.dtype)
    return {
        "pose": mean(error, valid[None, :, :, None]),
        "shape": mean((output.shape - shape).abs(), some[None, :, None]),
    }


def _object_terms(
    output: KeypointTransformerOutput,
    targets: KeypointTransformerTargets,
    config: KeypointTransformerLossConfig,
    mean: Mean,
) -> dict[str, Tensor]:
    place = _require(targets.object_translation, "object_translation")
    weight = _require(targets.object_weight, "object_weight")
    assert output.object_rotation is not None and output.object_translation is not None
    weights = weight[None, :, None]
    translation = mean((output.object_translation - place).abs(), weights)
    left = output.object_left_translation
    if left is not None:
        known = weights * targets.translation_valid[None, :, None]
        from_left = place - targets.hand_translation
        round_trip = output.hand_translation + left - output.object_translation
        translation = translation + mean((left - from_left).abs(), known) + mean(round_trip.abs(), known)
    make = published_matrix if config.variant == "authors" else rotation_matrix
    corners = _corner_errors(make(output.object_rotation), output.object_translation, targets)
    return {"object_translation": translation, "object_corners": mean(corners, weight[None])}


def _corner_errors(rotation: Tensor, translation: Tensor, targets: KeypointTransformerTargets) -> Tensor:
    """L1 error (L, B) in mm of the box's corners (mean), of the object's symmetric poses the closest (Eq. 3)."""
    box = _require(targets.object_box, "object_box")
    true_rotation = _require(targets.object_rotation, "object_rotation")
    true_place = _require(targets.object_translation, "object_translation")
    symmetries = _require(targets.object_symmetries, "object_symmetries")
    # (B, S, 8, 3): the box turned into each of its symmetric poses, then as it is seen.
    alike = box[:, None] @ (true_rotation[:, None] @ symmetries).transpose(2, 3) + true_place[:, None, None]
    found = box[None] @ rotation.transpose(2, 3) + translation[:, :, None]
    errors: Tensor = (found[:, :, None] - alike).abs().mean(dim=(3, 4))
    return _MM * errors.amin(dim=2)


def _require(value: Tensor | None, name: str) -> Tensor:
    if value is None:
        raise ValueError(f"the network has a head for it, so the targets need {name}")
    return value
