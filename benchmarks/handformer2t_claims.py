r"""Handformer2T's claims on synthetic hands: refinement, MMD, keypoint-guided features, tokens (Tables 4, 6), cost (2).

    python -m benchmarks.handformer2t_claims --scenes data/scenes --test data/scenes_test --seeds 0 1
    python -m benchmarks.handformer2t_claims ... --rows base no-mmd             # some rows
    python -m benchmarks.handformer2t_claims ... --report                       # tabulate what there is
    python -m benchmarks.handformer2t_claims --cost                             # Table 2 alone: needs no data

Every row is what stands behind the same frozen encoder (that of `--weights`): the same scenes in the same order from
the same seed, the same number of samples; "training" is the last stage on scenes learnt from. Finished rows are kept
under --out. Coarse and refined poses are the stages of one network. Cost: random weights, 256 px crops, one CPU thread;
memory is what a batch of one more adds to a process, and the largest batch is what of it fits into 24 GB.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from benchmarks.handformer2t_rows import BASE, CROP, ROWS, Bench, Budget
from hand_pose_ros.evaluation.report import Cell, Report, Table
from hand_pose_ros.networks.handformer2t import Handformer2T, Handformer2TConfig
from hand_pose_ros.networks.keypoint_transformer import KeypointTransformer, KeypointTransformerConfig

# mm on InterHand2.6M as far as known to us, coarse and full: with MMD 12.32 coarse; MMD gains 0.17 and 0.48; Table 1's
# 8.28 and 10.72 are single and interacting hands.
PAPER: Final = {"base": "coarse 12.32, full better", "no-mmd": "+0.17 coarse, +0.48 full", "no-patches": "16.23"}
COSTS: Final[dict[str, tuple[str, Handformer2TConfig | KeypointTransformerConfig]]] = {
    "Handformer2T r50": ("35.9 M, 66.3 frames/s, 298 img/s, batch 128", Handformer2TConfig(size="r50")),
    "Handformer2T r50, joint tokens": ("99.4 M, slower", Handformer2TConfig(size="r50", tokens="joint")),
    "Keypoint Transformer r50": ("48 M, 19.7 frames/s", KeypointTransformerConfig(size="r50")),
    "Handformer2T lite": ("–", Handformer2TConfig(presence=True, relative_depth=True)),
    "Keypoint Transformer lite": ("–", KeypointTransformerConfig()),
}
SHIPPED: Final = Path(__file__).resolve().parents[1] / "models" / "handformer2t_lite.onnx"
_BATCHES: Final = (1, 5)
_MEMORY_BATCHES: Final = (4, 12)
_MEMORY: Final = 24e9
_REPEATS: Final = 3
Results = dict[tuple[str, int], dict[str, Any]]


def stage_table(results: Results) -> Table:
    """Errors of every stage; differences from the full network of the same seed with their standard errors."""
    rows: list[tuple[Cell, ...]] = []
    for row in ROWS:
        for (key, seed), found in sorted(results.items()):
            if key != row.key:
                continue
            base = results.get((BASE.key, seed))
            gap, error = (float("nan"),) * 2
            if base is not None and key != BASE.key:
                gap, error = _paired(found["errors"][-1], base["errors"][-1])
            errors = [float(np.nanmean(stage)) for stage in found["errors"]]
            cost = (found["training"], round(found["seconds"]), PAPER.get(key, "–"))
            rows.append((row.title, seed, *errors, gap, error, *cost))
    columns = ("network", "seed", "coarse mm", "refined once", "twice", "against the first", "±", "training", "CPU s")
    digits = (0, 0, 2, 2, 2, 2, 2, 2, 0, 0)
    return Table("Error from the hands' own wrists by stage", (*columns, "paper"), tuple(rows), digits)


def _paired(one: Any, other: Any) -> tuple[float, float]:
    gap = one - other
    gap = gap[np.isfinite(gap)]
    return float(gap.mean()), float(gap.std() / np.sqrt(len(gap)))


def token_table() -> Table:
    """Table 6 at the size of the rows: parameters and time of a crop."""
    networks = {row.key: Handformer2T(row.config()).eval() for row in ROWS}
    image = torch.rand(1, 3, CROP, CROP)
    times = _times({key: (network, image) for key, network in networks.items()})
    rows: list[tuple[Cell, ...]] = [
        (row.title, _millions(networks[row.key]), 1e3 * times[row.key]) for row in ROWS if row.mmd > 0
    ]
    return Table(
        f"Size and time of the rows, {CROP} px, batch 1", ("network", "parameters M", "CPU ms"), tuple(rows), 2
    )


def cost_table() -> Table:
    """Table 2: time, throughput and memory of published and small sizes."""
    torch.manual_seed(0)
    networks: dict[str, nn.Module] = {name: _built(name) for name in COSTS}
    one = _times({name: (network, torch.rand(1, 3, 256, 256)) for name, network in networks.items()})
    several = _times({name: (network, torch.rand(_BATCHES[1], 3, 256, 256)) for name, network in networks.items()})
    rows: list[tuple[Cell, ...]] = []
    for name, network in networks.items():
        grown = [_peak(name, batch) for batch in _MEMORY_BATCHES]
        each = (grown[1] - grown[0]) / (_MEMORY_BATCHES[1] - _MEMORY_BATCHES[0])
        fits = int((_MEMORY - 4 * 1e6 * _millions(network)) / each)
        speed = (1e3 * one[name], _BATCHES[1] / several[name], each / 1e6, fits)
        rows.append((name, _millions(network), *speed, COSTS[name][0]))
    columns = ("network", "parameters M", "ms, batch 1", f"img/s, batch {_BATCHES[1]}", "MB per image")
    return Table("Cost (Table 2)", (*columns, "largest batch in 24 GB", "paper, RTX 3090 Ti"), tuple(rows), 1)


def _built(name: str) -> nn.Module:
    config = COSTS[name][1]
    return (Handformer2T(config) if isinstance(config, Handformer2TConfig) else KeypointTransformer(config)).eval()


def _millions(network: nn.Module) -> float:
    return sum(parameter.numel() for parameter in network.parameters()) / 1e6


@torch.inference_mode()
def _times(calls: dict[str, tuple[nn.Module, Any]]) -> dict[str, float]:
    """Median CPU seconds; every network in its turn."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(_REPEATS + 1):
        for name, (network, image) in calls.items():
            start = time.process_time()
            network(image)
            if turn:
                times[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def _peak(name: str, batch: int) -> float:
    """Bytes that a pass over a batch adds to a process of its own."""
    command = [sys.executable, "-m", "benchmarks.handformer2t_claims", "--peak", name, str(batch)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _print_peak(name: str, batch: int) -> None:
    network, image = _built(name), torch.rand(batch, 3, 256, 256)
    with torch.inference_mode():
        network(image[:1])  # what is made once
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew (Linux)
        before = _memory("VmHWM")
        network(image)
    print(_memory("VmHWM") - before)


def _memory(name: str) -> int:
    """Bytes of an entry of this process's status."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(name)))


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--weights",
        type=Path,
        default=SHIPPED,
        help="of a Handformer2T (.onnx, .ckpt, .pt), whose encoder all rows stand behind (default: the shipped file)",
    )
    parser.add_argument("--scenes", type=Path, help="shards of `hand_pose synth scenes` to train on")
    parser.add_argument("--test", type=Path, help="shards of another seed to measure on")
    parser.add_argument("--out", type=Path, default=Path("out/bench/handformer2t_claims"))
    parser.add_argument("--rows", choices=[row.key for row in ROWS], nargs="+", help="only these (default: all)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--samples", type=int, default=Budget.samples, help="of each row")
    parser.add_argument(
        "--count", type=int, default=Budget.scenes, help="crops for training; fewer stored scenes are varied anew"
    )
    parser.add_argument("--report", action="store_true", help="train nothing; tabulate what is kept")
    parser.add_argument("--cost", action="store_true", help="Table 2 as well; alone without --scenes")
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)
    return parser


def _trained(options: argparse.Namespace) -> Results:
    budget = dataclasses.replace(Budget(), samples=options.samples, scenes=options.count)
    bench = Bench(options.weights, options.scenes, options.test, options.out, budget)
    pairs = [(row, seed) for seed in options.seeds for row in ROWS if not options.rows or row.key in options.rows]
    if options.report:
        pairs = [(row, seed) for row, seed in pairs if bench.has(row, seed)]
    missing = any(not bench.has(row, seed) for row, seed in pairs)
    data = bench.data() if missing else None
    return {(row.key, seed): bench.result(row, seed, data) for row, seed in pairs}


def main() -> int:
    """Command line."""
    parser = arguments()
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.peak:
        _print_peak(options.peak[0], int(options.peak[1]))
        return 0
    if options.scenes is None and not options.cost:
        parser.error("expected --scenes and --test to train rows on, or --cost")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    tables: list[Table] = []
    if options.scenes is not None:
        tables = [stage_table(_trained(options)), token_table()]
    if options.cost:
        tables.append(cost_table())
    report = Report("Handformer2T: claims", tuple(tables), json.loads(json.dumps(vars(options), default=str)))
    paths = report.write(options.out, "handformer2t_claims")
    print(report.text())
    print(f"\nwritten: {paths[1]}, {paths[0]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
