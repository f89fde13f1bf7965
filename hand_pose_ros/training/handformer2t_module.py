"""Training of Handformer2T."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Final, cast

import torch
from torch import Tensor, nn

from hand_pose_ros.networks.handformer2t import Handformer2T, Handformer2TConfig, Handformer2TOutput
from hand_pose_ros.networks.handformer2t.config import DEPTH_RANGE
from hand_pose_ros.networks.handformer2t.decode import Decoded, decode, encode
from hand_pose_ros.networks.handformer2t.maps import JointMaps, by_joint
from hand_pose_ros.skeleton import WRIST
from hand_pose_ros.training.handformer2t_losses import (
    Handformer2TLoss,
    Handformer2TLossConfig,
    Handformer2TTargets,
)
from hand_pose_ros.training.handformer2t_maps import map_loss
from hand_pose_ros.training.handformer2t_order import by_place
from hand_pose_ros.training.muon import MOMENTUM, Muon, hidden_apart
from hand_pose_ros.training.optimisation import AveragedModule, Measured, Schedule
from hand_pose_ros.training.scene_crops import SceneBatch

RIGHT, LEFT = 0, 1
# Of the rate: what AdamW likes for tokens is less than what convolutions, norms and maps take.
_TOKEN_RATE: Final = 0.25
_IMAGE_PARTS: Final = ("backbone.", "decoder.", "maps.", "closer.")


class Handformer2TModule(AveragedModule):
    """The network with the paper's losses; their flows learn along, outside the network, its average and its export.

    Args:
        config: of the network.
        schedule: of the optimiser.
        losses: weights of the terms.
        compile_network: run through torch.compile.
        decay: of the averaged weights.
        muon: Muon for convolutions in place of AdamW (`training.muon`).
    """

    monitor = "mpjpe_mm"

    def __init__(
        self,
        config: Handformer2TConfig,
        schedule: Schedule,
        losses: Handformer2TLossConfig | None = None,
        compile_network: bool = False,
        decay: float = 0.999,
        muon: bool = False,
    ) -> None:
        super().__init__(Handformer2T(config), schedule, compile_network, decay)
        self.losses = Handformer2TLoss(config.stages, losses)
        self.muon = muon
        # Looks learn by themselves.
        self.leaves_out = self.leaves_out or config.closer or config.depth_look
        channels = [config.network_widths.channels(level) for level in (2, 1, 0)]
        # A network with maps of its own needs none beside it.
        self.maps = JointMaps(channels) if self.losses.config.maps > 0 and not config.maps else None

    @property
    def crop(self) -> int:
        """Side of the network's crop in pixels."""
        return cast(Handformer2T, self.network).config.picture

    def heavy_parts(self) -> Sequence[nn.Module]:
        """Encoder, decoder and maps; tokens, poses and losses stay in float32."""
        network = cast(Handformer2T, self.network)
        maps = self.maps if network.maps is None else network.maps.maps
        return [part for part in (network.backbone, network.decoder, maps) if part is not None]

    def hidden_parts(self) -> Sequence[nn.Module]:
        """Those whose convolutions Muon takes: encoder and decoder."""
        network = cast(Handformer2T, self.network)
        return [part for part in (network.backbone, network.decoder) if part is not None]

    def configuration(self) -> dict[str, Any]:
        """The fields of `Handformer2TConfig`."""
        return dataclasses.asdict(cast(Handformer2T, self.network).config)

    def optimizer(self) -> torch.optim.Optimizer:
        """AdamW over network and flows; norms, biases and flows are not decayed. With `muon`: see `_with_muon`."""
        optimizer = self._with_muon() if self.muon else super().optimizer()
        beside = [*self.losses.parameters(), *(self.maps.parameters() if self.maps is not None else ())]
        if beside:
            optimizer.add_param_group({"params": beside, "weight_decay": 0.0})
        return optimizer

    def _with_muon(self) -> torch.optim.Optimizer:
        """Muon for the convolutions of encoder and decoder, AdamW for what remains."""
        network, decay = cast(Handformer2T, self.network), self.schedule.weight_decay
        hidden, rest = hidden_apart(network, self.hidden_parts())
        tokens = [weight for name, weight in rest if not name.startswith(_IMAGE_PARTS)]
        groups: list[dict[str, Any]] = [
            {"params": hidden, "weight_decay": decay, "momentum": MOMENTUM},
            {"params": [weight for name, weight in rest if name.startswith(_IMAGE_PARTS)], "weight_decay": 0.0},
            {"params": [w for w in tokens if w.ndim > 1], "weight_decay": decay, "rate": _TOKEN_RATE},
            {"params": [w for w in tokens if w.ndim <= 1], "weight_decay": 0.0, "rate": _TOKEN_RATE},
        ]
        return Muon(groups, self.schedule.learning_rate)

    def loss(self, batch: SceneBatch) -> dict[str, Tensor]:
        """All terms."""
        image = batch.rgb.contiguous(memory_format=torch.channels_last)
        if self.maps is None:
            return self._terms(self.run(image, batch.relief), None, batch)
        network = cast(Handformer2T, self.network)
        levels = network.levels(image, batch.relief)
        return self._terms(network.read(levels), by_joint(self.maps(levels[1:])), batch)

    def _terms(self, output: Handformer2TOutput, logits: Tensor | None, batch: SceneBatch) -> dict[str, Tensor]:
        """`logits`: of maps beside the network."""
        progress = self.global_step / max(self.schedule.steps, 1)
        targets, uv, sides = targets_of(batch, self.crop), batch.uv, None
        if output.side_logits is not None:
            known = output.poses[-1] if output.map_pose is None else output.map_pose
            targets, uv, sides, _ = by_place(targets, uv, known)
        terms: dict[str, Tensor] = self.losses(output, targets, progress, sides)
        logits = output.map_logits if logits is None else logits
        if logits is not None and self.losses.config.maps > 0:
            maps = map_loss(logits.float(), uv, targets.joint_valid > 0, self.crop)
            terms["maps"] = self.losses.config.maps * maps
            terms["total"] = terms["total"] + terms["maps"]
        return terms

    @torch.no_grad()
    def evaluate(self, batch: SceneBatch) -> dict[str, Measured]:
        """See `measured`, of the averaged network."""
        image = batch.rgb.contiguous(memory_format=torch.channels_last)
        return measured(decode(self.average.network(image, batch.relief, batch.view), self.crop), batch)


