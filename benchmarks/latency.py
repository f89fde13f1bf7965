"""How long one run of a network takes: every model, engine, precision and batch, in turns.

    python -m benchmarks.latency                                           # the lite models on ONNX Runtime
    python -m benchmarks.latency --models kpt_fusion_r18 --rounds 5
    python -m benchmarks.latency --engines torch tensorrt --precisions fp32 fp16 --batches 1 8 32      # with a GPU

Random weights (they cost what trained ones do) and `--threads` CPU threads. The baseline of every ratio is our own
network as it is published: plain eager torch in float32, in the same run and at the same batch. Ratios are of CPU time
where the network runs on the CPU (a busy machine stretches wall time, not that), of wall time where it runs on a GPU.
Rounds in which every candidate takes its turn; ratios and CPU times are medians. `per second`: samples, by the median
of wall time. `memory`: what the process grew by until the first run was over. `energy`: of a run, where NVML or RAPL
tells; a dash where neither does.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from hand_pose_ros.engines.base import EngineError
from hand_pose_ros.engines.factory import available_engines, create_engine
from hand_pose_ros.evaluation.report import Cell, Report, Table
from hand_pose_ros.networks.hand_finder import HandFinderGraph, HandFinderNet
from hand_pose_ros.networks.handformer2t import Handformer2T, Handformer2TConfig
from hand_pose_ros.networks.handformer2t import export as handformer2t
from hand_pose_ros.networks.keypoint_fusion import KeypointFusion, KeypointFusionConfig
from hand_pose_ros.networks.keypoint_fusion import export as keypoint_fusion
from hand_pose_ros.networks.keypoint_fusion.lean import lean
from hand_pose_ros.networks.keypoint_transformer import KeypointTransformer, KeypointTransformerConfig
from hand_pose_ros.networks.keypoint_transformer import export as keypoint_transformer
from hand_pose_ros.networks.onnx_file import write_graph
from hand_pose_ros.networks.onnx_float16 import to_float16
from hand_pose_ros.networks.onnx_graph import folded
from hand_pose_ros.networks.onnx_int8 import to_int8

Deployed = tuple[nn.Module, dict[str, Tensor], tuple[str, ...]]
WARM_UP: Final = 1  # each candidate has run once before
EAGER: Final = "torch eager"


@dataclass
class Candidate:
    """How a network is run, and what each run took in seconds, wall and CPU; joules where they are told."""

    labels: tuple[str, str, str, int]  # model, engine, precision, batch
    run: Callable[[], Any]
    megabytes: float
    on_gpu: bool
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    energy: list[float] = field(default_factory=list)

    @property
    def cost(self) -> float:
        """What is compared: seconds of CPU or, on a GPU, of waiting."""
        return float(np.median(self.wall if self.on_gpu else self.cpu))


def _fusion(size: str) -> Deployed:
    network = KeypointFusion(KeypointFusionConfig(size=size))  # type: ignore[arg-type]
    given = keypoint_fusion.example_inputs()
    given["depth"][0, 24:104, 24:104] = torch.linspace(0.52, 0.68, 80)  # a surface, so that points have neighbours
    return keypoint_fusion.DeployedKeypointFusion(network), given, keypoint_fusion.OUTPUT_NAMES


def _transformer(size: str) -> Deployed:
    config = KeypointTransformerConfig(size=size)  # type: ignore[arg-type]
    module = keypoint_transformer.DeployedKeypointTransformer(KeypointTransformer(config))
    given = {"rgb": keypoint_transformer.example_input(config.crop)}
    return module, given, keypoint_transformer.output_names(module)


def _handformer2t(size: str) -> Deployed:
    network = Handformer2T(Handformer2TConfig(size=size, presence=True, relative_depth=True))  # type: ignore[arg-type]
    module = handformer2t.DeployedHandformer2T(network)
    return module, handformer2t.example_inputs(network), handformer2t.output_names(network)


def _finder() -> Deployed:
    rgb, depth = torch.full((1, 120, 160, 3), 90, dtype=torch.uint8), torch.full((1, 120, 160), 0.8)
    given = {"rgb": rgb, "depth": depth, "intrinsics": torch.tensor([[130.0, 130.0, 79.5, 59.5]])}
    return HandFinderGraph(HandFinderNet()), given, ("heatmap", "center")


MODELS: Final[dict[str, Callable[[], Deployed]]] = {
    "hand_finder": _finder,
    **{f"kpt_fusion_{size}": lambda size=size: _fusion(size) for size in ("lite", "r18", "convnext_t")},  # type: ignore[misc]
    **{f"keypoint_transformer_{size}": lambda size=size: _transformer(size) for size in ("lite", "r50")},  # type: ignore[misc]
    **{f"handformer2t_{size}": lambda size=size: _handformer2t(size) for size in ("lite", "r34", "r50")},  # type: ignore[misc]
}
DEFAULT: Final = ("hand_finder", "kpt_fusion_lite", "keypoint_transformer_lite", "handformer2t_lite")


def candidates(options: argparse.Namespace, model: str, batch: int, folder: Path) -> Iterator[Candidate]:
    """The baseline and every engine in every precision that can run here."""
    torch.manual_seed(0)
    module, given, names = MODELS[model]()
    module = module.eval()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    path = write_graph(
        _for_engines(module, batch), folder / f"{model}.{batch}.onnx", given, names, {"model": model}, batch
    )
    inputs = [value.repeat(batch, *[1] * (value.ndim - 1)) for value in given.values()]
    before = memory()
    yield Candidate(
        (model, EAGER, "fp32", batch), _eager(module.to(device), inputs), memory() - before, device.type == "cuda"
    )
    feed = {name: np.ascontiguousarray(value.numpy()) for name, value in zip(given, inputs, strict=True)}
    for precision in options.precisions:
        file = _in_precision(path, precision, feed)
        for name in options.engines:
            if precision == "int8" and name != "onnxruntime":
                continue  # its zero points are the CPU's
            before = memory()
            try:
                engine = create_engine(file, name, options.threads)
            except EngineError as error:
                print(f"{name}: {error}")
                continue
            engine.run(feed)
            on_gpu = any(word in engine.description.lower() for word in ("cuda", "tensorrt"))
            # ONNX Runtime's CPU computes float16 files in float32: such a row would say nothing.
            if precision == "fp16" and not on_gpu:
                print(f"{name}: fp16 is left out, this processor computes it in float32")
                continue
            yield Candidate(
                (model, name, precision, batch),
                lambda e=engine: e.run(feed),
                memory() - before,
                on_gpu,  # type: ignore[misc]
            )


def _for_engines(module: nn.Module, batch: int) -> nn.Module:
    """What is exported of a network: the same numbers from fewer operators, where there is such a form."""
    if isinstance(module, keypoint_fusion.DeployedKeypointFusion) and isinstance(module.network, KeypointFusion):
        return keypoint_fusion.DeployedKeypointFusion(lean(module.network, batch)).eval()
    return module


def _eager(module: nn.Module, inputs: list[Tensor]) -> Callable[[], Any]:
    device = next(module.parameters()).device

    def run() -> None:
        with torch.inference_mode():
            module(*(tensor.to(device) for tensor in inputs))
            if device.type == "cuda":
                torch.cuda.synchronize()

    run()
    return run


def _in_precision(path: Path, precision: str, feed: dict[str, Any]) -> Path:
    if precision == "fp32":
        return path
    target = path.with_suffix(f".{precision}.onnx")
    # Ranges of a single sample do for the time it takes.
    model = to_float16(folded(path)) if precision == "fp16" else to_int8(folded(path), [feed])
    onnx.save(model, str(target))
    return target


def measure(found: list[Candidate], rounds: int) -> None:
    """Every candidate in turn, round by round."""
    for turn in range(rounds + WARM_UP):
        for item in found:
            joules, wall, cpu = energy(), time.perf_counter(), time.process_time()
            item.run()
            spent = (time.perf_counter() - wall, time.process_time() - cpu, energy() - joules)
            if turn >= WARM_UP:
                for values, value in zip((item.wall, item.cpu, item.energy), spent, strict=True):
                    values.append(value)


def rows_of(found: list[Candidate]) -> list[tuple[Cell, ...]]:
    """A row per candidate; the first one is the baseline."""
    base = found[0].cost
    rows: list[tuple[Cell, ...]] = []
    for item in found:
        percentiles = (1e3 * float(np.percentile(item.wall, q)) for q in (50, 95, 99))
        rate = item.labels[3] / float(np.median(item.wall))
        cpu, joules = 1e3 * float(np.median(item.cpu)), float(np.mean(item.energy))
        rows.append((*item.labels, base / item.cost, cpu, *percentiles, rate, item.megabytes, joules))
    return rows


def memory() -> float:
    """Resident megabytes of this process, and what torch holds on a GPU."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    held = torch.cuda.memory_allocated() if torch.cuda.is_available() else 0
    return (pages * 4096 + held) / 1e6


