"""What of Handformer2T can be trained, and how: options, recipes, the network they ask for, and crops for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

from hand_pose_ros.networks.handformer2t import Handformer2TConfig, Widths
from hand_pose_ros.networks.handformer2t.config import PRESETS, Size
from hand_pose_ros.training.errors import TrainingError
from hand_pose_ros.training.handformer2t_losses import Handformer2TLossConfig
from hand_pose_ros.training.scene_crops import VALIDATION, SceneAugmentation, SceneBatch, scene_crops
from hand_pose_ros.training.scene_sources import SceneData
from hand_pose_ros.training.shards import Batch

# Of stored scenes, what this network learns from.
_READ: Final = ("color", "depth", "intrinsics", "joints", "present", "valid")


@dataclass(frozen=True)
class HandsPlan:
    """How a training goes.

    Attributes:
        batch_size: samples per optimiser step, over all processes.
        learning_rate: the schedule's peak.
        falls, fall: fractions of the training from which the rate is multiplied by `fall` once more; empty: warm-up,
            constant, linear fall.
        weight_decay: of matrices.
        average: decay of the averaged weights; 0: the weights themselves.
        epochs: passes over the data; None: as many samples as are asked for.
        muon: `training.muon` for convolutions in place of AdamW.
        decay_part: last part of the training in which the rate falls, without `falls`.
        losses, training, validation: weights of the losses, and how crops are varied.
    """

    batch_size: int
    learning_rate: float
    falls: tuple[float, ...]
    fall: float
    weight_decay: float
    average: float
    epochs: int | None
    losses: Handformer2TLossConfig
    training: SceneAugmentation
    validation: SceneAugmentation = field(default=VALIDATION)
    muon: bool = False
    decay_part: float = 0.4


PLANS: Final[Mapping[str, HandsPlan]] = {
    # A robot's boxes are less wrong than the published augmentation makes them, and its camera stands upright.
    "ours": HandsPlan(
        batch_size=64,
        learning_rate=1e-3,
        falls=(),
        fall=0.1,
        weight_decay=0.01,
        average=0.999,
        epochs=None,
        losses=Handformer2TLossConfig(rle_form="laplace", direct=10.0, mmd=0.0, maps=5.0),
        training=SceneAugmentation(shift=0.08, scale=0.15, roll_std=0.25, color_gain=0.25),
    ),
    # Section 4.1: a quarter of the rate every 80 of 270 epochs; the paper gives neither batch nor augmentation (fact
    # sheet, section 8).
    "paper": HandsPlan(
        batch_size=64,
        learning_rate=1e-3,
        falls=(80 / 270, 160 / 270, 240 / 270),
        fall=0.25,
        weight_decay=0.0,
        average=0.0,
        epochs=270,
        losses=Handformer2TLossConfig(),
        training=SceneAugmentation(),
    ),
}

# What learns faster by far where compute is short (docs/handformer2t.md).
PLACED: Final[Mapping[str, Any]] = {"maps": True, "order": "place", "delta": True, "patch_channels": "learned"}
PLACED_WIDTHS: Final[Mapping[str, Mapping[str, Any]]] = {
    # Few patch channels: the file has a limit, and the last looks make up for it.
    "lite": {
        "backbone": (32, 64, 112, 160),
        "stem": 24,
        "decoder": (96, 64, 48),
        "patch_channels": (6, 6, 4),
    },
    "r34": {"decoder": (256, 128, 96)},
    "r50": {"decoder": (512, 256, 128)},
}
PLACED_PLAN: Final = dataclasses.replace(
    PLANS["ours"],
    batch_size=128,
    learning_rate=4e-3,
    average=0.997,
    muon=True,
    decay_part=0.6,
    # Half of what was wrong before was sides, and most of the rest depth.
    losses=dataclasses.replace(PLANS["ours"].losses, side=3.0, facing=15.0, map_depths=60.0),
)


@dataclass(frozen=True)
class Handformer2TOptions:
    """What is trained, and on what.

    Attributes:
        data: what is trained on and measured on.
        size: of the network.
        crop: side of its crop in pixels; None: the preset's.
        recipe: "ours" or "paper".
        batch_size, learning_rate: None: the recipe's. The batch is shared out among the processes.
        samples, steps, epochs: length of the training, the first that is given; none: the recipe's epochs, or 1,000,000
            samples.
        encoder: weights of Keypoint-Fusion whose colour encoder the encoder begins as (`encoder_start`), or of a
            Handformer2T of any crop, or its checkpoint, whose encoder, decoder and maps are taken; None: random.
        placed: our variant of the network, `PLACED`, which in the recipe "ours" learns by Muon.
        maps_only: only encoder, decoder and maps learn (`MapsModule`): cheap at a small crop, and to begin with.
        depth: the network reads depth beside colour.
        closer_only: only the closer look learns (`CloserModule`); it begins as `encoder` where that is given.
        closer: weights of such a training, whose closer look the network gets and keeps; None: a network without.
        network: other fields of `Handformer2TConfig`.
    """

    data: SceneData
    size: str = "lite"
    crop: int | None = None
    recipe: str = "ours"
    batch_size: int | None = None
    learning_rate: float | None = None
    samples: int | None = None
    steps: int | None = None
    epochs: int | None = None
    encoder: Path | None = None
    placed: bool = False
    maps_only: bool = False
    depth: bool = False
    closer_only: bool = False
    closer: Path | None = None
    network: Mapping[str, Any] = field(default_factory=dict)


def network_config(options: Handformer2TOptions) -> Handformer2TConfig:
    """The network that is asked for, with the two heads a robot needs.

    Raises:
        TrainingError: there is no such network; the text says what there is.
    """
    if options.size not in PRESETS:
        raise TrainingError(f"size: expected one of {', '.join(PRESETS)}, got {options.size!r}")
    widths = PRESETS[cast(Size, options.size)]
    widths = dataclasses.replace(widths, **PLACED_WIDTHS[options.size]) if options.placed else widths
    widths = widths if options.crop is None else dataclasses.replace(widths, crop=options.crop)
    chosen = {"size": options.size, "widths": widths, "presence": True, "relative_depth": True, "depth": options.depth}
    chosen["closer"] = options.closer_only or options.closer is not None
    return _config({**chosen, **(PLACED if options.placed else {}), **options.network})


def config_of(configuration: Mapping[str, Any]) -> Handformer2TConfig:
    """The network of a checkpoint's `network` entry.

    Raises:
        TrainingError: it describes no Handformer2T.
    """
    fields = dict(configuration)
    if "widths" not in fields:
        raise TrainingError("checkpoint: expected one of `hand_pose train handformer2t`, got another network's")
    if fields["widths"] is not None:
        fields["widths"] = Widths(**fields["widths"])
    return _config(fields)


def _config(fields: Mapping[str, Any]) -> Handformer2TConfig:
    try:
        return Handformer2TConfig(**fields)
    except (TypeError, ValueError) as error:
        raise TrainingError(str(error)) from error


def assembled(
    augmentation: SceneAugmentation, crop: int, depth: bool = False
) -> Callable[[Batch, np.random.Generator], SceneBatch]:
    """What makes a batch of stored scenes into crops for this network (see `run.Data`), with depth or without."""
    return partial(_assemble, augmentation=augmentation, crop=crop, depth=depth)


def _assemble(
    batch: Batch, rng: np.random.Generator, augmentation: SceneAugmentation, crop: int, depth: bool
) -> SceneBatch:
    read: Batch = {name: batch[name] for name in _READ if name in batch and (depth or name != "depth")}
    return scene_crops(read, rng, augmentation, crop)
