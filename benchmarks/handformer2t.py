"""Handformer2T's parameters beside the paper's tables 5 and 6: `python -m benchmarks.handformer2t [--speed]`.

Parameters are counted on the built networks (flows of the loss are not in them, nor are the optional heads but in
"lite"). `--speed` also builds each network with random weights, exports it and times a crop in torch and in ONNX
Runtime, one thread, CPU time of this process, median over rounds in which every network takes its turn.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import torch

from hand_pose_ros.evaluation.report import Cell, Report, Table
from hand_pose_ros.networks.handformer2t import Handformer2T, Handformer2TConfig
from hand_pose_ros.networks.handformer2t.export import example_inputs, export_onnx
from hand_pose_ros.training.handformer2t_options import Handformer2TOptions, network_config
from hand_pose_ros.training.scene_sources import SceneData

LITE: Final = Handformer2TConfig(presence=True, relative_depth=True)
_LOOKS: Final = {"stages": 2, "depth_look": True}
SHIPPED: Final = network_config(
    Handformer2TOptions(SceneData(()), crop=64, placed=True, depth=True, closer_only=True, network=_LOOKS)
)
# Millions of parameters as printed.
TABLE_5: Final[Mapping[str, tuple[Handformer2TConfig, float]]] = {
    "r34, 128": (Handformer2TConfig(size="r34", token_size=128), 24.9),
    "r34, 256": (Handformer2TConfig(size="r34", token_size=256), 31.7),
    "r34, 512": (Handformer2TConfig(size="r34", token_size=512), 46.9),
    "r50, 128": (Handformer2TConfig(size="r50", token_size=128), 29.1),
    "r50, 256": (Handformer2TConfig(size="r50", token_size=256), 35.9),
    "r50, 512": (Handformer2TConfig(size="r50", token_size=512), 51.1),
}
TABLE_6: Final[Mapping[str, tuple[Handformer2TConfig, float]]] = {
    "r34, 256, joint tokens": (Handformer2TConfig(size="r34", tokens="joint"), 95.1),
    "r50, 256, joint tokens": (Handformer2TConfig(size="r50", tokens="joint"), 99.4),
}
OURS: Final[Mapping[str, tuple[Handformer2TConfig, float]]] = {
    "lite, 96, both heads": (LITE, float("nan")),
    "ours, as shipped": (SHIPPED, float("nan")),
}
NETWORKS: Final = {**TABLE_5, **TABLE_6, **OURS}
WARM_UP: Final = 2


def parameters(config: Handformer2TConfig) -> int:
    """Of the network, without allocating it."""
    with torch.device("meta"):
        network = Handformer2T(config)
    return sum(parameter.numel() for parameter in network.parameters())


def parameter_table() -> Table:
    """Ours beside the paper's."""
    rows: list[tuple[Cell, ...]] = []
    for name, (config, paper) in NETWORKS.items():
        millions = parameters(config) / 1e6
        rows.append((name, paper, millions, 100 * (millions / paper - 1)))
    return Table(
        "Parameters in millions (tables 5 and 6)", ("network", "paper", "ours", "difference %"), tuple(rows), 3
    )


def runs(config: Handformer2TConfig, path: Path) -> dict[str, Callable[[], object]]:
    """A crop through torch and through ONNX Runtime; the graph is written to `path`."""
    import onnxruntime

    torch.manual_seed(0)
    network = Handformer2T(config).eval()
    export_onnx(network, path, {})
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    examples = example_inputs(network)
    given = {name: value.numpy() for name, value in examples.items()}
    image, depth = torch.rand(1, 3, config.picture, config.picture), (examples.get("relief"), examples.get("view"))
    return {
        "torch": lambda: torch.inference_mode()(network)(image, *depth),
        "onnxruntime": lambda: session.run(None, given),
    }


def speed_table(names: list[str], repeats: int, folder: Path) -> Table:
    """CPU milliseconds of one crop."""
    paths = {name: folder / f"{index}.onnx" for index, name in enumerate(names)}
    candidates = {name: runs(NETWORKS[name][0], paths[name]) for name in names}
    times: dict[tuple[str, str], list[float]] = {}
    for turn in range(repeats + WARM_UP):
        for name, engines in candidates.items():
            for engine, run in engines.items():
                start = time.process_time()
                run()
                if turn >= WARM_UP:
                    times.setdefault((name, engine), []).append(1e3 * (time.process_time() - start))
    rows: list[tuple[Cell, ...]] = [
        (
            name,
            paths[name].stat().st_size / 1e6,
            statistics.median(times[name, "torch"]),
            statistics.median(times[name, "onnxruntime"]),
        )
        for name in names
    ]
    columns = ("network", "ONNX MB", "torch ms", "ONNX Runtime ms")
    return Table("One crop, one CPU thread", columns, tuple(rows), 1)


def main() -> None:
    """Count, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speed", nargs="*", choices=tuple(NETWORKS), help="networks to time; all without names")
    parser.add_argument("--repeats", type=int, default=10, help="timed rounds (default: 10)")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")  # the exporter's
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    tables = [parameter_table()]
    if options.speed is not None:
        with tempfile.TemporaryDirectory() as folder:
            tables.append(speed_table(options.speed or list(NETWORKS), options.repeats, Path(folder)))
    report = Report("Handformer2T", tuple(tables), {"torch": torch.__version__, "threads": 1})
    print(report.text())
    report.write_json(options.json)


if __name__ == "__main__":
    main()
