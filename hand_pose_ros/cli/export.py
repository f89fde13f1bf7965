"""`hand_pose export`: a checkpoint as a calibrated ONNX model with its card, or a model in another precision."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

from hand_pose_ros.cli import export_followed, export_precision, export_transformer
from hand_pose_ros.cli.errors import UsageError, load
from hand_pose_ros.evaluation import scene_shards
from hand_pose_ros.evaluation.calibration import calibrating_factor
from hand_pose_ros.evaluation.report import facts

NAMES: Final = (
    "kpt_fusion_lite, kpt_fusion_r18, hand_finder, kpt_fusion, handformer2t, handformer2t_followed or "
    "keypoint_transformer"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    parser.add_argument(
        "recipe",
        metavar="MODEL",
        help=f"{NAMES} (a .ckpt of `hand_pose train`, or the authors' file); without --checkpoint the name or file of "
        "a model that there is",
    )
    parser.add_argument(
        "--checkpoint", type=Path, help="of `hand_pose train`, weights alone (models/weights), or the authors' file"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.onnx", help="the model; its card goes beside")
    parser.add_argument(
        "--validation",
        type=Path,
        help="crop shards to calibrate joint_std and to measure on; for hand_finder, frame shards to measure on; "
        "for networks of two hands, shards of scenes",
    )
    parser.add_argument(
        "--check", type=Path, help="checkpoint or weights of hand_check: it then tells score and side (pose networks)"
    )
    parser.add_argument(
        "--blend",
        nargs=2,
        metavar=("FILE.pt", "SHARE"),
        help="move the weights by this share (0 to 1) towards those a training went on from (hand_finder)",
    )
    parser.add_argument(
        "--save-weights", type=Path, metavar="FILE.pt", help="also the averaged weights, for `hand_pose train --init`"
    )
    parser.add_argument(
        "--closer",
        type=Path,
        metavar="CHECKPOINT",
        help="handformer2t: the closer look of this checkpoint (`hand_pose train --closer-only`) in place of its own",
    )
    parser.add_argument(
        "--depth-look",
        type=Path,
        metavar="CHECKPOINT",
        help="networks of two hands that read depth: with the last look by depth alone of this checkpoint (`hand_pose "
        "train depth_look`)",
    )
    parser.add_argument(
        "--published",
        choices=export_transformer.PUBLISHED,
        help="keypoint_transformer: which of the authors' networks their file holds",
    )
    parser.add_argument(
        "--half-weights",
        action="store_true",
        help="networks of two hands: store weights, also those of --save-weights, in half precision: half the size, "
        "computed with as before (hand_finder: the model always)",
    )
    parser.add_argument(
        "--hand-model",
        nargs="?",
        const="",
        metavar="FOLDER",
        help="keypoint_transformer that gives angles: pose the hand in the graph too, which then gives joints: the "
        "bundled hand (default for our own checkpoints), or the MANO files of this folder",
    )
    export_precision.add_arguments(parser)
    parser.add_argument("--batches", type=int, default=64, help="validation batches (default: 64)")
    parser.add_argument("--data", default="", help="what it was trained on, for the card (default: synthetic)")
    parser.add_argument("--command", dest="training", default="", help="how it was trained, for the card")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    export_precision.check(args)
    if args.out.suffix != ".onnx":
        raise UsageError(f"--out: expected a name ending in .onnx, got {args.out}")
    if args.checkpoint is None:
        return export_precision.convert(args)
    code = _write(args)
    export_precision.finish(args)
    return code


def _write(args: argparse.Namespace) -> int:
    """A checkpoint as a model in single precision."""
    finder = args.recipe == "hand_finder"
    if not args.checkpoint.is_file():
        raise UsageError(f"--checkpoint {args.checkpoint}: no such file; `hand_pose train` writes last.ckpt")
    if args.check is not None and not args.check.is_file():
        raise UsageError(f"--check {args.check}: no such file; `hand_pose train hand_check` writes last.ckpt")
    if args.recipe == "kpt_fusion" and args.checkpoint.suffix != ".ckpt":
        return _published(args)
    if args.recipe == export_followed.RECIPE:
        return export_followed.export(args)
    if args.recipe == "handformer2t":
        return _handformer2t(args)
    if args.recipe == "keypoint_transformer":
        return export_transformer.export(args)
    if not finder and (args.validation is None or not args.validation.is_dir()):
        raise UsageError("--validation: expected a folder of crop shards; joint_std is calibrated on it")
    recipes, training = load("hand_pose_ros.training.recipes"), load("hand_pose_ros.training.run")
    deploy, shards = load("hand_pose_ros.training.deploy"), load("hand_pose_ros.training.shards")
    load("onnx")
    if args.recipe not in (*recipes.RECIPES, "kpt_fusion") or args.recipe == "hand_check":
        raise UsageError(f"expected {NAMES}, got {args.recipe!r}")
    try:
        if args.recipe == "kpt_fusion":
            network = load("hand_pose_ros.training.fusion_training").trained(args.checkpoint)
        else:
            module = recipes.recipe(args.recipe, recipes.Schedule(steps=1)).module
            network = training.load_averaged(module, args.checkpoint)
        if args.blend is not None:
            _blend(network, *args.blend)
        check = _check(args.check)
        stream = shards.ShardStream(args.validation, recipes.batch_size(args.recipe), 0) if args.validation else None
    except load("hand_pose_ros.training.errors").TrainingError as error:
        raise UsageError(str(error)) from error
    if args.save_weights is not None:
        training.save_weights(network, args.save_weights)
    about = {
        "data": args.data or "synthetic, `hand_pose synth`",
        **({"command": args.training} if args.training else {}),
    }
    if finder:
        deploy.export_finder(network, args.out, about, stream, args.batch)
    else:
        figures = deploy.export_hand(network, args.out, stream, args.batches, about, check, args.batch)
        print(facts("Validation", figures).text() + "\n")
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB; card: {args.out.with_suffix('.md')}")
    return 0


def _blend(network: Any, file: str, share: str) -> None:
    """Part of the way to the weights of a file."""
    if not Path(file).is_file():
        raise UsageError(f"--blend {file}: no such file; `hand_pose export --save-weights` writes one")
    other = load("torch").load(file, map_location="cpu", weights_only=True)
    try:
        load("hand_pose_ros.training.average").blend(network, other, float(share))
    except ValueError as error:
        raise UsageError(f"--blend {file} {share}: {error}") from error


def _handformer2t(args: argparse.Namespace) -> int:
    """A Handformer2T of whatever size: calibrated on the first half of the scenes, measured on the second."""
    if args.validation is None or not args.validation.is_dir():
        raise UsageError("--validation: expected a folder of shards of scenes; the deviations are calibrated on it")
    deploy, training = load("hand_pose_ros.training.handformer2t_deploy"), load("hand_pose_ros.training.run")
    load("onnx")
    try:
        weights = load("hand_pose_ros.training.handformer2t_weights")
        network = weights.trained(args.checkpoint)
        if args.closer is not None:
            load("hand_pose_ros.training.handformer2t_closer").take_closer(network, weights.learnt_by(args.closer))
        if args.depth_look is not None:
            network = load("hand_pose_ros.training.depth_look").with_look(network, args.depth_look)
        infer, size, taken = deploy.infer_of(network)
        found = scene_shards.predict(infer, size, args.validation, taken=taken)
        half, blind = len(found.present) // 2, None
        if network.config.depth:
            blind = scene_shards.predict(infer, size, args.validation, half, taken, shown=False)
    except (load("hand_pose_ros.training.errors").TrainingError, FileNotFoundError) as error:
        raise UsageError(str(error)) from error
    first, second = found.part(slice(0, half)), found.part(slice(half, None))
    factor = calibrating_factor(first.distances, first.deviations)
    color = None if blind is None else calibrating_factor(blind.distances, blind.deviations)
    figures = scene_shards.card_figures(first, second, factor)
    figures |= {} if color is None else {"deviation_factor_without_depth": f"{color:.3f}"}
    if args.save_weights is not None:
        training.save_weights(network, args.save_weights, args.half_weights)
    about = {
        "data": args.data or "synthetic, `hand_pose synth scenes`",
        **({"command": args.training} if args.training else {}),
        **figures,
    }
    deploy.export_handformer2t(network, args.out, about, factor, args.batch, args.half_weights, color)
    print(facts("Validation", figures).text() + "\n")
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB; card: {args.out.with_suffix('.md')}")
    if network.config.closer and network.config.depth_look and args.precision == "fp32":
        print(export_followed.hint(args.out))
    return 0


def _published(args: argparse.Namespace) -> int:
    """A checkpoint of the authors, of either backbone."""
    for name in ("validation", "save_weights"):
        if getattr(args, name) is not None:
            raise UsageError(
                f"--{name.replace('_', '-')}: not for a checkpoint of the authors, which is taken as it is"
            )
    networks, deploy = load("hand_pose_ros.networks.keypoint_fusion"), load("hand_pose_ros.training.deploy")
    load("onnx")
    try:
        network, check = networks.load_checkpoint(args.checkpoint), _check(args.check)
    except (ValueError, RuntimeError) as error:
        raise UsageError(str(error)) from error
    data = {"data": args.data} if args.data else {}
    about = {"source": args.checkpoint.name, **data, **({"command": args.training} if args.training else {})}
    deploy.export_published(network, args.out, about, check, args.batch)
    told = "" if check else "; score and side are always 1 (no --check)"
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB; joint_std is not calibrated{told}")
    return 0


def _check(path: Path | None) -> Any:
    """The hand check of a checkpoint (.ckpt) or of weights alone (.pt)."""
    if path is None:
        return None
    recipes, training = load("hand_pose_ros.training.recipes"), load("hand_pose_ros.training.run")
    module = recipes.recipe("hand_check", recipes.Schedule(steps=1)).module
    if path.suffix == ".ckpt":
        return training.load_averaged(module, path)
    module.start_from(load("torch").load(path, map_location="cpu", weights_only=True))
    return module.network
