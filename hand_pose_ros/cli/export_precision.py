"""`hand_pose export --precision`: a model's arithmetic in float16 or in bytes, written into the file."""

from __future__ import annotations

import argparse
import re
import shutil
from pathlib import Path
from typing import Any, Final

from hand_pose_ros.cli.errors import UsageError, load
from hand_pose_ros.engines.zoo import find_model, sha256

PRECISIONS: Final = ("fp32", "fp16", "int8")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this part of the command."""
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="fp32",
        help="fp16 for TensorRT (typed in the file), int8 for CPUs that multiply bytes (needs --calibration); default: "
        "fp32",
    )
    parser.add_argument(
        "--calibration",
        type=Path,
        metavar="DIR",
        help="int8: shards that show each tensor's range: crops; for hand_finder frames, for two hands scenes",
    )
    parser.add_argument("--samples", type=int, default=128, help="int8: at most so many samples of them (default: 128)")
    parser.add_argument(
        "--batch", type=int, default=1, help="also a file FILE.bN.onnx for N samples in one run (with --checkpoint)"
    )


def check(args: argparse.Namespace) -> None:
    """Refuse what does not go together, before the work."""
    if args.batch < 1:
        raise UsageError(f"--batch: expected 1 or more, got {args.batch}")
    if args.batch > 1 and args.checkpoint is None:
        raise UsageError("--batch: a file's batch is fixed; name the --checkpoint it was made of")
    if args.batch > 1 and args.precision == "int8":
        raise UsageError("--batch: int8 is for one hand at a time on a CPU; take fp32 or fp16")
    if args.precision == "int8" and (args.calibration is None or not args.calibration.is_dir()):
        raise UsageError("--calibration: int8 expects a folder of shards (`hand_pose synth crops|frames|scenes`)")


def convert(args: argparse.Namespace) -> int:
    """A model that there is, in another precision, with a card that tells where it is from."""
    source = find_model(args.recipe)
    if source.resolve() == args.out.resolve():
        raise UsageError(f"--out: expected another file than the model itself, got {args.out}")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    _rewrite(args, source, args.out)
    card = source.with_suffix(".md")
    if card.is_file():
        shutil.copyfile(card, args.out.with_suffix(".md"))
        _restate(args.out, {"made of": f"{source.name}, sha256 {sha256(source)[:16]}", "precision": args.precision})
    print(f"{args.out}: {args.precision}, {args.out.stat().st_size / 1e6:.1f} MB")
    return 0


def finish(args: argparse.Namespace) -> None:
    """What a checkpoint was written as, in the precision that was asked for."""
    if args.precision == "fp32":
        return
    files = [args.out]
    if args.batch > 1:
        files.append(load("hand_pose_ros.networks.onnx_file").batched_path(args.out, args.batch))
    for file in files:
        _rewrite(args, file, file)
        print(f"{file}: {args.precision}, {file.stat().st_size / 1e6:.1f} MB")
    _restate(args.out, {"precision": args.precision})


def _rewrite(args: argparse.Namespace, source: Path, target: Path) -> None:
    onnx, graphs = load("onnx"), load("hand_pose_ros.networks.onnx_graph")
    model = graphs.folded(source)
    metadata = {item.key: item.value for item in model.metadata_props}
    if metadata.get("precision", "fp32") != "fp32":
        raise UsageError(f"{source}: expected a model in fp32, got {metadata['precision']}")
    if args.precision == "fp16":
        model = load("hand_pose_ros.networks.onnx_float16").to_float16(model)
    elif args.precision == "int8":
        model = _in_bytes(args, model, metadata)
    # Bytes are no concern of TensorRT: it wants other zero points.
    refused = load("hand_pose_ros.networks.onnx_operators").violations(model) if args.precision != "int8" else []
    for text in refused:
        print(f"TensorRT: {text}")
    onnx.save(model, str(target))


def _in_bytes(args: argparse.Namespace, model: Any, metadata: dict[str, str]) -> Any:
    crop = next(item for item in model.graph.input if item.name == "rgb").type.tensor_type.shape.dim[1].dim_value
    # Whole files of the finder older than this do not say what they are.
    kind = metadata.get("model", args.recipe)
    taken = tuple(item.name for item in model.graph.input)
    inputs_from = load("hand_pose_ros.training.calibration_inputs").inputs_from
    samples = inputs_from(kind, args.calibration, args.samples, crop, taken)
    try:
        return load("hand_pose_ros.networks.onnx_int8").to_int8(model, samples)
    except (ValueError, FileNotFoundError, load("hand_pose_ros.training.errors").TrainingError) as error:
        raise UsageError(f"--calibration {args.calibration}: {error}") from error


def _restate(path: Path, added: dict[str, str]) -> None:
    """A card tells of the file as it is now."""
    card = path.with_suffix(".md")
    text = card.read_text(encoding="utf-8")
    facts = "".join(f"- {name}: {value}\n" for name, value in added.items())
    text = re.sub(r"^- bytes: .*$", f"{facts}- bytes: {path.stat().st_size}", text, flags=re.MULTILINE)
    text = re.sub(r"^- sha256: .*$", f"- sha256: {sha256(path)}", text, flags=re.MULTILINE)
    card.write_text(text, encoding="utf-8")
