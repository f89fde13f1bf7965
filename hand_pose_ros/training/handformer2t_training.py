"""Training of any Handformer2T on scenes of two hands: `hand_pose train handformer2t`."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import torch
from torch import Tensor

from hand_pose_ros.networks.backbones.pictures import COLORS
from hand_pose_ros.networks.handformer2t import Handformer2T, Handformer2TConfig, Widths
from hand_pose_ros.networks.handformer2t.config import PRESETS, Size
from hand_pose_ros.networks.handformer2t.export import export_onnx
from hand_pose_ros.training import checkpoints
from hand_pose_ros.training.encoder_start import begin_encoder
from hand_pose_ros.training.errors import TrainingError
from hand_pose_ros.training.fabric import share_of
from hand_pose_ros.training.handformer2t_closer import CLOSER, CloserModule, begin_closer, take_closer
from hand_pose_ros.training.handformer2t_losses import Handformer2TLossConfig
from hand_pose_ros.training.handformer2t_maps_module import MapsModule, begin_maps
from hand_pose_ros.training.handformer2t_module import Handformer2TModule
from hand_pose_ros.training.length import steps_in_all
from hand_pose_ros.training.optimisation import Schedule
from hand_pose_ros.training.run import BatchSource, Data, RunSettings, begun, model_file, resumed, some, train
from hand_pose_ros.training.scene_crops import VALIDATION, SceneAugmentation, SceneBatch, scene_crops
from hand_pose_ros.training.scene_sources import SceneData, open_sources
from hand_pose_ros.training.shards import Batch
from hand_pose_ros.training.weights_of_file import GraphFile, OfFile, measure_normalisations, with_weights_of

_AVERAGE: Final = "average.network."
_ELEMENTS: Final = "coarse.tokens.features.element_index"
_LARGEST_CROP: Final = 512
# Sides by tokens, which looks replace: a graph with looks has none of it.
_REPLACED: Final = ("side.", "facing_gain")
# A name that Handformer2T's weights have and Keypoint-Fusion's lack.
OF_HANDFORMER2T: Final = "backbone.conv1.weight"
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


def trained(checkpoint: Path) -> Handformer2T:
    """The averaged network of a checkpoint of `run_handformer2t`, of whatever size it is, weights alone of our variant,
    or that of a model file (`of_file`).

    Raises:
        TrainingError: no checkpoint, or not one of `hand_pose train handformer2t`.
    """
    if checkpoint.suffix == ".onnx":
        return of_file(checkpoint).network
    if checkpoint.suffix == ".pt":
        return _of_weights(checkpoint)
    state = checkpoints.read(checkpoint)
    network = Handformer2T(config_of(state.get("network", {})))
    weights = state["state_dict"]
    # What was trained along with it (flows or none) is of no interest here.
    network.load_state_dict(
        {name.removeprefix(_AVERAGE): value for name, value in weights.items() if name.startswith(_AVERAGE)}
    )
    return network


def of_file(path: Path) -> OfFile[Handformer2T]:
    """The network of an exported file of our variant, as it runs; what its graph does not read (sides by tokens, where
    looks tell them) is as before any training.

    Raises:
        TrainingError: the file is missing or of another network.
    """
    file = GraphFile(path)
    file.expect("handformer2t")
    closer = file.holds("closer.")
    options = Handformer2TOptions(
        SceneData(()),
        size=file.stated("size"),
        crop=file.picture // 2 if closer else file.picture,
        placed=file.holds("maps."),
        depth=file.has("relief"),
        closer_only=closer,
        network={"stages": file.number("stages"), "depth_look": file.has("view")},
    )

    def export(network: Handformer2T, to: Path) -> None:
        export_onnx(network, to, {})

    return with_weights_of(Handformer2T(network_config(options)), file, export, _REPLACED)


def measured_on(network: Handformer2T, scenes: BatchSource) -> Handformer2T:
    """A network of a file, ready to go on learning: its normalisations know what they see in scenes."""
    crops = assembled(VALIDATION, network.config.picture, network.config.depth)
    measure_normalisations(network, lambda: [network(c.rgb, c.relief, c.view) for c in some(scenes, crops)])
    return network


def learnt_by(path: Path) -> Mapping[str, Tensor]:
    """Weights to begin with: of a checkpoint of `run_handformer2t` or an exported file, or a file of weights alone of
    whatever network.

    Raises:
        TrainingError: not a checkpoint of `hand_pose train handformer2t`.
    """
    if path.suffix in (".ckpt", ".onnx"):
        return trained(path).state_dict()
    weights: Mapping[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return weights


def seen_by(path: Path, scenes: BatchSource) -> Mapping[str, Tensor]:
    """Weights for an encoder that goes on learning (see `learnt_by`); those of an exported file are measured first.

    Raises:
        TrainingError: not a checkpoint of `hand_pose train handformer2t`.
    """
    if path.suffix == ".onnx":
        return measured_on(of_file(path).network, scenes).state_dict()
    return learnt_by(path)


def _of_weights(path: Path) -> Handformer2T:
    """Our variant of these weights. Its crop is that whose levels leave as many single elements to draw; it reads depth
    where its first layer has channels for it."""
    weights: Any = torch.load(path, map_location="cpu", weights_only=True) if path.is_file() else None
    if not checkpoints.are_weights(weights) or _ELEMENTS not in weights or OF_HANDFORMER2T not in weights:
        raise TrainingError(f"{path}: expected weights of `hand_pose export handformer2t --save-weights`")
    closer = any(name.startswith(CLOSER) for name in weights)
    depth = weights[OF_HANDFORMER2T].shape[1] > COLORS
    refiners = {name.split(".")[1] for name in weights if name.startswith("refiners.")}
    chosen = {"stages": 1 + len(refiners), "depth_look": any(name.startswith("depth_look.") for name in weights)}
    for size, sides in itertools.product(PRESETS, range(2, _LARGEST_CROP // 32 + 1)):
        try:
            config = network_config(
                Handformer2TOptions(
                    SceneData(()),
                    size=size,
                    crop=32 * sides,
                    placed=True,
                    depth=depth,
                    closer_only=closer,
                    network=chosen,
                )
            )
        except TrainingError:  # the size's features are not made for so large a crop
            continue
        if config.elements(0) != len(weights[_ELEMENTS]):
            continue
        network = Handformer2T(config)
        try:
            network.load_state_dict(weights)
        except RuntimeError:
            continue
        return network
    raise TrainingError(f"{path}: expected weights of a network that --placed makes, these are another's")


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


def run_handformer2t(options: Handformer2TOptions, settings: RunSettings) -> Path:
    """Train (or go on training); returns the last checkpoint. `settings.steps` is not read: the options say how long.

    Raises:
        TrainingError: what is asked for cannot be trained; the text says why.
    """
    given = None
    if (start := model_file(settings, options.encoder, options.closer)) is None:
        config = network_config(options)
    elif resumed(settings):
        config = config_of(checkpoints.read(settings.out / checkpoints.LAST).get("network", {}))
    else:
        given = of_file(start).network
        config = given.config
    chosen = _plan(options, config.maps)
    size = options.batch_size or chosen.batch_size
    sources = open_sources(options.data, share_of(size), settings.seed)
    steps = steps_in_all(
        options.steps, options.samples, options.epochs or chosen.epochs, size, sources.batches_per_epoch
    )
    rate = chosen.learning_rate if options.learning_rate is None else options.learning_rate
    schedule = Schedule(
        steps, rate, chosen.weight_decay, falls=chosen.falls, fall=chosen.fall, decay_part=chosen.decay_part
    )
    kind = MapsModule if options.maps_only else CloserModule if options.closer_only else Handformer2TModule
    module = kind(config, schedule, chosen.losses, decay=chosen.average, muon=chosen.muon)
    if given is not None:
        module.start_from(measured_on(given, sources.validation).state_dict())
    elif not resumed(settings):
        _begin(module, options, sources.validation)
    data = Data(
        sources.training,
        sources.validation,
        sources.count,
        assembled(chosen.training, module.crop, config.depth),
        assembled(chosen.validation, module.crop, config.depth),
    )
    return train(module, data, begun(settings, steps))


def _plan(options: Handformer2TOptions, placed: bool) -> HandsPlan:
    if options.recipe not in PLANS:
        raise TrainingError(f"recipe: expected one of {', '.join(PLANS)}, got {options.recipe!r}")
    if options.maps_only and not placed:
        raise TrainingError("maps_only: only a network with maps of its own can learn them alone; ask for placed too")
    if options.closer_only and (options.maps_only or options.closer is not None):
        raise TrainingError("closer_only: expected neither maps_only nor closer beside it")
    return PLACED_PLAN if placed and options.recipe == "ours" else PLANS[options.recipe]


def _begin(module: Handformer2TModule, options: Handformer2TOptions, scenes: BatchSource) -> None:
    network = cast(Handformer2T, module.network)
    if options.encoder is not None:
        _begin_seeing(module, network, options.encoder, scenes)
        if options.closer_only:
            begin_closer(network)
    if options.closer is not None:
        take_closer(network, learnt_by(options.closer))
    module.start_from(network.state_dict())


def _begin_seeing(module: Handformer2TModule, network: Handformer2T, weights: Path, scenes: BatchSource) -> None:
    learnt = seen_by(weights, scenes)
    if OF_HANDFORMER2T in learnt:
        begin_maps(network, learnt)
    else:
        _, raw = next(scenes.batches())
        pictures = assembled(VALIDATION, module.crop)(raw, np.random.default_rng(0)).rgb
        begin_encoder(network.backbone, learnt, network.mean, network.deviation, pictures)
