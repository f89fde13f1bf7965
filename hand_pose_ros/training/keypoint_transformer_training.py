"""Training of any Keypoint Transformer on scenes of two hands: `hand_pose train keypoint_transformer`.

The published recipes are those of the code (fact sheet, section 7): a constant rate, a tenth of it for encoder and
decoder, true keypoints for the first sixth of the epochs. The paper's separate pre-training of the detector is not in
the published code; ours has it (`detector_part`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import torch

from hand_pose_ros.networks.keypoint_transformer import KeypointTransformer, KeypointTransformerConfig, PeakSettings
from hand_pose_ros.networks.keypoint_transformer.config import CROP_SIZE, Widths
from hand_pose_ros.networks.keypoint_transformer.export import export_onnx
from hand_pose_ros.training import checkpoints
from hand_pose_ros.training.encoder_start import begin_as_handformer2t, begin_encoder
from hand_pose_ros.training.errors import TrainingError
from hand_pose_ros.training.fabric import share_of
from hand_pose_ros.training.handformer2t_weights import OF_HANDFORMER2T, seen_by
from hand_pose_ros.training.keypoint_transformer_losses import PUBLISHED_LOSSES, KeypointTransformerLossConfig
from hand_pose_ros.training.keypoint_transformer_module import Course, KeypointTransformerModule
from hand_pose_ros.training.keypoint_transformer_targets import Disturbance
from hand_pose_ros.training.length import steps_in_all
from hand_pose_ros.training.optimisation import Schedule
from hand_pose_ros.training.run import BatchSource, Data, RunSettings, begun, model_file, resumed, some, train
from hand_pose_ros.training.scene_crops import VALIDATION, SceneAugmentation, SceneBatch, scene_crops
from hand_pose_ros.training.scene_sources import SceneData, open_sources
from hand_pose_ros.training.shards import Batch
from hand_pose_ros.training.weights_of_file import GraphFile, OfFile, measure_normalisations, with_weights_of


@dataclass(frozen=True)
class ScenePlan:
    """How a training goes.

    Attributes:
        batch_size: samples per optimiser step, over all processes.
        learning_rate: the schedule's peak; image_rate: encoder's and decoder's part of it.
        falls: fractions of the training from which the rate is a tenth; empty: warm-up, constant, linear fall.
        warmup: its steps.
        decay_all: weight decay on norms and biases too.
        average: decay of the averaged weights; 0: the weights themselves.
        epochs: passes over the data; None: as many samples as are asked for.
        detector_part: of the steps, in which the maps alone are learnt; truth_part: after them, on true keypoints.
        disturbance: of the true keypoints.
        joint_maps: weight of the auxiliary maps (`keypoint_transformer_maps`).
        muon: Muon for the convolutions of encoder and decoder.
        background: see `KeypointTransformerLossConfig`.
        weights: of some losses in place of the published ones.
        training, validation: how crops are varied.
        frozen_part: of the steps, in which what another training has brought along stays as it is (`Course.frozen`).
        decay_part: last part of the steps, in which the rate falls, without `falls`.
    """

    batch_size: int
    learning_rate: float
    image_rate: float
    falls: tuple[float, ...]
    warmup: int
    decay_all: bool
    average: float
    epochs: int | None
    detector_part: float
    truth_part: float
    disturbance: Disturbance
    joint_maps: float
    muon: bool
    background: float
    weights: Mapping[str, float]
    training: SceneAugmentation
    validation: SceneAugmentation
    frozen_part: float = 0.0
    decay_part: float = 0.4


def _published(epochs: int, truth_epochs: int, around_object: bool) -> ScenePlan:
    return ScenePlan(
        batch_size=90,
        learning_rate=1e-4,
        image_rate=0.1,
        falls=(1.0,),  # never: the milestones of the published configuration are not read by its code
        warmup=0,
        decay_all=True,
        average=0.0,
        epochs=epochs,
        detector_part=0.0,
        truth_part=truth_epochs / epochs,
        disturbance=Disturbance(),
        joint_maps=0.0,
        muon=False,
        background=1.0,
        weights={},
        training=SceneAugmentation(around_object=around_object),
        validation=dataclasses.replace(VALIDATION, around_object=around_object),
    )


PLANS: Final[Mapping[str, ScenePlan]] = {
    "ours": ScenePlan(
        batch_size=16,
        learning_rate=1e-3,
        image_rate=1.5,
        falls=(),
        warmup=100,
        decay_all=False,
        average=0.999,
        epochs=None,
        # The pictures are what takes long to understand, and half a step's arithmetic is the attention's: it comes in
        # late, and begins on keypoints that are about as good as those found later.
        detector_part=0.4,
        truth_part=0.3,
        disturbance=Disturbance(shift=1.2, missed=0.15, false=0.15),
        joint_maps=10.0,
        muon=True,
        background=0.3,
        # Everything stands on the keypoints, and on knowing which is which. With the published weights the poses'
        # gradients drown the heat map's in a short training.
        weights={"heat_map": 0.05, "identity": 5.0},
        # A robot's window comes from a track or a finder: displaced and of another size; hands are seldom upside down.
        training=SceneAugmentation(shift=0.12, scale=0.2, roll_part=0.8, roll_std=0.4, color_noise=0.03),
        validation=VALIDATION,
    ),
    "interhand": _published(30, 5, False),
    "objects": _published(150, 25, True),
}
# "ours" of networks with maps by place, which another training has brought along: they tell identities from the first
# step on, so nothing but the heat map waits for anything.
_PLACED: Final = dataclasses.replace(
    PLANS["ours"],
    batch_size=64,
    learning_rate=2e-3,
    average=0.997,
    detector_part=0.0,
    truth_part=0.0,
    joint_maps=1.0,
    decay_part=0.6,
    weights={"heat_map": 0.02, "identity": 5.0, "hand_translation": 200.0},
    # As the maps were taught.
    training=SceneAugmentation(shift=0.08, scale=0.15, roll_std=0.25, color_gain=0.25, color_noise=0.03),
)
# A camera for places, where maps tell them; it is left out of the graph.
_UNREAD: Final = ("heads.camera.",)
# Their keypoints: small crops have few pixels per joint (docs/keypoint_transformer.md).
_PLACED_THRESHOLD: Final = 10.0
_PLACED_FIELDS: Final[Mapping[str, Any]] = {"heat_spread": 0.8, "joint_radius": 6.0}


@dataclass(frozen=True)
class TransformerOptions:
    """What is trained, and on what.

    Attributes:
        data: what is trained on and measured on.
        config: the network.
        recipe: one of `PLANS`.
        batch_size, learning_rate, detector_steps, truth_steps: None: the recipe's.
        samples, steps, epochs: length of the training, the first that is given; none: the recipe's epochs, or
            1,000,000 samples.
        encoder: weights that ours begins with: of a Keypoint-Fusion, whose colour encoder is taken, or a checkpoint or
            weights of a placed Handformer2T, whose encoder and decoder are (`encoder_start`).
    """

    data: SceneData
    config: KeypointTransformerConfig
    recipe: str = "ours"
    batch_size: int | None = None
    learning_rate: float | None = None
    detector_steps: int | None = None
    truth_steps: int | None = None
    samples: int | None = None
    steps: int | None = None
    epochs: int | None = None
    encoder: Path | None = None


def network_config(**fields: Any) -> KeypointTransformerConfig:
    """The network of these fields of `KeypointTransformerConfig`, which may come from a checkpoint's `network` entry.

    Raises:
        TrainingError: there is no such network; the text says what there is.
    """
    if not fields:
        raise TrainingError(
            "checkpoint: expected one of `hand_pose train keypoint_transformer`, got one without its network"
        )
    if isinstance(fields.get("peaks"), Mapping):
        fields["peaks"] = PeakSettings(**fields["peaks"])
    elif "peaks" not in fields and "crop" in fields:
        # The same part of the crop as the published five pixels of 128.
        radius = max(round(PeakSettings().radius * fields["crop"] / CROP_SIZE), 1)
        threshold = _PLACED_THRESHOLD if fields.get("placed") else PeakSettings().hand_threshold
        fields["peaks"] = PeakSettings(hand_threshold=threshold, radius=radius)
    if fields.get("placed"):
        fields = {**_PLACED_FIELDS, **fields}
    if isinstance(fields.get("widths"), Mapping):
        fields["widths"] = Widths(**fields["widths"])
    try:
        return KeypointTransformerConfig(**fields)
    except (TypeError, ValueError) as error:
        raise TrainingError(str(error)) from error


def trained(checkpoint: Path) -> KeypointTransformer:
    """The averaged network of a checkpoint of `run_transformer`, of whatever size it is, or that of a model file
    (`of_file`).

    Raises:
        TrainingError: no checkpoint, or not one of `hand_pose train keypoint_transformer`.
    """
    if checkpoint.suffix == ".onnx":
        return of_file(checkpoint).network
    state = checkpoints.read(checkpoint)
    module = KeypointTransformerModule(network_config(**state.get("network", {})), Schedule(steps=1))
    learnt = {name: value for name, value in state["state_dict"].items() if not name.startswith("beside.")}
    checkpoints.load_module(module, {**state, "state_dict": learnt}, checkpoint)
    return cast(KeypointTransformer, module.average.network)


def of_file(path: Path) -> OfFile[KeypointTransformer]:
    """The network of an exported file of our own training, as it runs.

    Raises:
        TrainingError: the file is missing, of another network, or of the authors' (whose checkpoint has the weights).
    """
    file = GraphFile(path)
    file.expect("keypoint_transformer")
    if file.stated("variant") != "default":
        raise TrainingError(
            f"{path}: expected a network of our training, got the authors'; go on from their checkpoint"
        )
    config = network_config(
        size=file.stated("size"),
        decoder=file.stated("decoder", "small"),
        representation=file.stated("representation"),
        self_layers=file.number("self_layers"),
        cross_layers=file.number("cross_layers"),
        crop=file.picture,
        objects=file.has("object_rotation"),
        depth=file.has("relief"),
        placed=file.holds("placed."),
        depth_look=file.has("view"),
    )

    def export(network: KeypointTransformer, to: Path) -> None:
        export_onnx(network, to, {})

    return with_weights_of(KeypointTransformer(config), file, export, _UNREAD)


def losses_of(
    config: KeypointTransformerConfig, weights: Mapping[str, float], background: float = 1.0
) -> KeypointTransformerLossConfig:
    """The published weights, but for these; with the published code's rules for its own variant."""
    rules = PUBLISHED_LOSSES if config.variant == "authors" else KeypointTransformerLossConfig()
    return dataclasses.replace(rules, weights={**rules.weights, **weights}, background=background)


