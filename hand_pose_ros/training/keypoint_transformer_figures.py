"""What validation of Keypoint Transformer measures."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from hand_pose_ros.networks.keypoint_transformer import KeypointTransformerConfig, KeypointTransformerOutput
from hand_pose_ros.networks.keypoint_transformer.config import MAP_SIZE
from hand_pose_ros.networks.keypoint_transformer.decode import Decoded
from hand_pose_ros.networks.keypoint_transformer.peaks import HAND
from hand_pose_ros.skeleton import WRIST
from hand_pose_ros.training.keypoint_transformer_targets import (
    KeypointTransformerTargets,
    identities,
    scene_targets,
)
from hand_pose_ros.training.optimisation import Measured
from hand_pose_ros.training.scene_crops import SceneBatch

_MM = 1000.0
_PRESENT = 0.5  # from which a hand or the object counts as seen


def scene_figures(
    result: Decoded,
    output: KeypointTransformerOutput,
    batch: SceneBatch,
    config: KeypointTransformerConfig | None = None,
) -> dict[str, Measured]:
    """See `KeypointTransformerModule.evaluate`; `config`: of the network, None: the default one's. 2.5D takes each
    hand's true wrist depth, as the paper does."""
    joints = metric_joints(result, batch)
    truth = batch.joints - batch.joints[:, :, WRIST : WRIST + 1]
    error = _MM * torch.linalg.vector_norm(joints - truth, dim=3)
    both = batch.present.all(dim=1)
    single = batch.present.any(dim=1) & ~both
    picked = {"mpjpe_mm": both | single, "single_mm": single, "interacting_mm": both}
    figures = {name: _mean(error, batch.valid & chosen[:, None, None]) for name, chosen in picked.items()}
    translation = batch.joints[:, 1, WRIST] - batch.joints[:, 0, WRIST]
    figures["mrrpe_mm"] = _mean(_MM * torch.linalg.vector_norm(result.hand_translation - translation, dim=1), both)
    if result.uv is not None:
        figures["uv_px"] = _mean(torch.linalg.vector_norm(result.uv - batch.uv, dim=3), batch.valid)
    figures["presence"] = _mean(((result.presence > _PRESENT) == batch.present).float().mean(dim=1), both | True)
    config = KeypointTransformerConfig() if config is None else config
    hands = dataclasses.replace(config, objects=False, left_object=False, crop=batch.rgb.shape[3])
    figures.update(_keypoint_figures(output, scene_targets(batch, hands), batch))
    if result.object_translation is not None and batch.object_translation is not None:
        figures.update(_object_figures(result, batch))
    return figures


def metric_joints(result: Decoded, batch: SceneBatch) -> Tensor:
    """Joints (B, 2, 21, 3) from each hand's wrist, metres."""
    if result.joints is not None:
        return result.joints
    assert result.uv is not None and result.depth is not None
    z = batch.joints[:, :, WRIST, None, 2] + result.depth
    focal, middle = batch.intrinsics[:, None, None, :2], batch.intrinsics[:, None, None, 2:]
    points = torch.cat(((result.uv - middle) / focal * z[..., None], z[..., None]), dim=3)
    return points - points[:, :, WRIST : WRIST + 1]


def _keypoint_figures(
    output: KeypointTransformerOutput, targets: KeypointTransformerTargets, batch: SceneBatch
) -> dict[str, Measured]:
    """Joints in the crop that have a keypoint nearby (3 pixels of 128, or `joint_radius`), keypoints that lie so at a
    joint, and how many of these are told right."""
    keypoints = output.keypoints
    labels = identities(targets, keypoints, "nearest")
    used = keypoints.valid & (keypoints.kind == HAND)
    right = (output.identity_logits[-1].argmax(dim=2) == labels).float()
    joints = used & (labels > 0)
    distance = torch.linalg.vector_norm(targets.places.flatten(1, 2)[:, :, None] - keypoints.xy[:, None], dim=3)
    nearest = distance.masked_fill(~used[:, None], torch.inf).amin(dim=2)
    near = targets.joint_radius * targets.map_size / MAP_SIZE
    inside = ((targets.places >= 0) & (targets.places <= targets.map_size - 1)).all(dim=3) & batch.valid
    return {
        "found": _mean((nearest <= near).float(), inside.flatten(1)),
        "joint_keypoints": _mean((labels > 0).float(), used),
        "identity": _mean(right, joints),
    }


def _object_figures(result: Decoded, batch: SceneBatch) -> dict[str, Measured]:
    assert result.object_rotation is not None and result.object_translation is not None
    assert batch.object_weight is not None and result.object_presence is not None
    targets = scene_targets(batch, KeypointTransformerConfig(objects=True, crop=batch.rgb.shape[3]))
    assert targets.object_translation is not None and targets.object_box is not None
    assert targets.object_rotation is not None and targets.object_symmetries is not None
    there = batch.object_weight > 0
    off = torch.linalg.vector_norm(result.object_translation - targets.object_translation, dim=1)
    found = targets.object_box @ result.object_rotation.transpose(1, 2)
    alike = targets.object_box[:, None] @ (targets.object_rotation[:, None] @ targets.object_symmetries).transpose(2, 3)
    turned = torch.linalg.vector_norm(found[:, None] - alike, dim=3).mean(dim=2).amin(dim=1)
    seen = (result.object_presence > _PRESENT) == there
    return {
        "object_mm": _mean(_MM * off, there),
        "object_turn_mm": _mean(_MM * turned, there),
        "object_presence": _mean(seen.float(), torch.ones_like(there)),
    }


def _mean(values: Tensor, counted: Tensor) -> Measured:
    weight = float(counted.sum())
    return float((values * counted).nansum() / max(weight, 1.0)), weight
