"""Parameters, floating point operations and CPU time of Keypoint-Fusion in all its sizes, stages and fusions.

    python -m benchmarks.networks [--sizes lite r18 convnext_t] [--repeats 10] [--no-onnx] [--json out/networks.json]

One crop, one thread, random weights (they cost what trained ones do). Operations are 2 per multiply-add, as torch's
flop counter counts them (convolutions and matrix products). Times are CPU time of this process, the median over rounds
in which every network of a size takes its turn, so that a busy machine is busy for all of them; the last column
compares each with the same size's two keypoint stages. "authors" is the published computation with its pre-processing
in front of it. The network in torch and its plain graph in ONNX Runtime are timed apart; what `hand_pose export` writes
of keypoint stages is leaner (`benchmarks.latency`), so that forms of a graph would be compared and not networks.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from hand_pose_ros.evaluation.report import Cell, Report, Table
from hand_pose_ros.networks.keypoint_fusion import KeypointFusion, KeypointFusionConfig
from hand_pose_ros.networks.keypoint_fusion.authors import AuthorsKeypointFusion
from hand_pose_ros.networks.keypoint_fusion.authors.export import DeployedAuthors
from hand_pose_ros.networks.keypoint_fusion.config import PRESETS
from hand_pose_ros.networks.keypoint_fusion.export import OUTPUT_NAMES, DeployedKeypointFusion, example_inputs
from hand_pose_ros.networks.onnx_file import write_graph

# Fact sheet of the published code: GFLOP by the same counter, live parameters in millions.
PUBLISHED = {"r18": (4.13, 28.70), "convnext_t": (8.85, 67.12)}
REFERENCE = "keypoint, 2 stages"
FUSIONS: Mapping[str, Mapping[str, Any]] = {
    "depth only": {"stages": 0},
    "keypoint, 1 stage": {"stages": 1},
    REFERENCE: {"stages": 2},
    "keypoint, 3 stages": {"stages": 3},
    "dense, 1 stage": {"stages": 1, "fusion": "dense"},
    "dense, 2 stages": {"stages": 2, "fusion": "dense"},
}
WARM_UP = 2


@dataclass
class Candidate:
    """A network of the table: how to run it, and what it took."""

    size: str
    name: str
    parameters: int
    gflop: float
    runs: dict[str, Callable[[], Any]]
    times: dict[str, list[float]] = field(default_factory=dict)

    def milliseconds(self, engine: str) -> float:
        """Median CPU time, NaN where it was not measured."""
        return 1e3 * statistics.median(self.times[engine]) if engine in self.times else float("nan")


def build(size: str, name: str) -> nn.Module:
    """One row's network as it is deployed: bytes and metres in, joints out."""
    if name == "authors":
        return DeployedAuthors(AuthorsKeypointFusion(KeypointFusionConfig(size=size, variant="authors")))  # type: ignore[arg-type]
    return DeployedKeypointFusion(KeypointFusion(KeypointFusionConfig(size=size, **FUSIONS[name])))  # type: ignore[arg-type]


def inputs() -> dict[str, Tensor]:
    """A slanted surface that fills the middle of the crop, so that every point has neighbours."""
    given = example_inputs()
    slope = torch.linspace(0.52, 0.68, 128)
    given["depth"][0, 24:104, 24:104] = slope[24:104]
    given["depth"][0, :24] = 0
    return given


def candidate(size: str, name: str, onnx: bool, folder: Path) -> Candidate:
    """Build, count and make ready."""
    torch.manual_seed(0)
    network = build(size, name).eval()
    given = inputs()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(**given)

    def run_torch() -> None:
        with torch.inference_mode():
            network(**given)

    runs: dict[str, Callable[[], Any]] = {"torch": run_torch}
    if onnx:
        runs["onnxruntime"] = _onnx(network, given, folder / f"{size}_{name.replace(' ', '_').replace(',', '')}.onnx")
    parameters = sum(p.numel() for p in network.parameters())
    return Candidate(size, name, parameters, counter.get_total_flops() / 1e9, runs)


def _onnx(network: nn.Module, given: Mapping[str, Tensor], path: Path) -> Callable[[], Any]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    write_graph(network, path, example_inputs(), OUTPUT_NAMES, {})
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    path.unlink()
    feed = {name: value.numpy() for name, value in given.items()}
    return lambda: session.run(None, feed)


def measure(candidates: list[Candidate], repeats: int) -> None:
    """Fill in the times, round by round."""
    for turn in range(repeats + WARM_UP):
        for item in candidates:
            for engine, run in item.runs.items():
                start = time.process_time()
                run()
                if turn >= WARM_UP:
                    item.times.setdefault(engine, []).append(time.process_time() - start)


def measured(size: str, repeats: int, onnx: bool, folder: Path) -> list[tuple[Cell, ...]]:
    """The rows of one size."""
    names = (*FUSIONS, *(("authors",) if size in PUBLISHED else ()))
    candidates = [candidate(size, name, onnx, folder) for name in names]
    measure(candidates, repeats)
    engine = "onnxruntime" if onnx else "torch"
    reference = next(item.milliseconds(engine) for item in candidates if item.name == REFERENCE)
    rows: list[tuple[Cell, ...]] = []
    for item in candidates:
        times = (item.milliseconds("torch"), item.milliseconds("onnxruntime"), item.milliseconds(engine) / reference)
        rows.append((item.size, item.name, item.parameters / 1e6, item.gflop, *times))
    return rows


def report(rows: list[tuple[Cell, ...]]) -> Report:
    """Table and figures."""
    columns = ("size", "fusion", "M parameters", "GFLOP", "torch ms", "ONNX Runtime ms", "ratio of time")
    table = Table("Keypoint-Fusion, one crop, one CPU thread", columns, tuple(rows), (0, 0, 2, 2, 1, 1, 2))
    sizes = {row[0] for row in rows}
    notes = tuple(
        f"published {size}: {gflop} GFLOP, {live} M live parameters (fact sheet)"
        for size, (gflop, live) in PUBLISHED.items()
        if size in sizes
    )
    return Report("Networks", (table,), {"published": PUBLISHED, "torch": torch.__version__, "threads": 1}, notes)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=tuple(PRESETS), default=list(PRESETS))
    parser.add_argument("--repeats", type=int, default=10, help="timed rounds (default: 10)")
    parser.add_argument("--onnx", action=argparse.BooleanOptionalAction, default=True, help="export and time that too")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")  # the exporter's
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        # Size by size: all networks at once would take gigabytes.
        rows = [row for size in options.sizes for row in measured(size, options.repeats, options.onnx, Path(folder))]
    result = report(rows)
    print(result.text())
    result.write_json(options.json)


if __name__ == "__main__":
    main()
