r"""Keypoint Transformer's claims on synthetic hands: association loss, N_SA, poses, baselines, false keypoints.

    python -m benchmarks.keypoint_transformer_claims --scenes data/scenes --test data/scenes_test
    python -m benchmarks.keypoint_transformer_claims ... --row sa6 --seed 1     # one row
    python -m benchmarks.keypoint_transformer_claims ... --report               # tabulate what there is

Every row is a transformer on the same frozen image part (`--trunk`: of the shipped file, or of a checkpoint of
`hand_pose train keypoint_transformer`), the same scenes in the same order, the same number of samples; finished rows
are kept, a stopped row goes on. Keypoints are the true joints as a detector of known quality finds them: what is
compared is what comes behind the detector. Rows whose whole network is trained: `hand_pose train keypoint_transformer`
with `--self-layers` and `--representation`.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch

from benchmarks.claims_bench import INJECTED, Bench, Budget
from benchmarks.claims_points import FALSE_PART, digest, remember, unseeing
from benchmarks.claims_rows import PAPER, ROWS, Row
from hand_pose_ros.evaluation.report import Cell, Report, Table
from hand_pose_ros.training.keypoint_transformer_training import trained
from hand_pose_ros.training.scene_crops import VALIDATION, SceneAugmentation

SHIPPED: Final = Path(__file__).resolve().parents[1] / "models" / "keypoint_transformer_lite.onnx"
_TRAINING: Final = SceneAugmentation(shift=0.12, scale=0.2, roll_part=0.5, roll_std=0.3)
_MEASURES: Final = ("single_mm", "interacting_mm", "mpjpe_mm", "mrrpe_mm")

Results = dict[tuple[str, int], dict[str, Any]]


def table(group: str, results: Results) -> Table:
    """The rows of a group, the full network first, with the paper's figures where they are known."""
    rows = []
    for row in ROWS:
        if row.group == group or row.key == ROWS[0].key:
            rows += [_line(row, seed, results) for key, seed in sorted(results) if key == row.key]
    columns = ("network", "seed", "single mm", "interacting mm", "all mm", "MRRPE mm", "identities %", "CPU s", "paper")
    return Table(group, columns, tuple(rows), 1)


def _line(row: Row, seed: int, results: Results) -> tuple[Cell, ...]:
    figures = results[row.key, seed][f"{FALSE_PART:g}"]
    identity = 100 * figures.get("identity", float("nan")) if row.association else None
    paper = " / ".join(f"{value:g}" for value in PAPER[row.key]) if row.key in PAPER else "–"
    seconds = round(results[row.key, seed]["seconds"])
    return (row.title, seed, *(figures.get(name) for name in _MEASURES), identity, seconds, paper)


def injected_table(results: Results) -> Table:
    """Fig. 8: the error of interacting hands with more and more false keypoints."""
    rows: list[tuple[Cell, ...]] = []
    for row in ROWS:
        for (key, seed), result in sorted(results.items()):
            if key == row.key and row.tokens == "keypoints":
                rows.append((row.title, seed, *(result[f"{part:g}"]["mpjpe_mm"] for part in INJECTED)))
    columns = ("network", "seed", *(f"{round(100 * part)} % false" for part in INJECTED))
    return Table("False keypoints added in the test (MPJPE of all, mm)", columns, tuple(rows), 1)


def nothing_table(figures: Mapping[str, float]) -> Table:
    """What is reached without looking."""
    columns = ("", "single mm", "interacting mm", "all mm", "MRRPE mm")
    row = ("the training's median pose", *(figures[name] for name in _MEASURES))
    return Table("Without looking", columns, (row,), 1)


def report(results: Results, about: dict[str, Any], nothing: Mapping[str, float]) -> Report:
    """All tables."""
    groups = dict.fromkeys(row.group for row in ROWS)
    data = {"about": about, "rows": {f"{key}-seed{seed}": value for (key, seed), value in results.items()}}
    return Report(
        "Keypoint Transformer: claims",
        (nothing_table(nothing), *(table(group, results) for group in groups), injected_table(results)),
        data,
    )


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--trunk",
        type=Path,
        default=SHIPPED,
        metavar="FILE",
        help=".onnx or .ckpt whose image part all rows share (default: the shipped file)",
    )
    parser.add_argument("--scenes", type=Path, required=True, help="shards of `hand_pose synth scenes` to train on")
    parser.add_argument("--test", type=Path, required=True, help="shards of another seed to measure on")
    parser.add_argument("--out", type=Path, default=Path("out/bench/keypoint_transformer_claims"))
    parser.add_argument("--row", choices=[row.key for row in ROWS], nargs="+", help="only these (default: all)")
    parser.add_argument("--seed", type=int, nargs="+", default=[0], help="seeds (default: 0)")
    parser.add_argument("--samples", type=int, default=Budget.samples, help="of each row")
    parser.add_argument("--count", type=int, default=Budget.scenes, help="distinct scenes for training")
    parser.add_argument("--test-count", type=int, default=Budget.test, help="scenes measured on")
    parser.add_argument("--report", action="store_true", help="train nothing; tabulate what is kept")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--accelerator", default="cpu", choices=("auto", "cpu", "gpu"))
    return parser


def main() -> int:
    """Command line."""
    parser = arguments()
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    budget = dataclasses.replace(Budget(), samples=options.samples, scenes=options.count, test=options.test_count)
    out = options.out / digest(options.trunk)
    trunk = trained(options.trunk).eval()
    training = remember(trunk, options.scenes, out / f"train-{budget.scenes}", budget.scenes, 0, _TRAINING)
    test = remember(trunk, options.test, out / f"test-{budget.test}", budget.test, 1, VALIDATION)
    bench = Bench(training, test, out, trunk.config.crop, budget, options.threads, options.accelerator)
    chosen = [row for row in ROWS if options.row is None or row.key in options.row]
    results: Results = {}
    try:
        for seed in options.seed:
            for row in chosen:
                if bench.has(row, seed) or not options.report:
                    results[row.key, seed] = bench.result(row, seed)
    except ValueError as error:
        parser.error(str(error))
    if not results:
        parser.error("--report: no row is trained yet; leave it out")
    about = {"trunk": digest(options.trunk), "crop": trunk.config.crop, "budget": dataclasses.asdict(budget)}
    made = report(results, about, unseeing(training, test))
    paths = made.write(options.out, "keypoint_transformer_claims")
    print(made.text())
    print(f"\nwritten: {paths[1]}, {paths[0]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
