"""`hand_pose eval kpt_fusion`: the network on DexYCB or HO-3D, from several crop centres side by side."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from tqdm import tqdm

from hand_pose_ros.cli.errors import UsageError, load
from hand_pose_ros.cli.settings import add_settings, read_yaml, settings
from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.datasets.base import DatasetError, HandDataset
from hand_pose_ros.datasets.dexycb import DexYcb
from hand_pose_ros.datasets.ho3d import NUM_VERTICES, Ho3d
from hand_pose_ros.datasets.registry import CUBE_SIZES, LAYOUTS, NAMES, find_layout, open_dataset
from hand_pose_ros.evaluation.benchmark import Predictions, Score, predict, score
from hand_pose_ros.evaluation.centers import FoundCenter, KnownCenter, Predictor
from hand_pose_ros.evaluation.challenge import mesh_scores, write_submission
from hand_pose_ros.evaluation.meshes import fit_meshes
from hand_pose_ros.evaluation.networks import AuthorsEstimator, open_estimator, open_finder
from hand_pose_ros.evaluation.official_dexycb import write_results
from hand_pose_ros.evaluation.paper_tables import dexycb_table, ho3d_table, mesh_table
from hand_pose_ros.evaluation.report import Report, Table
from hand_pose_ros.hand_model.model import HandModel
from hand_pose_ros.options import flatten, replace
from hand_pose_ros.pipeline.estimator import Estimator
from hand_pose_ros.pipeline.hand_models import load_hand_models
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import FloatArray

CENTERS: Final = ("truth", "given", "finder")
SETUPS: Final = ("s0", "s1", "s2", "s3")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    parser.add_argument("--dataset", choices=NAMES, required=True, help="what to measure on")
    parser.add_argument("--root", type=Path, required=True, help="the data set's folder")
    parser.add_argument(
        "--split",
        default=None,
        help="DexYCB: s0 … s3 (their test parts), all, or a part as s0_val (default: s0); HO-3D: evaluation, train, "
        "val, … (default: evaluation)",
    )
    parser.add_argument("--layout", choices=LAYOUTS, default="auto", help="of the files (default: auto)")
    parser.add_argument("--version", type=int, choices=(2, 3), help="of HO-3D (default: what the files are)")
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE.pth",
        help="the published network with this checkpoint of the authors, in place of --model; needs torch",
    )
    parser.add_argument(
        "--centers",
        nargs="+",
        choices=CENTERS,
        help="crop centres to compare: the true joints' (as published), what the data set gives away (HO-3D), our hand "
        "finder's (default: all there are)",
    )
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every N-th sample (default: 1)")
    parser.add_argument(
        "--submission",
        type=Path,
        metavar="FILE",
        help="HO-3D: also the challenge's .json; DexYCB: the official result file (one line per sample)",
    )
    parser.add_argument(
        "--submission-center",
        choices=CENTERS,
        help="whose joints go into it (default: given for HO-3D, truth for DexYCB)",
    )
    parser.add_argument("--out", type=Path, default=Path("out/eval"), help="folder of the report (default: out/eval)")
    add_settings(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    _check(args)
    config = _config(args)
    datasets = _datasets(args)
    predictors = _predictors(args, config, datasets)
    runs = {name: _predict(args, name, data, predictors) for name, data in datasets.items()}
    scores = {name: _scores(results) for name, results in runs.items()}
    method = f"{args.checkpoint.name}" if args.checkpoint else Path(config.model).stem
    tables = [_table(args, datasets, scores, method)]
    notes = [f"{name}: {note}" for name, data in datasets.items() for note in data.notes]
    if args.checkpoint is not None:
        notes.append("the published network has no score: every place that our finder names is believed")
    notes += _write_submission(args, config, datasets, runs, tables)
    about = {"dataset": args.dataset, "root": str(args.root), "every": args.every, "method": method, **flatten(config)}
    figures = {name: [dataclasses.asdict(result) for result in results] for name, results in scores.items()}
    report = Report(f"{method} on {args.dataset}", tuple(tables), {"about": about, "scores": figures}, tuple(notes))
    paths = report.write(args.out, f"kpt_fusion_{args.dataset}")
    print(report.text())
    print(f"\nwritten: {paths[1]}, {paths[0]}")
    return 0


def _check(args: argparse.Namespace) -> None:
    if args.every < 1:
        raise UsageError(f"--every: expected at least 1, got {args.every}")
    if args.version is not None and args.dataset != "ho3d":
        raise UsageError("--version is HO-3D's; DexYCB has one version")
    if args.submission is not None and args.every != 1:
        raise UsageError("--submission needs every sample of the split; leave --every out")
    if args.submission is not None and args.dataset == "dexycb" and args.split == "all":
        raise UsageError("--submission is of one split; give it with --split s0 … s3")
    if args.submission is not None and args.submission.suffix not in (".json", ".txt"):
        raise UsageError(f"--submission: expected a .json (HO-3D) or .txt (DexYCB) file, got {args.submission}")


def _config(args: argparse.Namespace) -> PipelineConfig:
    """The pipeline's options; the cube is that of the paper's experiments unless one was asked for."""
    config = settings(args).pipeline
    key = "pipeline.cube_size"
    asked = f"config.{key}" in vars(args) or (args.config is not None and key in read_yaml(args.config))
    return config if asked else replace(config, {"cube_size": CUBE_SIZES[args.dataset]})


def _datasets(args: argparse.Namespace) -> dict[str, HandDataset]:
    if args.dataset == "dexycb":
        asked = SETUPS if args.split == "all" else (args.split or "s0",)
        splits = {name: f"{name}_test" if name in SETUPS else name for name in asked}
    else:
        name = args.split or ("eval" if _layout(args) == "coco" else "evaluation")
        splits = {name: name}
    found = {name: _open(args, split) for name, split in splits.items()}
    for name, data in found.items():
        if not data.has_truth and args.submission is None:
            raise DatasetError(
                f"{args.root}: no errors can be told on {name}, its truth is not there; put the released "
                "evaluation_xyz.json into the folder, ask for another --split, or for a --submission"
            )
    return found


def _open(args: argparse.Namespace, split: str) -> HandDataset:
    return open_dataset(args.dataset, args.root, split, layout=args.layout, version=args.version)


def _layout(args: argparse.Namespace) -> str:
    return find_layout(args.dataset, args.root, args.version) if args.layout == "auto" else str(args.layout)


def _predictors(
    args: argparse.Namespace, config: PipelineConfig, datasets: dict[str, HandDataset]
) -> tuple[Predictor, ...]:
    estimator: Estimator
    if args.checkpoint is not None:
        network = load("hand_pose_ros.engines.torch_authors").AuthorsNetwork(args.checkpoint, config.threads)
        estimator = AuthorsEstimator(network, config, args.dataset)
    else:
        estimator = open_estimator(config)
    there = ["finder"]
    if any(data.has_truth for data in datasets.values()):
        there.insert(0, "truth")
    if args.dataset == "ho3d" and args.split in (None, "evaluation", "eval"):
        there.insert(-1, "given")
    wanted = args.centers or there
    if args.submission is not None and _submission_center(args) not in wanted:
        wanted = [*wanted, _submission_center(args)]
    impossible = [name for name in wanted if name not in there]
    if impossible:
        raise UsageError(f"--centers: {', '.join(impossible)} is not known of this split; there are {', '.join(there)}")
    return tuple(
        FoundCenter(open_finder(config), estimator, config) if name == "finder" else KnownCenter(name, estimator)
        for name in CENTERS
        if name in wanted
    )


def _submission_center(args: argparse.Namespace) -> str:
    return str(args.submission_center or ("given" if args.dataset == "ho3d" else "truth"))


def _predict(
    args: argparse.Namespace, name: str, data: HandDataset, predictors: Sequence[Predictor]
) -> tuple[Predictions, ...]:
    indices = range(0, len(data), args.every)
    return predict(data, predictors, tqdm(indices, desc=name, unit="hand"))


def _scores(results: Sequence[Predictions]) -> list[Score]:
    """A row per centre; where our finder missed hands, also what the other centres give on the hands it found."""
    rows = [score(result) for result in results]
    found = next((result.found for result in results if result.center == "finder"), None)
    if found is not None and not found[results[0].known].all():
        rows += [score(result, found) for result in results if result.center != "finder"]
    return rows


def _table(
    args: argparse.Namespace, datasets: dict[str, HandDataset], scores: dict[str, list[Score]], method: str
) -> Table:
    if args.dataset == "dexycb":
        return dexycb_table(scores, method)
    (name, data), *_ = datasets.items()
    version = data.version if isinstance(data, Ho3d) else args.version
    published = version if data.split in ("evaluation", "eval") else None
    return ho3d_table(scores[name], method, version, published)


def _write_submission(
    args: argparse.Namespace,
    config: PipelineConfig,
    datasets: dict[str, HandDataset],
    runs: dict[str, tuple[Predictions, ...]],
    tables: list[Table],
) -> list[str]:
    """The submission file, and the mesh figures where there are MANO files; what is to be said about them."""
    (name, data), *_ = datasets.items()
    center = _submission_center(args)
    result = next((run for run in runs[name] if run.center == center), None)
    if result is None:
        return []
    vertices = None
    if args.dataset == "ho3d" and config.mano_path:
        vertices = fit_meshes(_mano(config), result.joints)
        _add_mesh_scores(data, vertices, args.every, tables)
    if args.submission is None:
        return []
    missing = int((~result.given).sum())
    notes = [f"{args.submission}: joints from the centre '{center}', {missing} of {len(result.given)} without a hand"]
    if isinstance(data, DexYcb):
        write_results(args.submission, data, result.joints)
    elif args.dataset == "ho3d":
        write_submission(args.submission, result.joints, vertices)
        if vertices is None:
            notes.append("its vertices are zeros: give --mano-path, your folder with MANO's files, for meshes")
    else:
        raise UsageError("--submission: DexYCB's result file counts the official frames; use its own layout")
    return notes


def _mano(config: PipelineConfig) -> HandModel:
    model = load_hand_models(config)[Side.RIGHT]
    if model.num_vertices != NUM_VERTICES:
        raise UsageError(
            f"--mano-path: the challenge's mesh has MANO's {NUM_VERTICES} vertices, the model in {config.mano_path} "
            f"has {model.num_vertices}; give MANO's own files"
        )
    return model


def _add_mesh_scores(data: HandDataset, vertices: FloatArray, every: int, tables: list[Table]) -> None:
    truth = data.vertices() if isinstance(data, Ho3d) else None
    if truth is None:
        return
    given = np.isfinite(vertices).all(axis=(1, 2))
    tables.append(mesh_table(mesh_scores(vertices[given], truth[::every][given])))
