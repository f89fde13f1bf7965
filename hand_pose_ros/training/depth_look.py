"""Training of the last look at each hand's depth (`networks.handformer2t.depth_look`): `hand_pose train depth_look`.

It begins as Keypoint-Fusion's depth branch and learns with that one's losses, on the hands of scenes. Its cubes are
laid about true joints that are as wrong as those found are, so that it serves every network of two hands.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from hand_pose_ros.networks.backbones.pictures import with_relief
from hand_pose_ros.networks.handformer2t import Handformer2T
from hand_pose_ros.networks.handformer2t.config import DEPTH_RANGE
from hand_pose_ros.networks.handformer2t.depth_look import CUBE, DepthLook, DepthWindows, cube_depths, depth_windows
from hand_pose_ros.networks.keypoint_fusion import awr
from hand_pose_ros.networks.keypoint_fusion.config import CROP_SIZE
from hand_pose_ros.networks.keypoint_transformer import KeypointTransformer
from hand_pose_ros.skeleton import WRIST
from hand_pose_ros.training import checkpoints
from hand_pose_ros.training.encoder_start import take_over
from hand_pose_ros.training.errors import TrainingError
from hand_pose_ros.training.fabric import share_of
from hand_pose_ros.training.handformer2t_closer import SIDES, disturbed, measured_hands, whole_hands
from hand_pose_ros.training.handformer2t_losses import rle
from hand_pose_ros.training.handformer2t_module import mean_of
from hand_pose_ros.training.handformer2t_options import PLACED_PLAN, assembled
from hand_pose_ros.training.length import steps_in_all
from hand_pose_ros.training.losses import KeypointFusionLossConfig, smooth_l1, weighted_mean
from hand_pose_ros.training.muon import MOMENTUM, Muon, hidden_apart
from hand_pose_ros.training.optimisation import AveragedModule, Measured, Schedule
from hand_pose_ros.training.run import Data, RunSettings, resumed, train
from hand_pose_ros.training.scene_crops import SceneBatch
from hand_pose_ros.training.scene_sources import SceneData, open_sources

# Side of the scenes' crops in pixels, as the networks of two hands take them.
CROP: Final = 128
BATCH: Final = 64
RATE: Final = 2e-3
_AVERAGE: Final = 0.997
_DECAY: Final = 0.01
_DECAY_PART: Final = 0.6
# How wrong depths behind the wrist are, metres: of each joint, and of a hand's far end.
_DEPTHS_WRONG: Final = 0.012
_TILTED: Final = 0.02
# Cubes that show a hand as one of the other side, and weights of what Keypoint-Fusion has no loss of.
_OTHER_SIDE: Final = 0.2
_SIDE: Final = 0.03
_SPREAD: Final = 0.01
_BRANCH: Final = "depth_branch."
_LOOK: Final = "depth_look."
_LOSSES: Final = KeypointFusionLossConfig()


@dataclass(frozen=True)
class DepthLookOptions:
    """What is trained, and on what.

    Attributes:
        data: scenes with depth.
        batch_size, learning_rate: None: ours.
        samples, steps: length of the training in scenes or optimiser steps.
        encoder: weights of a Keypoint-Fusion of the size lite, whose depth branch it begins as.
    """

    data: SceneData
    batch_size: int | None = None
    learning_rate: float | None = None
    samples: int | None = None
    steps: int | None = None
    encoder: Path | None = None


class Shown(NamedTuple):
    """Cubes of a batch, depth (B * 2, 1, 128, 128) in them, truth (B, 2, 21, 3) uvd_nl, which are shown as of their
    side (B, 2), and which count (B, 2)."""

    cubes: DepthWindows
    depth: Tensor
    truth: Tensor
    right: Tensor
    counted: Tensor


class DepthLookModule(AveragedModule):
    """Keypoint-Fusion's losses of the depth branch, and a Laplace density's of the spread."""

    monitor = "mpjpe_mm"

    def __init__(self, schedule: Schedule) -> None:
        super().__init__(DepthLook(), schedule, decay=_AVERAGE)

    def heavy_parts(self) -> Sequence[nn.Module]:
        """All convolutions."""
        return [cast(DepthLook, self.network).branch]

    def configuration(self) -> dict[str, Any]:
        """That it is one."""
        return {"network": "depth_look"}

    def optimizer(self) -> torch.optim.Optimizer:
        """Muon for the convolutions of encoder and decoder, AdamW for what remains."""
        branch = cast(DepthLook, self.network).branch
        hidden, rest = hidden_apart(self.network, [branch.encoder, branch.decoder])
        groups: list[dict[str, Any]] = [
            {"params": hidden, "weight_decay": self.schedule.weight_decay, "momentum": MOMENTUM},
            {"params": [weight for _, weight in rest], "weight_decay": 0.0},
        ]
        return Muon(groups, self.schedule.learning_rate)

    def loss(self, batch: SceneBatch) -> dict[str, Tensor]:
        """Its terms."""
        network = cast(DepthLook, self.network)
        with torch.no_grad():
            shown = shown_in(batch, _OTHER_SIDE)
            kept = shown.counted.flatten()
            truth, right = shown.truth.flatten(0, 1)[kept], shown.right.flatten()[kept]
        found = network.look(shown.depth[kept])
        with torch.no_grad():
            target = awr.target(truth, found.depth, network.grid)
        # What is shown as a hand of the other side teaches which side that is, nothing else.
        weight = right.float()
        # Halves: of the window's side.
        every = torch.ones_like(found.spread)
        spread = rle(found.joints.detach() / 2, found.spread, truth / 2, every, None, "laplace").mean(dim=-1)
        terms = {
            "pixel_depth": _LOSSES.pixel * smooth_l1(found.maps[:, : awr.TARGET_CHANNELS], target, weight),
            "joints_depth": _LOSSES.joints * smooth_l1(found.joints, truth, weight),
            "side": _SIDE * functional.binary_cross_entropy_with_logits(found.side, weight),
            # Touches nothing but what tells it.
            "spread": _SPREAD * weighted_mean(spread, weight),
        }
        return {**terms, "total": torch.stack(list(terms.values())).sum()}

    @torch.no_grad()
    def evaluate(self, batch: SceneBatch) -> dict[str, Measured]:
        """Of the averaged network: MPJPE in mm from the wrist of all hands, of single and of paired ones, each shown as
        of its side, wrists at their true depth; the error of the wrist's own depth; and how many sides are told
        right."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            shown = shown_in(batch, 0.0)
            torch.manual_seed(0)
            other = shown_in(batch, 1.0)
        network = cast(DepthLook, self.average.network)
        found = network.look(shown.depth)
        sides = (found.side > network.look(other.depth).side).reshape(shown.counted.shape)
        votes = found.joints.reshape(shown.truth.shape)
        pose = shown.cubes.pose_of(votes)
        deep = 1e3 * CUBE / 2 * (votes - shown.truth)[:, :, WRIST, 2].abs()
        return {
            **measured_hands(pose, batch, shown.counted, CROP),
            "wrist_depth_mm": mean_of(deep, shown.counted),
            "side": mean_of(sides.float(), shown.counted),
        }


