"""Training of Keypoint Transformer."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from hand_pose_ros.hand_model.model import HandModel
from hand_pose_ros.hand_model.torch_model import TorchHandModel
from hand_pose_ros.networks.keypoint_transformer import (
    Keypoints,
    KeypointTransformer,
    KeypointTransformerConfig,
    KeypointTransformerOutput,
)
from hand_pose_ros.networks.keypoint_transformer.config import MAP_SIZE
from hand_pose_ros.networks.keypoint_transformer.decode import Decoded, decode
from hand_pose_ros.networks.keypoint_transformer.model import ImageFeatures
from hand_pose_ros.networks.keypoint_transformer.peaks import HAND, graph_keypoints, greedy_keypoints
from hand_pose_ros.skeleton import WRIST, Side
from hand_pose_ros.training.keypoint_transformer_losses import (
    KeypointTransformerLossConfig,
    keypoint_transformer_loss,
    map_loss,
)
from hand_pose_ros.training.keypoint_transformer_maps import JointMaps, joint_map_loss
from hand_pose_ros.training.keypoint_transformer_targets import (
    IDENTITY_RADIUS,
    Disturbance,
    KeypointTransformerTargets,
    PeakSearch,
    disturbed,
    identities,
    scene_targets,
    true_keypoints,
)
from hand_pose_ros.training.muon import MOMENTUM, Muon, hidden_convolutions
from hand_pose_ros.training.optimisation import AveragedModule, Measured, Schedule
from hand_pose_ros.training.scene_crops import SceneBatch

_MM = 1000.0
_PRESENT = 0.5  # from which a hand or the object counts as seen


class Course(NamedTuple):
    """Optimiser steps of the training's parts.

    detector: the maps alone are learnt until this step (the paper's pre-training of the detector). truth_keypoints: for
    so many steps after that true joints stand in for the peaks, as in the published code's first epochs, made worse by
    `disturbance`.
    """

    detector: int = 0
    truth_keypoints: int = 0
    disturbance: Disturbance = Disturbance()


class KeypointTransformerModule(AveragedModule):
    """The network with the paper's losses.

    Args:
        config: of the network.
        schedule: of the optimiser.
        losses: weights and rules of the terms.
        course: which steps learn the maps alone, and which stand on true keypoints.
        image_rate: learning rate of encoder and decoder, of the rest's (published: 0.1).
        decay: of the averaged weights.
        joint_maps: weight of `keypoint_transformer_maps`, an auxiliary task beside the network (ours); 0: none.
        muon: Muon for the convolutions of encoder and decoder in place of AdamW (`training.muon`).
    """

    monitor = "mpjpe_mm"

    def __init__(
        self,
        config: KeypointTransformerConfig,
        schedule: Schedule,
        losses: KeypointTransformerLossConfig | None = None,
        course: Course | None = None,
        image_rate: float = 1.0,
        decay: float = 0.999,
        joint_maps: float = 0.0,
        muon: bool = False,
    ) -> None:
        super().__init__(KeypointTransformer(config), schedule, decay=decay)
        self.map_weight = joint_maps
        self.beside = JointMaps(config.network_widths.maps[1:3]) if joint_maps > 0 else None
        self.losses = KeypointTransformerLossConfig() if losses is None else losses
        self.course, self.image_rate, self.muon = course or Course(), image_rate, muon
        self.leaves_out = self.course.detector > 0
        self._layers = [_hand_layers()] if config.representation == "angles" else []

    @property
    def transformer(self) -> KeypointTransformer:
        """The network."""
        return cast(KeypointTransformer, self.network)

    def heavy_parts(self) -> Sequence[nn.Module]:
        """All but peaks, places, heads and classifier."""
        network = self.transformer
        tokens = [part for part in (network.hand_token, network.object_token) if part is not None]
        return network.backbone, network.decoder, *tokens, network.self_attention, network.cross_attention

    def configuration(self) -> dict[str, Any]:
        """The fields of `KeypointTransformerConfig`."""
        return dataclasses.asdict(self.transformer.config)

    def optimizer(self) -> torch.optim.Optimizer:
        """AdamW, with encoder and decoder at their own rate; with `muon`, Muon for their convolutions (the maps' own
        layers excepted)."""
        groups: list[dict[str, Any]] = []
        hidden = self._hidden() if self.muon else []
        taken = {id(weight) for weight in hidden}
        for images in (True, False):
            named = [
                parameter
                for name, parameter in self.network.named_parameters()
                if name.startswith(("backbone.", "decoder.")) is images and id(parameter) not in taken
            ]
            for matrices in (True, False):
                groups.append(
                    {
                        "params": [parameter for parameter in named if (parameter.ndim > 1) is matrices],
                        "weight_decay": self.schedule.weight_decay if matrices or self.schedule.decay_all else 0.0,
                        "rate": self.image_rate if images else 1.0,
                    }
                )
        if self.beside is not None:
            groups.append({"params": list(self.beside.parameters()), "weight_decay": 0.0, "rate": self.image_rate})
        if not self.muon:
            return torch.optim.AdamW(groups, lr=self.schedule.learning_rate)
        convolutions: dict[str, Any] = {"params": hidden, "weight_decay": self.schedule.weight_decay}
        groups.append({**convolutions, "momentum": MOMENTUM, "rate": self.image_rate})
        return Muon(groups, lr=self.schedule.learning_rate)

    def _hidden(self) -> list[Tensor]:
        network = self.transformer
        maps = [part for name, part in network.decoder.named_children() if not name.startswith("convOut")]
        return hidden_convolutions((network.backbone, *maps))

    def loss(self, batch: SceneBatch) -> dict[str, Tensor]:
        """The paper's terms; those of the maps only during the detector's own steps."""
        targets = scene_targets(batch, self.transformer.config)
        seen = self.transformer.see(batch.rgb.contiguous(memory_format=torch.channels_last))
        terms = self._terms(seen, targets)
        if self.beside is not None:
            terms["joint_maps"] = self.map_weight * joint_map_loss(self.beside(seen.features), targets)
            terms["total"] = terms["total"] + terms["joint_maps"]
        return terms

    def _terms(self, seen: ImageFeatures, targets: KeypointTransformerTargets) -> dict[str, Tensor]:
        course, network = self.course, self.transformer
        if self.global_step < course.detector:
            return map_loss(seen.maps, targets, self.losses)
        config = network.config
        if self.global_step < course.detector + course.truth_keypoints:
            found = true_keypoints(targets, config.hand_slots, config.object_slots, _search(seen), config.peaks)
            keypoints = disturbed(found, course.disturbance, config.hand_slots, config.map_size)
        else:
            keypoints = _detected(network, seen)
        output = network.understand(seen, keypoints)
        return keypoint_transformer_loss(output, targets, self.losses, self._posed(output))

    @torch.no_grad()
    def evaluate(self, batch: SceneBatch) -> dict[str, Measured]:
        """MPJPE in mm of all pictures, of those with one hand and with two, each hand from its own wrist; MRRPE;
        distances in pixels of the crop; how often keypoints, identities and presence are right; the object's place."""
        network = cast(KeypointTransformer, self.average.network)
        seen = network.see(batch.rgb.contiguous(memory_format=torch.channels_last))
        output = network.understand(seen, _detected(network, seen))
        result = decode(output, network.config.variant == "authors")
        return scene_figures(self.placed(result), output, batch)

    def placed(self, result: Decoded) -> Decoded:
        """With the hand model's joints, for the angle representation."""
        if result.pose is None or result.shape is None:
            return result
        return result.placed(self._pose(result.pose[None], result.shape[None])[0])

    def _posed(self, output: KeypointTransformerOutput) -> Tensor | None:
        if output.pose is None or output.shape is None:
            return None
        return self._pose(output.pose, output.shape)

    def _pose(self, pose: Tensor, shape: Tensor) -> Tensor:
        """pose (L, B, 2, 16, 3), shape (L, B, 10) -> joints (L, B, 2, 21, 3) from the wrist."""
        betas = shape.flatten(0, 1)
        hands = []
        for side, layer in enumerate(self._layers[0]):
            turns = pose[:, :, side].flatten(0, 1)
            _, joints = layer.to(pose.device)(
                turns[:, 0], turns[:, 1:].flatten(1), betas, torch.zeros_like(betas[:, :3])
            )
            hands.append(joints - joints[:, WRIST : WRIST + 1])
        return torch.stack(hands, dim=1).reshape(*pose.shape[:2], 2, -1, 3)


def _detected(network: KeypointTransformer, seen: ImageFeatures) -> Keypoints:
    """The network's own keypoints."""
    config = network.config
    return _search(seen)(seen.maps.detach(), config.hand_slots, config.object_slots, config.peaks)


def _search(seen: ImageFeatures) -> PeakSearch:
    """On a CPU the sequential search costs a tenth; what it finds is the same."""
    return graph_keypoints if seen.maps.is_cuda else greedy_keypoints


def scene_figures(result: Decoded, output: KeypointTransformerOutput, batch: SceneBatch) -> dict[str, Measured]:
    """See `KeypointTransformerModule.evaluate`. 2.5D takes each hand's true wrist depth, as the paper does."""
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
    figures.update(_keypoint_figures(output, batch))
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


def _keypoint_figures(output: KeypointTransformerOutput, batch: SceneBatch) -> dict[str, Measured]:
    """Joints in the crop that have a keypoint nearby (3 pixels of 128), and keypoints whose identity is told right."""
    targets = scene_targets(batch, KeypointTransformerConfig(crop=batch.rgb.shape[3]))
    keypoints = output.keypoints
    labels = identities(targets, keypoints, "nearest")
    used = keypoints.valid & (keypoints.kind == HAND)
    right = (output.identity_logits[-1].argmax(dim=2) == labels).float()
    joints = used & (labels > 0)
    distance = torch.linalg.vector_norm(targets.places.flatten(1, 2)[:, :, None] - keypoints.xy[:, None], dim=3)
    nearest = distance.masked_fill(~used[:, None], torch.inf).amin(dim=2)
    near = IDENTITY_RADIUS * targets.map_size / MAP_SIZE
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


def _hand_layers() -> tuple[TorchHandModel, TorchHandModel]:
    right, left = (TorchHandModel(HandModel.bundled(side)).requires_grad_(False) for side in (Side.RIGHT, Side.LEFT))
    return right, left
