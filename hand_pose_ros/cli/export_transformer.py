"""`hand_pose export keypoint_transformer`: our checkpoints, measured and with a card, or one of the authors'."""

from __future__ import annotations

import argparse
from itertools import islice
from typing import Any

from hand_pose_ros.cli.errors import UsageError, load
from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.datasets.base import Reading
from hand_pose_ros.datasets.scene_shards import StoredScenes
from hand_pose_ros.engines.factory import create_engine
from hand_pose_ros.evaluation.report import facts
from hand_pose_ros.evaluation.scene_benchmark import figures, look_at, synthetic_model
from hand_pose_ros.evaluation.scene_calibration import card_figures, measure_deviations
from hand_pose_ros.geometry.scene_crop import WINDOW_MARGIN
from hand_pose_ros.hand_model.mano_file import ModelFileError
from hand_pose_ros.options import ConfigError
from hand_pose_ros.pipeline.hand_models import load_hand_models
from hand_pose_ros.pipeline.keypoint_transformer import KeypointTransformerNetwork
from hand_pose_ros.skeleton import Side

PUBLISHED = ("interhand", "interhand_mano", "ho3d", "h2o3d")


def export(args: argparse.Namespace) -> int:
    """Run the command for this model. Half of the validation scenes tell the deviations, the others the errors."""
    deploy = load("hand_pose_ros.training.keypoint_transformer_deploy")
    load("onnx")
    about = {"data": args.data} if args.data else {}
    about |= {"command": args.training} if args.training else {}
    if args.checkpoint.suffix != ".ckpt":
        return _published(args, about)
    if args.validation is None or not args.validation.is_dir():
        raise UsageError("--validation: expected a folder of shards of scenes to measure on")
    training = load("hand_pose_ros.training.keypoint_transformer_training")
    try:
        network = training.trained(args.checkpoint)
        if args.depth_look is not None:
            network = load("hand_pose_ros.training.depth_look").with_look(network, args.depth_look)
    except load("hand_pose_ros.training.errors").TrainingError as error:
        raise UsageError(str(error)) from error
    scenes = StoredScenes(args.validation, Reading(depth=network.config.depth))
    margin = training.PLANS["ours"].training.margin
    # Angles alone cannot be measured against joints.
    folder = "" if args.hand_model is None and network.config.representation == "angles" else args.hand_model
    layers = _hand_layers(folder, network)
    deploy.export_transformer(network, args.out, margin, False, args.batch, args.half_weights, layers)
    reader = KeypointTransformerNetwork(create_engine(args.out, "onnxruntime", 1))
    half = len(scenes) // 2
    stated = measure_deviations(islice(scenes, half), reader).stated()
    # Opened again: what the file states now is what its presences mean.
    deploy.describe(network, args.out, stated, {})
    reader = KeypointTransformerNetwork(create_engine(args.out, "onnxruntime", 1))
    results = look_at((scenes[index] for index in range(half, len(scenes))), reader, synthetic_model)
    measured = card_figures(figures(results), results)
    about = {"data": "synthetic, `hand_pose synth scenes`", **about, **measured}
    deploy.describe(network, args.out, stated, about)
    if args.save_weights is not None:
        load("hand_pose_ros.training.run").save_weights(network, args.save_weights, args.half_weights)
    print(facts("Validation", {**measured, **stated}).text() + "\n")
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB; card: {args.out.with_suffix('.md')}")
    return 0


def _published(args: argparse.Namespace, about: dict[str, str]) -> int:
    """A file of the authors, as it is."""
    if args.published not in PUBLISHED:
        raise UsageError(f"--published: expected one of {', '.join(PUBLISHED)} for {args.checkpoint.name}")
    for name in ("validation", "save_weights"):
        if getattr(args, name) is not None:
            raise UsageError(
                f"--{name.replace('_', '-')}: not for a checkpoint of the authors, which is taken as it is"
            )
    networks = load("hand_pose_ros.networks.keypoint_transformer")
    checkpoint, deploy = (
        load(f"hand_pose_ros.{name}")
        for name in ("networks.keypoint_transformer.checkpoint", "training.keypoint_transformer_deploy")
    )
    network = networks.KeypointTransformer(networks.published(args.published))
    try:
        checkpoint.load_checkpoint(network, args.checkpoint)
    except checkpoint.WrongCheckpoint as error:
        raise UsageError(str(error)) from error
    layers = _hand_layers(args.hand_model, network)
    deploy.export_transformer(network, args.out, WINDOW_MARGIN, network.config.objects, args.batch, hand_layers=layers)
    deploy.describe(network, args.out, {}, {"source": f"{args.checkpoint.name} ({args.published})", **about})
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB; its deviations are not measured")
    return 0


def _hand_layers(folder: str | None, network: Any) -> tuple[Any, Any] | None:
    """The hand of each side for `export_onnx`, right and left, "" for the bundled one; None where the graph gives what
    the network gives."""
    if folder is None:
        return None
    if network.config.representation != "angles":
        raise UsageError(
            f"--hand-model: expected a network that gives angles, this one gives {network.config.representation!r}, "
            "joints themselves; leave the option out"
        )
    try:
        models = load_hand_models(PipelineConfig(mano_path=folder))
    except (ConfigError, ModelFileError) as error:
        raise UsageError(f"--hand-model: {error}") from error
    layer = load("hand_pose_ros.hand_model.torch_model").TorchHandModel
    return layer(models[Side.RIGHT]), layer(models[Side.LEFT])
