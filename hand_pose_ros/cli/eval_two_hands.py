"""`hand_pose eval keypoint_transformer|handformer2t`: a network of two hands on data sets, in the papers' layouts."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from hand_pose_ros.cli.errors import UsageError, load
from hand_pose_ros.datasets.base import Reading
from hand_pose_ros.datasets.interhand import InterHand
from hand_pose_ros.datasets.interhand_files import read_root_depths
from hand_pose_ros.datasets.scene_shards import StoredScenes
from hand_pose_ros.datasets.scenes import SCENE_NAMES, list_scene_splits, open_scenes
from hand_pose_ros.datasets.two_hands import SceneDataset, SceneSample
from hand_pose_ros.datasets.ycb import read_vertices, symmetry_of
from hand_pose_ros.engines.base import Engine
from hand_pose_ros.engines.factory import create_engine
from hand_pose_ros.engines.zoo import find_model
from hand_pose_ros.evaluation.challenge import joint_scores, write_submission
from hand_pose_ros.evaluation.report import Report, Table, facts
from hand_pose_ros.evaluation.scene_benchmark import (
    ObjectModel,
    SceneResults,
    figures,
    look_at,
    synthetic_model,
)
from hand_pose_ros.evaluation.scene_fit import SceneFit
from hand_pose_ros.evaluation.two_hands_report import (
    answers_table,
    interhand_table,
    object_table,
    rhd_table,
    write_h2o3d_submission,
)
from hand_pose_ros.pipeline.handformer2t import MODEL as HANDFORMER2T
from hand_pose_ros.pipeline.handformer2t import Handformer2TNetwork
from hand_pose_ros.pipeline.keypoint_transformer import MODEL as KEYPOINT_TRANSFORMER
from hand_pose_ros.pipeline.keypoint_transformer import KeypointTransformerNetwork
from hand_pose_ros.pipeline.scene_network import SceneNetwork, takes_depth
from hand_pose_ros.types import DoubleArray

DATASETS: Final = (*SCENE_NAMES, "scenes")
_SPLITS: Final = {"interhand": "test", "rhd": "evaluation", "ho3d": "evaluation", "h2o3d": "evaluation"}
_PUBLISHED: Final = ("interhand", "interhand_mano", "ho3d", "h2o3d")


def add_transformer_arguments(parser: argparse.ArgumentParser) -> None:
    """The options for Keypoint Transformer."""
    parser.set_defaults(kind=KEYPOINT_TRANSFORMER)
    _add(parser, "keypoint_transformer_lite")
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE.pth.tar",
        help="the published network with this file of the authors, in place of --model; needs torch",
    )
    parser.add_argument(
        "--published", choices=_PUBLISHED, help="which of the authors' networks it is (default: the data set's)"
    )


def add_handformer2t_arguments(parser: argparse.ArgumentParser) -> None:
    """The options for Handformer2T."""
    parser.set_defaults(kind=HANDFORMER2T, checkpoint=None)
    _add(parser, "handformer2t_lite")


def _add(parser: argparse.ArgumentParser, model: str) -> None:
    parser.add_argument("--dataset", choices=DATASETS, required=True, help="scenes: folder of `hand_pose synth scenes`")
    parser.add_argument("--root", type=Path, required=True, help="the data set's folder")
    parser.add_argument("--split", help="default: test (interhand), evaluation (the others)")
    parser.add_argument("--version", type=int, choices=(2, 3), help="of HO-3D (default: what the files are)")
    parser.add_argument("--model", default=model, help=f"name or .onnx file (default: {model})")
    parser.add_argument("--engine", default="auto", help="what runs the network (default: auto)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: half of the cores")
    parser.add_argument("--count", type=int, help="the first so many samples only")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every N-th sample (default: 1)")
    parser.add_argument(
        "--fitted",
        action="store_true",
        help="interhand: pictures with a MANO fit only, as Keypoint Transformer's paper",
    )
    parser.add_argument(
        "--root-depths",
        type=Path,
        metavar="FILE.json",
        help="interhand: RootNet's wrist depths in place of the true ones, for networks with 2.5D output",
    )
    parser.add_argument(
        "--meshes",
        type=Path,
        metavar="FOLDER",
        help="ho3d, h2o3d: YCB models (NAME/textured_simple.obj); MSSD is measured on their vertices, else on the "
        "corners of the object's box",
    )
    parser.add_argument(
        "--depth",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="scenes: show depth to a network that reads it, as with a depth camera (default: yes)",
    )
    parser.add_argument(
        "--fit",
        action="store_true",
        help="scenes: hands as the pipeline gives them with depth, laid onto the depth image (default: the network's)",
    )
    parser.add_argument("--submission", type=Path, metavar="FILE.json", help="ho3d, h2o3d: also the challenge's file")
    parser.add_argument("--out", type=Path, default=Path("out/eval"), help="folder of the report (default: out/eval)")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    _check(args)
    data = _data(args)
    network = _network(args)
    indices = _indices(args, data)
    results = look_at(
        tqdm(_samples(data, indices), total=len(indices), desc=args.dataset, unit="picture"),
        network,
        _object_model(args),
        _root_depths(args, data, indices),
        SceneFit(network) if args.fit else None,
    )
    method = args.checkpoint.name if args.checkpoint else Path(args.model).stem
    tables, scores = _tables(args, results, method)
    notes = [*data.notes, *_notes(args, network), *_submission(args, results)]
    about: dict[str, Any] = {
        "fitted to depth": args.fit,
        "method": method,
        "dataset": args.dataset,
        "root": str(args.root),
        "pictures": len(indices),
    }
    report = Report(f"{method} on {args.dataset}", tuple(tables), {"about": about, **scores}, tuple(notes))
    paths = report.write(args.out, f"{args.kind}_{args.dataset}")
    print(report.text())
    print(f"\nwritten: {paths[1]}, {paths[0]}")
    return 0


def _check(args: argparse.Namespace) -> None:
    if args.every < 1 or (args.count is not None and args.count < 1):
        raise UsageError(f"--every and --count: expected at least 1, got {args.every} and {args.count}")
    for name, owners in (("fitted", ("interhand",)), ("root_depths", ("interhand",)), ("version", ("ho3d",))):
        if getattr(args, name) and args.dataset not in owners:
            raise UsageError(f"--{name.replace('_', '-')}: of {owners[0]}, not of {args.dataset}")
    if args.fit and not (args.dataset == "scenes" and args.depth):
        raise UsageError("--fit: needs depth, which only scenes have here")
    for name in ("meshes", "submission"):
        if getattr(args, name) and args.dataset not in ("ho3d", "h2o3d"):
            raise UsageError(f"--{name}: of ho3d and h2o3d, not of {args.dataset}")
    if args.submission is not None and (args.every != 1 or args.count is not None):
        raise UsageError("--submission needs every sample of the split; leave --every and --count out")
    if args.submission is not None and args.submission.suffix != ".json":
        raise UsageError(f"--submission: expected a name ending in .json, got {args.submission}")


def _data(args: argparse.Namespace) -> SceneDataset:
    reading = Reading(color=True, depth=args.depth and args.dataset == "scenes")
    if args.dataset == "scenes":
        if args.split is not None:
            raise UsageError("--split: stored scenes have none")
        return StoredScenes(args.root, reading)
    split = args.split or _SPLITS[args.dataset]
    if split not in list_scene_splits(args.dataset):
        known = ", ".join(list_scene_splits(args.dataset))
        raise UsageError(f"--split: expected one of {known}, got {split!r}")
    data = open_scenes(args.dataset, args.root, split, version=args.version, reading=reading)
    if not data.has_truth and args.submission is None:
        raise UsageError(
            f"--split {split}: its truth is not in {args.root}; ask for another --split (train, val) or a --submission"
        )
    return data


def _indices(args: argparse.Namespace, data: SceneDataset) -> list[int]:
    chosen = np.arange(len(data))
    if args.fitted and isinstance(data, InterHand):
        chosen = data.fitted()
    indices = [int(index) for index in chosen[:: args.every][: args.count]]
    if not indices:
        raise UsageError(f"{args.root}: no pictures to look at; leave --fitted out, or take another --split")
    return indices


def _samples(data: SceneDataset, indices: list[int]) -> Iterator[SceneSample]:
    for index in indices:
        yield data[index]


def _network(args: argparse.Namespace) -> SceneNetwork:
    engine: Engine
    if args.checkpoint is not None:
        name = args.published or (args.dataset if args.dataset in _PUBLISHED else "interhand")
        made = load("hand_pose_ros.engines.torch_keypoint_transformer").PublishedKeypointTransformer
        engine = made(args.checkpoint, name, args.threads)
    else:
        engine = create_engine(find_model(args.model), args.engine, args.threads)
    kind = engine.metadata.get("model", "")
    if kind != args.kind:
        raise UsageError(f"--model {args.model}: expected a network of {args.kind}, got {kind or 'another'}")
    return Handformer2TNetwork(engine) if kind == HANDFORMER2T else KeypointTransformerNetwork(engine)


def _root_depths(args: argparse.Namespace, data: SceneDataset, indices: list[int]) -> Mapping[int, DoubleArray] | None:
    if args.root_depths is None or not isinstance(data, InterHand):
        return None
    known = read_root_depths(args.root_depths)
    ids = [int(data.ids[index]) for index in indices]
    return {place: known[key][1].astype(np.float64) for place, key in enumerate(ids) if key in known}


def _object_model(args: argparse.Namespace) -> ObjectModel | None:
    if args.dataset == "scenes":
        return synthetic_model
    if args.dataset not in ("ho3d", "h2o3d"):
        return None
    meshes: dict[str, DoubleArray] = {}
    return partial(_ycb_model, folder=args.meshes, table=args.dataset, meshes=meshes)


def _ycb_model(
    name: str, box: NDArray[Any], folder: Path | None, table: str, meshes: dict[str, DoubleArray]
) -> tuple[DoubleArray, DoubleArray]:
    """A model's vertices (each file is read once), or its box's corners, with the published symmetries."""
    symmetries = symmetry_of(name, table).rotations()
    if folder is None:
        return np.asarray(box, dtype=np.float64), symmetries
    if name not in meshes:
        meshes[name] = read_vertices(folder / name / "textured_simple.obj").astype(np.float64)
    return meshes[name], symmetries


def _tables(args: argparse.Namespace, results: SceneResults, method: str) -> tuple[list[Table], dict[str, Any]]:
    found = figures(results)
    scores: dict[str, Any] = {"scores": dataclasses.asdict(found)}
    tables: list[Table] = []
    if args.dataset in ("interhand", "scenes"):
        table = interhand_table([(method, found.hands)], published=args.dataset == "interhand")
        title = table.title if args.dataset == "interhand" else "Synthetic scenes, errors in mm (layout of Table 1)"
        tables.append(dataclasses.replace(table, title=title))
    if args.dataset in ("rhd", "scenes"):
        made = rhd_table(method, found.epe, found.auc, len(results.present))
        tables.append(made if args.dataset == "rhd" else dataclasses.replace(made, title="Synthetic scenes, as of RHD"))
    if args.dataset in ("ho3d", "h2o3d") and results.valid[:, 0].all(axis=1).any():
        tables.append(_challenge_table(results, 2 if args.dataset == "h2o3d" else 1))
    if found.objects is not None:
        tables.append(object_table(found.objects))
    told = np.isfinite(results.object_presence)
    there = np.array([bool(name) for name in results.objects])
    objects = float(((results.object_presence > 0.5) == there)[told].mean()) if told.any() else None
    tables.append(answers_table(found.pixels, found.presence, objects))
    return tables, scores


def _challenge_table(results: SceneResults, hands: int) -> Table:
    """The HO-3D challenge's measures of the joints from the wrist, of every annotated hand."""
    known = results.valid[:, :hands].all(axis=2)
    truth = results.truth[:, :hands] - results.truth[:, :hands, :1]
    score = joint_scores(results.joints[:, :hands][known], truth[known])
    values = {
        "from the wrist (mm)": score.raw * 1e3,
        "scale and wrist aligned (mm)": score.scale_translation * 1e3,
        "its AUC 0-50 mm": score.scale_translation_auc,
        "Procrustes aligned (mm)": score.procrustes * 1e3,
    }
    return facts("Joints by the challenge's measures", values, 3)