def energy() -> float:
    """Joules counted so far by the GPU's driver or the processor; NaN where neither tells."""
    with suppress(ImportError, OSError):
        import pynvml  # type: ignore[import-not-found, unused-ignore]

        pynvml.nvmlInit()
        return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(pynvml.nvmlDeviceGetHandleByIndex(0))) / 1e3
    with suppress(OSError):
        return int(Path("/sys/class/powercap/intel-rapl:0/energy_uj").read_text()) / 1e6
    return float("nan")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=tuple(MODELS), default=list(DEFAULT))
    parser.add_argument("--engines", nargs="+", default=["onnxruntime"], choices=("onnxruntime", "torch", "tensorrt"))
    parser.add_argument("--precisions", nargs="+", default=["fp32"], choices=("fp32", "fp16", "int8"))
    parser.add_argument("--batches", nargs="+", type=int, default=[1])
    parser.add_argument("--rounds", type=int, default=20, help="timed rounds (default: 20)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore")  # the exporter's
    logging.disable(logging.WARNING)
    rows: list[tuple[Cell, ...]] = []
    with tempfile.TemporaryDirectory() as folder:
        for model in options.models:
            for batch in options.batches:
                found = list(candidates(options, model, batch, Path(folder)))
                measure(found, options.rounds)
                rows += rows_of(found)
    columns = ("model", "engine", "precision", "batch", "times as fast", "CPU ms", "p50 ms", "p95 ms", "p99 ms")
    columns += ("per second", "memory MB", "energy J")
    table = Table(f"Latency, {options.threads} thread(s)", columns, tuple(rows), (0, 0, 0, 0, 2, 1, 1, 1, 1, 1, 0, 2))
    data = {"threads": options.threads, "rounds": options.rounds, "torch": torch.__version__}
    result = Report("Latency", (table,), {**data, "engines here": list(available_engines())})
    print(result.text())
    result.write_json(options.json)


if __name__ == "__main__":
    main()
