"""Keypoint Transformer's peak search and sizes: `python -m benchmarks.keypoint_transformer [--maps 100] [--speed]`.

Peaks: the published greedy search against the graph's after some rounds, on maps as training has them and on harsher
ones. With `--checkpoint FILE --published NAME --images FOLDER` also on an authors' network's own maps of pictures
(256x256 crops), and how far its results move. `--speed` exports each size and times it in ONNX Runtime, one thread, CPU
time of the process.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from hand_pose_ros.networks.keypoint_transformer import (
    KeypointTransformer,
    KeypointTransformerConfig,
    PeakSettings,
    published,
)
from hand_pose_ros.networks.keypoint_transformer.checkpoint import load_checkpoint
from hand_pose_ros.networks.keypoint_transformer.compare import compare_peaks, compare_results
from hand_pose_ros.networks.keypoint_transformer.export import example_inputs, export_onnx
from hand_pose_ros.training.keypoint_transformer_training import network_config

ROWS, COLUMNS = np.mgrid[:128, :128]
ROUNDS = (1, 2, 4, 6, 8)
Map = Callable[[np.random.Generator], np.ndarray]
SIZES = {
    "lite 3d": KeypointTransformerConfig(),
    "lite 3d, object": KeypointTransformerConfig(objects=True),
    "as shipped": network_config(crop=96, objects=True, self_layers=2, depth=True, placed=True, depth_look=True),
    "lite 2p5d": KeypointTransformerConfig(representation="2p5d"),
    "lite angles": KeypointTransformerConfig(representation="angles"),
    "r18 3d": KeypointTransformerConfig(size="r18"),
    "r50 3d, object": KeypointTransformerConfig(size="r50", objects=True),
}


def hands(generator: np.random.Generator, sigma: float = 1.25, noise: float = 0.0) -> np.ndarray:
    """The heat map of two overlapping clusters of 21 joints; `sigma` 1.25 is the training target's."""
    heat = noise * generator.standard_normal((128, 128))
    for _ in range(2):
        middle = generator.uniform(40, 88, 2)
        for x, y in np.clip(middle + generator.normal(0, 14, (21, 2)), 0, 127):
            heat += 255 * np.exp(-((COLUMNS - x) ** 2 + (ROWS - y) ** 2) / (2 * sigma**2))
    return np.asarray(heat, dtype=np.float32)


def smooth(generator: np.random.Generator, cells: int) -> np.ndarray:
    """Noise of a coarse grid, interpolated: maxima of all heights close together, as of an untrained network."""
    coarse = generator.standard_normal((cells, cells)).astype(np.float32)
    return np.asarray(60 * cv2.resize(coarse, (128, 128), interpolation=cv2.INTER_CUBIC) + 60, dtype=np.float32)


def blob(generator: np.random.Generator, noise: float) -> np.ndarray:
    """A segmentation: an ellipse of 255."""
    (x, y), (a, b) = generator.uniform(40, 88, 2), generator.uniform(10, 30, 2)
    inside = ((COLUMNS - x) / a) ** 2 + ((ROWS - y) / b) ** 2 < 1
    return np.asarray(255 * inside + noise * generator.standard_normal((128, 128)), dtype=np.float32)


MAPS: dict[str, Map] = {
    "two hands, as the target": hands,
    "two hands, noise 5": lambda generator: hands(generator, noise=5.0),
    "two hands, twice as wide": lambda generator: hands(generator, sigma=2.5),
    "smooth noise, 40 cells": lambda generator: smooth(generator, 40),
    "smooth noise, 16 cells": lambda generator: smooth(generator, 16),
    "segmentation, noise 3": lambda generator: blob(generator, 3.0),
    "segmentation, flat": lambda generator: blob(generator, 0.0),
}


def peak_rows(count: int) -> list[dict[str, Any]]:
    """Per kind of map and number of rounds, what differs from the greedy search (the best 100 peaks count)."""
    rows = []
    for name, make in MAPS.items():
        generator = np.random.default_rng(0)
        maps = torch.from_numpy(np.stack([make(generator) for _ in range(count)]))[:, None]
        for rounds in ROUNDS:
            found = compare_peaks(maps, 100, settings=PeakSettings(rounds=rounds))
            rows.append({"maps": name, "rounds": rounds, **found._asdict()})
    return rows


def result_rows(options: argparse.Namespace) -> list[dict[str, Any]]:
    """How far the results of an authors' network move on pictures."""
    network = KeypointTransformer(published(options.published))
    load_checkpoint(network, options.checkpoint)
    paths = sorted(path for path in options.images.iterdir() if path.suffix in (".png", ".jpg"))
    pictures = [cv2.cvtColor(cv2.resize(cv2.imread(str(path)), (256, 256)), cv2.COLOR_BGR2RGB) for path in paths]
    image = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255
    rows = []
    for rounds in ROUNDS:
        peaks, shifts = compare_results(network.eval(), image, PeakSettings(rounds=rounds))
        moved = {f"{name} {kind}": value for name, shift in shifts.items() for kind, value in shift._asdict().items()}
        rows.append({"maps": options.published, "rounds": rounds, **peaks._asdict(), **moved})
    return rows


def speed_rows(repeats: int) -> list[dict[str, Any]]:
    """Parameters, size of the file and CPU time of a forward pass."""
    import onnxruntime

    rows = []
    for name, config in SIZES.items():
        torch.manual_seed(0)
        network = KeypointTransformer(config)
        with tempfile.TemporaryDirectory() as folder:
            path = export_onnx(network, Path(folder) / "network.onnx", {})
            session_options = onnxruntime.SessionOptions()
            session_options.intra_op_num_threads = 1
            session = onnxruntime.InferenceSession(str(path), session_options)
            size = path.stat().st_size
        given = {name: value.numpy() for name, value in example_inputs(network).items()}
        session.run(None, given)
        times = []
        for _ in range(repeats):
            start = time.process_time()
            session.run(None, given)
            times.append(time.process_time() - start)
        parameters = sum(parameter.numel() for parameter in network.parameters())
        rows.append(
            {
                "network": name,
                "parameters (M)": round(parameters / 1e6, 2),
                "file (MB)": round(size / 1e6, 2),
                "CPU (ms)": round(1e3 * float(np.median(times)), 1),
            }
        )
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    """Print rows of equal keys as a table."""
    print(" | ".join(rows[0]))
    for row in rows:
        print(" | ".join(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", type=int, default=100, help="maps of each kind")
    parser.add_argument("--speed", action="store_true", help="export and time the sizes")
    parser.add_argument("--repeats", type=int, default=10, help="timed passes of each size")
    parser.add_argument("--checkpoint", type=Path, help="a file of the authors")
    parser.add_argument("--published", default="interhand", help="which of their networks it is")
    parser.add_argument("--images", type=Path, help="folder of crops, needed with --checkpoint")
    parser.add_argument("--json", type=Path, help="write the rows here too")
    options = parser.parse_args()
    if options.checkpoint is not None and options.images is None:
        parser.error("--checkpoint needs --images: a folder of .png or .jpg crops of hands")
    torch.set_num_threads(1)
    tables = {"peaks": peak_rows(options.maps)} if options.maps else {}
    if options.checkpoint is not None:
        tables["results"] = result_rows(options)
    if options.speed:
        tables["speed"] = speed_rows(options.repeats)
    for rows in tables.values():
        show(rows)
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(tables, indent=1))


if __name__ == "__main__":
    main()