def _notes(args: argparse.Namespace, network: SceneNetwork) -> list[str]:
    notes = [f"crops: {network.margin:g} times the annotated box, {network.size} pixels"]
    if takes_depth(network.engine):
        notes.append("depth was shown" if args.depth and args.dataset == "scenes" else "depth was not shown")
    outputs = {spec.name for spec in network.engine.outputs}
    if not {"joints", "pose"} & outputs and args.root_depths is None:
        notes.append("2.5D output: each hand's true wrist depth was given, where the paper takes RootNet's")
    if args.fit:
        notes.append("hands as the pipeline gives them: lifted by depth, and laid onto the depth image")
    if args.dataset in ("ho3d", "h2o3d") and args.meshes is None and network.has_object:
        notes.append("MSSD of the corners of the true box; give the YCB models with --meshes for the published measure")
    return notes


def _submission(args: argparse.Namespace, results: SceneResults) -> list[str]:
    if args.submission is None:
        return []
    if args.dataset == "ho3d":
        write_submission(args.submission, results.joints[:, 0].astype(np.float32))
        return [f"{args.submission}: joints from the wrist; its vertices are zeros"]
    translation = np.nan_to_num(results.translation)
    from_right = results.joints.copy()
    from_right[:, 1] += translation[:, None]
    write_h2o3d_submission(args.submission, from_right.astype(np.float32))
    return [f"{args.submission}: joints of both hands from the right wrist"]