def run_transformer(options: TransformerOptions, settings: RunSettings) -> Path:
    """Train (or go on training); returns the last checkpoint. `settings.steps` is not read: the options say how long.

    Raises:
        TrainingError: what is asked for cannot be trained; the text says why.
    """
    if options.recipe not in PLANS:
        raise TrainingError(f"recipe: expected one of {', '.join(PLANS)}, got {options.recipe!r}")
    given, config = None, options.config
    if (start := model_file(settings, options.encoder)) is not None:
        if resumed(settings):
            config = network_config(**checkpoints.read(settings.out / checkpoints.LAST).get("network", {}))
        else:
            given = of_file(start).network
            config = given.config
    plan = _PLACED if options.recipe == "ours" and config.placed else PLANS[options.recipe]
    size = options.batch_size or plan.batch_size
    sources = open_sources(options.data, share_of(size), settings.seed)
    steps = steps_in_all(options.steps, options.samples, options.epochs or plan.epochs, size, sources.batches_per_epoch)
    rate = plan.learning_rate if options.learning_rate is None else options.learning_rate
    module = KeypointTransformerModule(
        config,
        Schedule(
            steps, rate, warmup=plan.warmup, falls=plan.falls, decay_all=plan.decay_all, decay_part=plan.decay_part
        ),
        losses_of(config, plan.weights, plan.background),
        Course(
            round(plan.detector_part * steps) if options.detector_steps is None else options.detector_steps,
            round(plan.truth_part * steps) if options.truth_steps is None else options.truth_steps,
            plan.disturbance,
            round(plan.frozen_part * steps) if options.encoder is not None else 0,
        ),
        plan.image_rate,
        plan.average,
        plan.joint_maps,
        plan.muon,
    )
    if given is not None:
        crops = partial(_assemble, augmentation=plan.validation, config=config)
        measure_normalisations(given, lambda: [given.see(c.rgb, c.relief) for c in some(sources.validation, crops)])
        module.start_from(given.state_dict())
    elif options.encoder is not None and not resumed(settings):
        _begin(module, options.encoder, sources.validation)
    data = Data(
        sources.training,
        sources.validation,
        sources.count,
        partial(_assemble, augmentation=plan.training, config=config),
        partial(_assemble, augmentation=plan.validation, config=config),
    )
    return train(module, data, begun(settings, steps))


def _assemble(
    batch: Batch, rng: np.random.Generator, augmentation: SceneAugmentation, config: KeypointTransformerConfig
) -> SceneBatch:
    """Crops with what the network reads or learns."""
    unread = {"depth"} if not config.depth else set()
    if not config.objects and not augmentation.around_object:
        unread |= {name for name in batch if name == "mask" or name.startswith("object_")}
    return scene_crops({name: batch[name] for name in batch if name not in unread}, rng, augmentation, config.crop)


def _begin(module: KeypointTransformerModule, weights: Path, scenes: BatchSource) -> None:
    network = module.transformer
    learnt = seen_by(weights, scenes)
    if OF_HANDFORMER2T in learnt:
        begin_as_handformer2t(network, learnt)
    else:
        _, raw = next(scenes.batches())
        pictures = scene_crops(raw, np.random.default_rng(0), VALIDATION, network.config.crop).rgb
        begin_encoder(network.backbone, learnt, torch.zeros(3, 1, 1), torch.ones(3, 1, 1), pictures)
    module.start_from(network.state_dict())