def shown_in(batch: SceneBatch, other_side: float) -> Shown:
    """Cubes about the hands of a batch, laid about poses that are somewhat wrong; this part shows them mirrored.

    Raises:
        TrainingError: the scenes have no depth.
    """
    if batch.relief is None or batch.view is None:
        raise TrainingError("depth_look: expected scenes with depth; `hand_pose synth scenes` makes them (depth.npy)")
    poses, whole = whole_hands(batch, CROP)
    depths = poses[..., 2]
    away = (poses[..., :2] - poses[:, :, WRIST : WRIST + 1, :2]).norm(dim=-1)
    tilt = _TILTED * torch.randn_like(depths[..., :1]) * away / away.amax(dim=-1, keepdim=True).clamp(min=1e-3)
    wrong = depths + (_DEPTHS_WRONG * torch.randn_like(depths) + tilt) / DEPTH_RANGE
    given = torch.cat((disturbed(poses[..., :2]), wrong[..., None]), dim=-1)
    image = with_relief(batch.rgb, batch.relief)
    right = torch.rand(whole.shape, device=poses.device) >= other_side
    sides = poses.new_tensor(SIDES).expand_as(whole)
    cubes = depth_windows(image, batch.view, given, torch.where(right, sides, -sides))
    wrists = batch.joints[:, :, WRIST, 2] - batch.view[:, 1:]
    truth = cubes.votes_of(poses, wrists)
    # A cube about something else teaches nothing.
    counted = whole & cubes.known & (truth.mean(dim=2).abs() < 0.6).all(dim=-1)
    return Shown(cubes, cube_depths(image, cubes, CROP_SIZE), truth, right, counted)


