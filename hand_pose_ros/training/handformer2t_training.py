"""Training of any Handformer2T on scenes of two hands: `hand_pose train handformer2t`."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np

from hand_pose_ros.networks.handformer2t import Handformer2T
from hand_pose_ros.training import checkpoints
from hand_pose_ros.training.encoder_start import begin_encoder
from hand_pose_ros.training.errors import TrainingError
from hand_pose_ros.training.fabric import share_of
from hand_pose_ros.training.handformer2t_closer import CloserModule, begin_closer, take_closer
from hand_pose_ros.training.handformer2t_maps_module import MapsModule, begin_maps
from hand_pose_ros.training.handformer2t_module import Handformer2TModule
from hand_pose_ros.training.handformer2t_options import (
    PLACED_PLAN,
    PLANS,
    Handformer2TOptions,
    HandsPlan,
    assembled,
    config_of,
    network_config,
)
from hand_pose_ros.training.handformer2t_weights import OF_HANDFORMER2T, learnt_by, measured_on, of_file, seen_by
from hand_pose_ros.training.length import steps_in_all
from hand_pose_ros.training.optimisation import Schedule
from hand_pose_ros.training.run import BatchSource, Data, RunSettings, begun, model_file, resumed, train
from hand_pose_ros.training.scene_crops import VALIDATION
from hand_pose_ros.training.scene_sources import open_sources


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
