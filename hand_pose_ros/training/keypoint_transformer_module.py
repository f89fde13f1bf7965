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
from hand_pose_ros.networks.keypoint_transformer.decode import Decoded, decode
from hand_pose_ros.networks.keypoint_transformer.model import ImageFeatures
from hand_pose_ros.networks.keypoint_transformer.peaks import graph_keypoints, greedy_keypoints
from hand_pose_ros.networks.keypoint_transformer.unet import ResidualDecoder
from hand_pose_ros.skeleton import WRIST, Side
from hand_pose_ros.training.keypoint_transformer_figures import scene_figures
from hand_pose_ros.training.keypoint_transformer_losses import (
    KeypointTransformerLossConfig,
    keypoint_transformer_loss,
    map_loss,
)
from hand_pose_ros.training.keypoint_transformer_maps import JointMaps, joint_map_loss
from hand_pose_ros.training.keypoint_transformer_placed import placed_figures, placed_terms
from hand_pose_ros.training.keypoint_transformer_targets import (
    Disturbance,
    KeypointTransformerTargets,
    PeakSearch,
    disturbed,
    scene_targets,
    true_keypoints,
)
from hand_pose_ros.training.muon import MOMENTUM, Muon, hidden_apart
from hand_pose_ros.training.optimisation import AveragedModule, Measured, Schedule
from hand_pose_ros.training.scene_crops import SceneBatch

_IMAGE = ("backbone.", "decoder.", "maps.")  # parts with the images' rate


class Course(NamedTuple):
    """Optimiser steps of the training's parts.

    detector: the maps alone are learnt until this step (the paper's pre-training of the detector). truth_keypoints: for
    so many steps after that true joints stand in for the peaks, as in the published code's first epochs, made worse by
    `disturbance`. frozen: until this step what another training has brought along (encoder, residual decoder, maps by
    place) stays as it is.
    """

    detector: int = 0
    truth_keypoints: int = 0
    disturbance: Disturbance = Disturbance()
    frozen: int = 0


class KeypointTransformerModule(AveragedModule):
    """The network with the paper's losses.

    Args:
        config: of the network.
        schedule: of the optimiser.
        losses: weights and rules of the terms.
        course: which steps learn the maps alone, and which stand on true keypoints.
        image_rate: learning rate of encoder and decoder, of the rest's (published: 0.1).
        decay: of the averaged weights.
        joint_maps: weight of `keypoint_transformer_maps`, an auxiliary task beside the network (ours); 0: none. Where
            the network has maps by place, theirs.
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
        beside = joint_maps > 0 and not config.placed
        self.beside = JointMaps(config.network_widths.maps[1:3]) if beside else None
        self.losses = KeypointTransformerLossConfig() if losses is None else losses
        self.course, self.image_rate, self.muon = course or Course(), image_rate, muon
        self.leaves_out = self.course.detector > 0 or self.course.frozen > 0 or config.depth_look
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
        hidden, rest = hidden_apart(self.network, self._hidden_parts() if self.muon else ())
        for images in (True, False):
            named = [parameter for name, parameter in rest if name.startswith(_IMAGE) is images]
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

    def _hidden_parts(self) -> Sequence[nn.Module]:
        network = self.transformer
        maps = [part for name, part in network.decoder.named_children() if not name.startswith("convOut")]
        return network.backbone, *maps

    def loss(self, batch: SceneBatch) -> dict[str, Tensor]:
        """The paper's terms; those of the maps only during the detector's own steps."""
        network = self.transformer
        self._freeze(self.global_step < self.course.frozen)
        targets = scene_targets(batch, network.config)
        seen = network.see(batch.rgb.contiguous(memory_format=torch.channels_last), batch.relief)
        terms, output = self._terms(seen, targets)
        if self.beside is not None:
            terms["joint_maps"] = self.map_weight * joint_map_loss(self.beside(seen.features), targets)
        if seen.placed is not None and self.map_weight > 0:
            terms |= placed_terms(seen.placed, output, batch, self.map_weight)
        del terms["total"]
        return {**terms, "total": torch.stack(list(terms.values())).sum()}

    def _freeze(self, frozen: bool) -> None:
        if self.course.frozen == 0:
            return
        network = self.transformer
        parts: list[nn.Module | None] = [network.backbone, network.maps]
        parts.append(network.decoder.blocks if isinstance(network.decoder, ResidualDecoder) else network.decoder)
        for part in parts:
            if part is not None:
                part.requires_grad_(not frozen)

    def _terms(
        self, seen: ImageFeatures, targets: KeypointTransformerTargets
    ) -> tuple[dict[str, Tensor], KeypointTransformerOutput | None]:
        course, network = self.course, self.transformer
        if self.global_step < course.detector:
            return map_loss(seen.maps, targets, self.losses), None
        config = network.config
        if self.global_step < course.detector + course.truth_keypoints:
            found = true_keypoints(targets, config.hand_slots, config.object_slots, _search(seen), config.peaks)
            keypoints = disturbed(found, course.disturbance, config.hand_slots, config.map_size)
        else:
            keypoints = _detected(network, seen)
        output = network.understand(seen, keypoints)
        return keypoint_transformer_loss(output, targets, self.losses, self._posed(output)), output

    @torch.no_grad()
    def evaluate(self, batch: SceneBatch) -> dict[str, Measured]:
        """MPJPE in mm of all pictures, of those with one hand and with two, each hand from its own wrist; MRRPE;
        distances in pixels of the crop; how often keypoints, identities and presence are right; the object's place."""
        network = cast(KeypointTransformer, self.average.network)
        seen = network.see(batch.rgb.contiguous(memory_format=torch.channels_last), batch.relief)
        output = network.understand(seen, _detected(network, seen))
        result = decode(output, network.config.variant == "authors")
        figures = scene_figures(self.placed(result), output, batch, network.config)
        return figures if seen.placed is None else {**figures, **placed_figures(seen.placed, output, batch)}

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


def _hand_layers() -> tuple[TorchHandModel, TorchHandModel]:
    right, left = (TorchHandModel(HandModel.bundled(side)).requires_grad_(False) for side in (Side.RIGHT, Side.LEFT))
    return right, left