def trained(path: Path) -> Mapping[str, Tensor]:
    """Averaged weights of a `DepthLook` from a checkpoint of `run_depth_look`.

    Raises:
        TrainingError: no checkpoint, or of another network.
    """
    state = checkpoints.read(path)
    if state.get("network", {}).get("network") != "depth_look":
        raise TrainingError(f"{path}: expected a checkpoint of `hand_pose train depth_look`")
    return checkpoints.load_averaged(DepthLookModule(Schedule(steps=1)), path).state_dict()


_Network = TypeVar("_Network", Handformer2T, KeypointTransformer)


def with_look(network: _Network, path: Path) -> _Network:
    """The network with the depth look of a checkpoint, in place of its own if it has one.

    Raises:
        TrainingError: no checkpoint, of another network, or a network that reads no depth.
    """
    weights = {f"{_LOOK}{name}": value for name, value in trained(path).items()}
    try:
        looking = type(network)(dataclasses.replace(network.config, depth_look=True))  # type: ignore[arg-type]
    except ValueError as error:
        raise TrainingError(f"{path}: {error}") from error
    kept = {name: value for name, value in network.state_dict().items() if not name.startswith(_LOOK)}
    looking.load_state_dict({**kept, **weights})
    return looking


def run_depth_look(options: DepthLookOptions, settings: RunSettings) -> Path:
    """Train (or go on training); returns the last checkpoint. `settings.steps` is not read: the options say how long.

    Raises:
        TrainingError: what is asked for cannot be trained; the text says why.
    """
    size = options.batch_size or BATCH
    sources = open_sources(options.data, share_of(size), settings.seed)
    steps = steps_in_all(options.steps, options.samples, None, size, sources.batches_per_epoch)
    rate = RATE if options.learning_rate is None else options.learning_rate
    module = DepthLookModule(Schedule(steps, rate, _DECAY, warmup=50, decay_part=_DECAY_PART))
    if options.encoder is not None and not resumed(settings):
        begin(module, options.encoder)
    augmentation = PLACED_PLAN.training
    with_depth = dataclasses.replace(augmentation, no_depth=0.0)
    data = Data(
        sources.training,
        sources.validation,
        sources.count,
        assembled(with_depth, CROP, True),
        assembled(PLACED_PLAN.validation, CROP, True),
    )
    return train(module, data, dataclasses.replace(settings, steps=steps))


def begin(module: DepthLookModule, weights: Path) -> None:
    """Begin as the depth branch of Keypoint-Fusion's weights (`hand_pose export --save-weights`)."""
    learnt: Any = torch.load(weights, map_location="cpu", weights_only=True)
    if not checkpoints.are_weights(learnt):
        raise TrainingError(f"{weights}: expected weights of a Keypoint-Fusion network")
    network = cast(DepthLook, module.network)
    start = {
        "branch." + name.removeprefix(_BRANCH): value.float() if value.is_floating_point() else value
        for name, value in learnt.items()
        if name.startswith(_BRANCH)
    }
    take_over(network, start, ("branch.",))
    module.start_from(network.state_dict())
