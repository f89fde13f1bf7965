"""Every accuracy table of Keypoint-Fusion, by one command.

    python -m benchmarks.kpt_fusion_accuracy [--count 2000] [--dexycb ROOT] [--ho3d ROOT] [--out out/bench/kpt_fusion]
    python -m benchmarks.kpt_fusion_accuracy --ablation [--size probe] [--seeds 2] [--out out/bench/ablation]

The first measures the shipped model: the whole pipeline on held-out synthetic frames, on the real frames of the folder
`shared` where it is there, and, where a data set's folder is given, the paper's Tables 1 and 2. The second trains and
measures the paper's ablations (stages, Table 5's parts, Table 4's dense fusion) on one synthetic benchmark with fixed
seeds. What is finished is kept and not done again, so that it can be stopped at any time; `--minutes` begins no row
after so long. Both write one .md and one .json.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hand_pose_ros.cli.outputs import save_picture
from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.evaluation.report import Report

if TYPE_CHECKING:
    from benchmarks.ablation import Bench, Result
    from benchmarks.ablation_rows import Row

NAME = "kpt_fusion_accuracy"
OUT = {True: Path("out/bench/ablation"), False: Path("out/bench/kpt_fusion")}


@dataclass(frozen=True)
class Part:
    """One measurement of the shipped model: a command that writes `<report>.md` and `.json` into its folder."""

    title: str
    command: tuple[str, ...]
    folder: Path
    report: str


def parts(options: argparse.Namespace, out: Path) -> tuple[Part, ...]:
    """What can be measured with what there is."""
    evaluate = ("-m", "hand_pose_ros.cli.main", "eval")
    model = ("--model", options.model)
    folder = out / "synthetic"
    asked = ("--count", str(options.count), "--worst", "0", *model, "--out", str(folder))
    found = [Part("Held-out synthetic frames", (*evaluate, "synthetic", *asked), folder, "synthetic")]
    if (options.shared / "data").is_dir():
        folder = out / "real_frames"
        command = ("-m", "benchmarks.real_frames", "--shared", str(options.shared), *model, "--out", str(folder))
        found.append(Part("Real frames", command, folder, "real_frames"))
    network = model if options.checkpoint is None else ("--checkpoint", str(options.checkpoint))
    for name, root, split in (("dexycb", options.dexycb, ("--split", options.split)), ("ho3d", options.ho3d, ())):
        if root is not None:
            data = ("--dataset", name, "--root", str(root), *split, "--every", str(options.every))
            folder = out / name
            command = (*evaluate, "kpt_fusion", *data, *network, "--out", str(folder))
            found.append(Part(name, command, folder, f"kpt_fusion_{name}"))
    return tuple(found)


def measure(chosen: Sequence[Part], out: Path) -> tuple[Path, Path]:
    """Run the commands one after the other and put their reports together; paths of the .json and the .md.

    Raises:
        subprocess.CalledProcessError: a command failed; it has said why.
    """
    texts, figures = [], {}
    for part in chosen:
        subprocess.run((sys.executable, *part.command), check=True)
        path = part.folder / part.report
        texts.append("#" + path.with_suffix(".md").read_text(encoding="utf-8"))
        figures[part.report] = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    paths = out / f"{NAME}.json", out / f"{NAME}.md"
    paths[0].write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    paths[1].write_text("\n".join(["# Keypoint-Fusion: the shipped model\n", *texts]), encoding="utf-8")
    return paths


def ablate(options: argparse.Namespace, out: Path) -> Report | None:
    """Train what is missing, measure, and tabulate what there is; None where that is nothing yet."""
    # torch is for those who train.
    import torch

    from benchmarks import ablation_data
    from benchmarks.ablation import BUDGETS
    from benchmarks.ablation_costs import costs
    from benchmarks.ablation_pictures import chart, crops
    from benchmarks.ablation_report import make_report
    from benchmarks.ablation_rows import rows
    from benchmarks.ablation_stages import WEIGHTS, make_bench

    every = rows(options.size)
    torch.set_num_threads(options.threads)
    given = {"samples": options.samples, "trunk": options.trunk_samples, "crops": options.crops}
    budget = dataclasses.replace(BUDGETS[options.size], **{name: value for name, value in given.items() if value})
    folder = out / options.size
    training, test = ablation_data.folders(folder / "data")
    if not options.report:
        ablation_data.make(folder / "data", budget.crops, options.workers)
    weights = options.weights or WEIGHTS
    bench = make_bench(options.size, training, test, folder, budget, options.threads, options.accelerator, weights)
    results = _train_missing(bench, every, options)
    if not results:
        return None
    save_picture(out / "kpt_fusion_ablation.png", chart(results, options.size))
    if test.exists():
        save_picture(out / "kpt_fusion_ablation_crops.jpg", crops(next(ablation_data.test_batches(test, 32, True))))
    return make_report(bench, results, costs(every, options.repeats))


def _train_missing(bench: Bench, every: Sequence[Row], options: argparse.Namespace) -> list[Result]:
    """The first seed's rows, then the further seeds of those that are repeated."""
    from benchmarks.ablation_report import REPEATED

    asked = [(row, 0) for row in every]
    asked += [(row, seed) for seed in range(1, options.seeds) for row in every if row.key in REPEATED]
    results, start = [], time.monotonic()
    for row, seed in asked:
        late = options.report or (options.minutes and time.monotonic() - start > 60 * options.minutes)
        if bench.has(row, seed) or not late:
            results.append(bench.result(row, seed))
    return results


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder of the report")
    shipped = parser.add_argument_group("the shipped model")
    shipped.add_argument("--model", default=PipelineConfig().model, help="a name or an .onnx file")
    shipped.add_argument("--count", type=int, default=2000, help="synthetic frames (default: 2000)")
    shipped.add_argument(
        "--shared", type=Path, default=Path("../shared"), help="folder whose data/ has the real frames"
    )
    shipped.add_argument("--dexycb", type=Path, metavar="ROOT", help="DexYCB's folder: Table 1")
    shipped.add_argument("--split", default="all", help="of DexYCB: s0 ... s3 or all (default: all)")
    shipped.add_argument("--ho3d", type=Path, metavar="ROOT", help="HO-3D's folder: Table 2")
    shipped.add_argument("--every", type=int, default=1, metavar="N", help="only every N-th sample of the data sets")
    shipped.add_argument("--checkpoint", type=Path, metavar="FILE.pth", help="the authors', for the data sets")
    trained = parser.add_argument_group("ablation")
    trained.add_argument("--ablation", action="store_true", help="train and compare the paper's ablations")
    trained.add_argument("--size", default="probe", choices=("probe", "tiny", "lite", "r18", "convnext_t"))
    trained.add_argument("--seeds", type=int, default=1, help="seeds of the two main rows (default: 1)")
    trained.add_argument("--samples", type=int, help="samples of each row (default: the size's)")
    trained.add_argument("--trunk-samples", type=int, help="samples of the depth branch before that")
    trained.add_argument("--crops", type=int, help="distinct crops drawn for training")
    trained.add_argument("--weights", type=Path, metavar="FILE.pt", help="probe: whose branches (default: the shipped)")
    trained.add_argument("--minutes", type=float, default=0.0, help="begin no row after so long; 0: never stop")
    trained.add_argument("--report", action="store_true", help="train nothing; tabulate what is kept")
    trained.add_argument("--threads", type=int, default=1, help="of torch in training (default: 1)")
    trained.add_argument("--workers", type=int, default=1, help="processes that draw (default: 1)")
    trained.add_argument("--accelerator", default="cpu", choices=("auto", "cpu", "gpu"))
    trained.add_argument("--repeats", type=int, default=20, help="of the timing (default: 20)")
    return parser


def main() -> int:
    """Command line."""
    parser = arguments()
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    out = options.out or OUT[options.ablation]
    if not options.ablation:
        try:
            paths = measure(parts(options, out), out)
        except subprocess.CalledProcessError as error:
            return error.returncode  # the command has said why
    else:
        try:
            report = ablate(options, out)
        except ValueError as error:
            parser.error(str(error))
        if report is None:
            parser.error("--report: no row is trained yet; leave it out")
        paths = report.write(out, f"ablation_{options.size}")
        print(report.text())
    print(f"\nwritten: {paths[1]}, {paths[0]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