def targets_of(batch: SceneBatch, crop: int) -> Handformer2TTargets:
    """What the network is to say of crops of this side."""
    depth = batch.joints[..., 2] - batch.joints[:, :, WRIST : WRIST + 1, 2]
    wrists = batch.joints[:, :, WRIST, 2]
    known = batch.valid & batch.valid[:, :, WRIST : WRIST + 1]
    return Handformer2TTargets(
        poses=encode(batch.uv, depth, crop),
        joint_valid=known.float(),
        presence=batch.present.float(),
        relative_depth=(wrists[:, LEFT] - wrists[:, RIGHT]) / DEPTH_RANGE,
        relative_valid=known[:, :, WRIST].all(dim=1).float(),
    )


def lifted(decoded: Decoded, batch: SceneBatch) -> Tensor:
    """Joints (B, 2, 21, 3) in camera metres, each hand with its wrist at its true depth."""
    z = batch.joints[:, :, WRIST : WRIST + 1, 2] + decoded.depth
    return back_projected(decoded.uv, z, batch.intrinsics)


def back_projected(uv: Tensor, z: Tensor, intrinsics: Tensor) -> Tensor:
    """uv (B, ..., 2) pixels at depths z (B, ...) metres -> (B, ..., 3), by intrinsics (B, 4)."""
    shape = (-1, *(1,) * (uv.ndim - 2), 2)
    focal, middle = intrinsics[:, :2].reshape(shape), intrinsics[:, 2:].reshape(shape)
    return torch.cat(((uv - middle) / focal * z[..., None], z[..., None]), dim=-1)


def joint_errors(decoded: Decoded, batch: SceneBatch) -> Tensor:
    """Distances (B, 2, 21) in metres, each hand from its own wrist."""
    found, true = lifted(decoded, batch), batch.joints
    gap = (found - found[:, :, WRIST : WRIST + 1]) - (true - true[:, :, WRIST : WRIST + 1])
    distance: Tensor = torch.linalg.vector_norm(gap, dim=-1)
    return distance


def wrist_errors(decoded: Decoded, batch: SceneBatch) -> Tensor:
    """Distances (B,) in metres of the left wrist from where it is, the right one being at its true depth (MRRPE)."""
    if decoded.wrist_depth is None:
        raise ValueError("expected a network that tells the relative depth of the wrists (relative_depth=True)")
    near = batch.joints[:, RIGHT, WRIST, 2]
    z = torch.stack((near, near + decoded.wrist_depth), dim=1)
    wrists = back_projected(decoded.uv[:, :, WRIST], z, batch.intrinsics)
    found, true = wrists[:, LEFT] - wrists[:, RIGHT], batch.joints[:, LEFT, WRIST] - batch.joints[:, RIGHT, WRIST]
    distance: Tensor = torch.linalg.vector_norm(found - true, dim=-1)
    return distance


def measured(decoded: Decoded, batch: SceneBatch) -> dict[str, Measured]:
    """Root-relative MPJPE in mm of all hands, of single and of paired ones, the error in the picture in pixels of the
    crop, MRRPE in mm, and how often it is told right which hands are there; the last two where the network has the
    heads."""
    known = batch.valid & batch.valid[:, :, WRIST : WRIST + 1]
    both = batch.present.all(dim=1)
    error = 1e3 * joint_errors(decoded, batch)
    pixels = torch.linalg.vector_norm(decoded.uv - batch.uv, dim=-1)
    values = {
        "mpjpe_mm": mean_of(error, known),
        "mpjpe_single_mm": mean_of(error, known & ~both[:, None, None]),
        "mpjpe_interacting_mm": mean_of(error, known & both[:, None, None]),
        "error_px": mean_of(pixels, known),
    }
    if decoded.wrist_depth is not None:
        pairs = known[:, :, WRIST].all(dim=1)
        values["mrrpe_mm"] = mean_of(1e3 * wrist_errors(decoded, batch), pairs)
    if decoded.presence is not None:
        right = ((decoded.presence > 0.5) == batch.present).float()
        values["presence"] = float(right.mean()), float(right.numel())
    return values


def mean_of(values: Tensor, counted: Tensor) -> Measured:
    """Mean of the values that are counted, and how many they are."""
    count = float(counted.sum())
    return (float(values[counted].double().mean()) if count else 0.0), count
