"""`hand_pose train`: a network in pieces that resume."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any, Final

from hand_pose_ros.cli.errors import UsageError, load
from hand_pose_ros.cli.settings import add_option
from hand_pose_ros.cli.train_hands import HAND_SIDES, HAND_TRUST, hand_sides, hand_trust
from hand_pose_ros.datasets.synthetic.spec import SyntheticConfig
from hand_pose_ros.options import build, options

KPT_FUSION: Final = "kpt_fusion"
HANDFORMER2T: Final = "handformer2t"
KEYPOINT_TRANSFORMER: Final = "keypoint_transformer"
DEPTH_LOOK: Final = "depth_look"
CROP: Final = 256  # pixels, of the networks of two hands
# What is no folder of shards, by model.
_SOURCES: Final = ("synthetic", "dexycb", "ho3d")
_RENDERED: Final = ("synthetic",)
_SCENES: Final = ("interhand", "h2o3d", "ho3d", "rhd")
_SCENE: Final = "scene."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="kpt_fusion, keypoint_transformer, handformer2t, depth_look (the last look of networks of two hands, from "
        "--encoder models/weights/kpt_fusion_lite.pt), or a recipe on shards: kpt_fusion_lite, kpt_fusion_r18, "
        "hand_check or hand_finder; hand_sides learns to tell left from right by the looks of --network, "
        "hand_trust (--data synthetic) which of the places it takes for hands are hands",
    )
    data = parser.add_argument_group("data")
    data.add_argument(
        "--data",
        nargs="+",
        required=True,
        help="kpt_fusion: synthetic (rendered while training), dexycb, ho3d; networks of two hands: interhand, h2o3d, "
        "ho3d, rhd; all: folders of shards (`hand_pose synth`)",
    )
    data.add_argument(
        "--validation", type=Path, help="shards of another seed; synthetic data renders its own where none are given"
    )
    data.add_argument("--root", type=Path, help="folder of the data set")
    data.add_argument(
        "--split", default="", help="of DexYCB: s0 to s3 (default: s0); of the others as train or train_all"
    )
    data.add_argument(
        "--validation-split", default="", help="default: the data set's own, or sequences held out; never a test split"
    )
    data.add_argument("--workers", type=int, help="processes that render or read (default: all cores but two)")
    _add_network(parser)
    _add_transformer(parser)
    _add_course(parser)
    scene = parser.add_argument_group("scenes of --data synthetic")
    for item in options(SyntheticConfig):
        add_option(scene, item, _SCENE + item.name, _SCENE + item.name)


def _add_network(parser: argparse.ArgumentParser) -> None:
    network = parser.add_argument_group("network (kpt_fusion, keypoint_transformer, handformer2t)")
    network.add_argument(
        "--size",
        default="lite",
        choices=("lite", "r18", "convnext_t", "r34", "r50"),
        help="kpt_fusion: lite (default), r18, convnext_t; keypoint_transformer: lite, r18, r34, r50; handformer2t: "
        "lite, r34, r50",
    )
    network.add_argument(
        "--crop", type=int, help="networks of two hands: side of the crop in pixels, a multiple of 32 (default: 256)"
    )
    network.add_argument(
        "--stages",
        type=int,
        help="kpt_fusion: fusion stages, 0 to 3 (default: 2); handformer2t: coarse stage and refiners, 1 to 4 "
        "(default: 3)",
    )
    network.add_argument(
        "--ablate",
        nargs="+",
        default=[],
        metavar="PART",
        help="leave out: heatmap_weights, geometry_adjacency, point_features, projected_rgb, refinement",
    )
    network.add_argument(
        "--placed",
        action="store_true",
        help="networks of two hands: our variant, as shipped: maps of joints of hands ordered by place; in "
        "handformer2t under the coarse pose, in keypoint_transformer beside tokens and queries",
    )
    network.add_argument(
        "--maps-only",
        action="store_true",
        help="handformer2t --placed: learn encoder, decoder and maps alone, to begin another training as its --encoder",
    )
    network.add_argument(
        "--depth", action="store_true", help="networks of two hands: read depth beside colour, where a picture has it"
    )
    network.add_argument(
        "--closer-only",
        action="store_true",
        help="handformer2t --placed: learn the closer look at each hand alone; the crop is twice --crop",
    )
    network.add_argument(
        "--closer",
        type=Path,
        metavar="CHECKPOINT",
        help="handformer2t --placed: with the closer look that --closer-only learnt, kept as it is",
    )
    network.add_argument("--fusion", default="keypoint", choices=("keypoint", "dense"), help="default: keypoint")


def _add_transformer(parser: argparse.ArgumentParser) -> None:
    network = parser.add_argument_group("keypoint_transformer")
    network.add_argument(
        "--representation", default="3d", choices=("3d", "2p5d", "angles"), help="of the hands (default: 3d)"
    )
    network.add_argument("--decoder", default="small", choices=("small", "big"), help="big: r50 only (default: small)")
    network.add_argument(
        "--objects", action=argparse.BooleanOptionalAction, default=True, help="the held object too (default: yes)"
    )
    network.add_argument("--variant", default="default", choices=("default", "authors"), help="default: default")
    network.add_argument("--self-layers", type=int, default=6, help="N_SA of the paper's Table 4 (default: 6)")
    network.add_argument("--cross-layers", type=int, default=1, help="N_CA of the paper's Table 4 (default: 1)")
    network.add_argument(
        "--detector-steps", type=int, help="first steps that learn the maps alone (default: the recipe's)"
    )
    network.add_argument(
        "--truth-keypoints-steps",
        type=int,
        help="steps after those that stand on true keypoints in place of detected ones (default: the recipe's)",
    )


def _add_course(parser: argparse.ArgumentParser) -> None:
    course = parser.add_argument_group("course of the training")
    course.add_argument("--out", type=Path, required=True, help="folder of checkpoints and logs")
    course.add_argument(
        "--recipe",
        default="ours",
        choices=("ours", "paper", "authors", "interhand", "objects"),
        help="optimiser, schedule and augmentation: ours (default); paper and authors of kpt_fusion, paper of "
        "handformer2t, interhand and objects of keypoint_transformer",
    )
    course.add_argument("--samples", type=int, help="samples in all (default: 1000000, or a data set's --epochs)")
    course.add_argument("--steps", type=int, default=0, help="optimiser steps in all; 0 follows from --samples")
    course.add_argument("--epochs", type=int, help="passes over a data set (default: the recipe's)")
    course.add_argument("--batch-size", type=int, help="samples per step, over all processes (default: the recipe's)")
    course.add_argument(
        "--depth-steps", type=int, default=0, help="first steps that train the depth branch alone (pose networks)"
    )
    course.add_argument(
        "--muon", action="store_true", help="Muon for the depth branch's convolutions in place of AdamW (pose networks)"
    )
    course.add_argument("--learning-rate", type=float, help="peak of the schedule (default: the recipe's)")
    course.add_argument("--minutes", type=float, default=0.0, help="stop after this long, to be resumed; 0: never")
    course.add_argument(
        "--network",
        default="kpt_fusion_lite",
        help="hand_sides, hand_trust: name or file of the pose network, beside which --out is to lie (default: "
        "kpt_fusion_lite)",
    )
    course.add_argument(
        "--init",
        type=Path,
        metavar="FILE",
        help="weights to start from (models/weights); handformer2t, keypoint_transformer: or a model file "
        "(models/*_lite.onnx), which then says what network it is",
    )
    course.add_argument(
        "--encoder",
        type=Path,
        metavar="FILE",
        help="networks of two hands: weights of kpt_fusion whose colour encoder theirs begins as (depth_look: whose "
        "depth branch); handformer2t: or weights or a checkpoint of handformer2t, of any crop, whose encoder, decoder "
        "and maps are taken",
    )
    course.add_argument("--resume", action="store_true", help="go on from the last checkpoint in --out")
    course.add_argument("--validate-every", type=int, default=500, help="steps between validations (default: 500)")
    course.add_argument("--seed", type=int, default=0)
    course.add_argument("--threads", type=int, default=0, help="CPU threads; 0 leaves torch's default")
    course.add_argument("--accelerator", default="auto", choices=("auto", "cpu", "gpu"))
    course.add_argument(
        "--precision", default="32", choices=("32", "bf16-mixed", "16-mixed"), help="of the convolutions"
    )
    course.add_argument("--tensorboard", action="store_true", help="TensorBoard events beside log.csv")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    started = time.monotonic()
    _check(args)
    if args.tensorboard:
        load("tensorboard")
    if args.data == ["synthetic"]:
        load("moderngl")
    try:
        checkpoint = _COURSES.get(args.model, _recipe)(args, started)
    except load("hand_pose_ros.training.errors").TrainingError as error:
        raise UsageError(str(error)) from error
    if os.environ.get("RANK", "0") == "0":  # one of torchrun's processes speaks
        print(f"checkpoint: {checkpoint}")
    return 0


def _settings(args: argparse.Namespace, started: float, steps: int) -> Any:
    return load("hand_pose_ros.training.run").RunSettings(
        out=args.out,
        steps=steps,
        minutes=args.minutes,
        resume=args.resume,
        validate_every=args.validate_every,
        seed=args.seed,
        threads=args.threads,
        accelerator=args.accelerator,
        initial=args.init,
        precision=args.precision,
        tensorboard=args.tensorboard,
        started=started,
    )


def _check(args: argparse.Namespace) -> None:
    known = {KPT_FUSION: _SOURCES, KEYPOINT_TRANSFORMER: _SCENES, HANDFORMER2T: _SCENES, HAND_TRUST: _RENDERED}.get(
        args.model, ()
    )
    source = args.data[0] if len(args.data) == 1 and args.data[0] in known else None
    if source is None:
        for folder in map(Path, args.data):
            if not folder.is_dir():
                raise UsageError(
                    f"{folder}: expected {', '.join([*known, 'a folder of shards'])} for {args.model}; shards are made "
                    "with `hand_pose synth`"
                )
    if args.validation is not None and not args.validation.is_dir():
        raise UsageError(f"{args.validation}: expected a folder of shards; make them with `hand_pose synth`")
    if args.validation is None and source is None:
        raise UsageError("--validation: expected a folder of shards of another seed than those of --data")
    if args.encoder is not None and not args.encoder.is_file():
        raise UsageError(f"--encoder {args.encoder}: no such file; models/weights has those of kpt_fusion_lite")
    if args.init is not None and not args.init.is_file():
        raise UsageError(f"--init {args.init}: no such file; `hand_pose export --save-weights` writes one")
    if args.init is not None and args.init.suffix == ".onnx":
        load("onnx")
    counts = (args.samples, args.validate_every, args.epochs, args.batch_size)
    if any(count is not None and count < 1 for count in counts) or min(args.steps, args.workers or 0) < 0:
        raise UsageError(
            "--samples, --epochs, --batch-size and --validate-every: at least 1; --steps and --workers: 0 or more"
        )
    if args.learning_rate is not None and args.learning_rate <= 0:
        raise UsageError(f"--learning-rate: expected a number above 0, got {args.learning_rate}")


def _recipe(args: argparse.Namespace, started: float) -> Path:
    """A recipe on shards, by its name."""
    recipes = load("hand_pose_ros.training.recipes")
    if args.model not in recipes.RECIPES:
        raise UsageError(f"expected {', '.join((*_COURSES, *recipes.RECIPES))}, got {args.model!r}")
    steps = args.steps or max((args.samples or 1_000_000) // recipes.batch_size(args.model), 1)
    settings = _settings(args, started, steps)
    rate = 8e-4 if args.learning_rate is None else args.learning_rate
    folders = [Path(folder) for folder in args.data]
    path: Path = recipes.run_recipe(args.model, folders, args.validation, rate, settings, args.depth_steps, args.muon)
    return path


def _fusion(args: argparse.Namespace, started: float) -> Path:
    """Any Keypoint-Fusion network on any data."""
    training = load("hand_pose_ros.training.fusion_training")
    scenes = {name.removeprefix(_SCENE): value for name, value in vars(args).items() if name.startswith(_SCENE)}
    workers = args.workers
    if workers is None:
        shards = args.data[0] not in _SOURCES
        workers = 0 if shards else load("hand_pose_ros.datasets.synthetic.stream").available_workers()
    chosen = training.FusionOptions(
        data=tuple(args.data),
        validation=args.validation,
        root=args.root,
        split=args.split,
        validation_split=args.validation_split,
        size=args.size,
        stages=2 if args.stages is None else args.stages,
        ablate=tuple(args.ablate),
        fusion=args.fusion,
        recipe=args.recipe,
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        samples=args.samples,
        steps=args.steps or None,
        epochs=args.epochs,
        depth_steps=args.depth_steps,
        muon=args.muon,
        workers=workers,
        scenes=build(SyntheticConfig, scenes),
    )
    path: Path = training.run_fusion(chosen, _settings(args, started, 0))
    return path


def _handformer2t(args: argparse.Namespace, started: float) -> Path:
    """Any Handformer2T on scenes."""
    training = load("hand_pose_ros.training.handformer2t_training")
    chosen = load("hand_pose_ros.training.handformer2t_options").Handformer2TOptions(
        data=_scene_data(args),
        size=args.size,
        crop=args.crop,
        recipe=args.recipe,
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        samples=args.samples,
        steps=args.steps or None,
        epochs=args.epochs,
        encoder=args.encoder,
        placed=args.placed,
        maps_only=args.maps_only,
        depth=args.depth,
        closer_only=args.closer_only,
        closer=args.closer,
        network={} if args.stages is None else {"stages": args.stages},
    )
    path: Path = training.run_handformer2t(chosen, _settings(args, started, 0))
    return path


def _depth_look(args: argparse.Namespace, started: float) -> Path:
    """The last look of networks of two hands."""
    training = load("hand_pose_ros.training.depth_look")
    chosen = training.DepthLookOptions(
        data=_scene_data(args),
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        samples=args.samples,
        steps=args.steps or None,
        encoder=args.encoder,
    )
    path: Path = training.run_depth_look(chosen, _settings(args, started, 0))
    return path


def _scene_data(args: argparse.Namespace) -> Any:
    """What networks of two hands are trained on."""
    return load("hand_pose_ros.training.scene_sources").SceneData(
        data=tuple(args.data),
        validation=args.validation,
        root=args.root,
        split=args.split,
        validation_split=args.validation_split,
        workers=args.workers or 0,
    )


def _transformer(args: argparse.Namespace, started: float) -> Path:
    """Any Keypoint Transformer on scenes."""
    training = load("hand_pose_ros.training.keypoint_transformer_training")
    chosen = training.TransformerOptions(
        data=_scene_data(args),
        config=training.network_config(
            size=args.size,
            decoder=args.decoder,
            representation=args.representation,
            objects=args.objects,
            self_layers=args.self_layers,
            cross_layers=args.cross_layers,
            variant=args.variant,
            crop=args.crop or CROP,
            depth=args.depth,
            placed=args.placed,
        ),
        recipe=args.recipe,
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        detector_steps=args.detector_steps,
        truth_steps=args.truth_keypoints_steps,
        samples=args.samples,
        steps=args.steps or None,
        epochs=args.epochs,
        encoder=args.encoder,
    )
    path: Path = training.run_transformer(chosen, _settings(args, started, 0))
    return path


# How models are trained that are no recipes.
_COURSES: Final = {
    HAND_SIDES: hand_sides,
    HAND_TRUST: hand_trust,
    KPT_FUSION: _fusion,
    HANDFORMER2T: _handformer2t,
    KEYPOINT_TRANSFORMER: _transformer,
    DEPTH_LOOK: _depth_look,
}
