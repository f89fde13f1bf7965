"""Samples per second of a Keypoint-Fusion training, part by part and as a whole.

    python -m benchmarks.training --size r18 --threads 2 --steps 12
    python -m benchmarks.training --size lite --batch-size 256 --accelerator gpu --precision bf16-mixed --workers 14

draw: what chance decides, and copying (one thread). crop: cutting and varying crops on the device. step: optimiser
steps on one batch again and again; step_cpu: the same per second of this process's CPU time, which holds on a busy
machine too. rendered: the whole training on synthetic data, rendered meanwhile; the first steps,
in which workers start, are not counted.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice, repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hand_pose_ros.datasets.synthetic.spec import SyntheticConfig
from hand_pose_ros.datasets.synthetic.stream import CropStream
from hand_pose_ros.training.crop_images import sample_crops, stored_crops
from hand_pose_ros.training.fusion_training import FusionOptions, network_config
from hand_pose_ros.training.keypoint_fusion_module import KeypointFusionModule
from hand_pose_ros.training.plans import Plan, plan
from hand_pose_ros.training.prefetch import to_device
from hand_pose_ros.training.recipes import fusion_recipe
from hand_pose_ros.training.run import BatchSource, Data, RunSettings, train
from hand_pose_ros.training.shards import Batch

WARM_UP = 3  # steps that are not counted
REPEATS = 8
DRAWN = 16  # distinct crops that the parts are measured on


class Timed(KeypointFusionModule):
    """Notes when its steps begin."""

    began: list[tuple[float, float]]  # wall and CPU time

    def forward(self, batch: Any) -> dict[str, torch.Tensor]:
        """See `AveragedModule`."""
        if batch.rgb.device.type == "cuda":
            torch.cuda.synchronize()
        self.began.append((time.perf_counter(), time.process_time()))
        return super().forward(batch)


class Repeated:
    """One batch for ever."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    def batches(self, start: int = 0, step: int = 1) -> Iterator[tuple[int, Batch]]:
        """The batch under the numbers start, start + step, ..."""
        for count, batch in enumerate(repeat(self.batch)):
            yield start + count * step, batch


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="r18", choices=("lite", "r18", "convnext_t"))
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=1, help="rendering processes")
    parser.add_argument("--accelerator", default="auto", choices=("auto", "cpu", "gpu"))
    parser.add_argument("--precision", default="32", choices=("32", "bf16-mixed", "16-mixed"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    chosen = plan("ours", "synthetic")
    batch = drawn(options.batch_size)
    device = torch.device("cpu" if options.accelerator == "cpu" or not torch.cuda.is_available() else "cuda")
    figures = parts(batch, chosen, device)
    figures["step"], figures["step_cpu"] = trained(Repeated(batch), batch, chosen, options)
    with CropStream(SyntheticConfig(), 0, options.workers, options.batch_size) as stream:
        figures["rendered"], _ = trained(stream, batch, chosen, options)
    print(f"{options.size}, batch {options.batch_size}, {options.threads} threads, {device}, {options.precision}")
    for name, value in figures.items():
        print(f"{name:10} {value:9.1f} samples/s")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({**figures, "size": options.size, "device": str(device)}))


def drawn(size: int) -> Batch:
    """A batch of rendered crops, some of them more than once."""
    _, few = next(CropStream(SyntheticConfig(), 1, 0, min(DRAWN, size)).batches())
    return {name: np.resize(array, (size, *array.shape[1:])) for name, array in few.items()}


def parts(batch: Batch, chosen: Plan, device: torch.device) -> dict[str, float]:
    """Samples per second of drawing and of cropping."""
    stored = to_device(stored_crops(batch, np.random.default_rng(0), chosen.training), device)
    size = len(batch["color"])

    def crop() -> None:
        sample_crops(stored)
        if device.type == "cuda":
            torch.cuda.synchronize()

    return {
        "draw": size / seconds(lambda: stored_crops(batch, np.random.default_rng(0), chosen.training)),
        "crop": size / seconds(crop),
    }


def seconds(action: Callable[[], object]) -> float:
    """Median wall time of a call."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def trained(source: BatchSource, batch: Batch, chosen: Plan, options: argparse.Namespace) -> tuple[float, float]:
    """Samples per second, of the clock and of CPU time, of a training on this source, the first steps left out."""
    steps = options.steps + WARM_UP + 1
    module = Timed(network_config(FusionOptions(("synthetic",), size=options.size)), chosen.schedule(steps))
    module.began = []
    recipe = fusion_recipe(module, chosen.training, chosen.validation)
    data = Data(source, Repeated(batch), 1, recipe.assemble, recipe.assemble_validation, recipe.finish)
    with tempfile.TemporaryDirectory() as folder:
        settings = RunSettings(
            Path(folder),
            steps,
            validate_every=steps,
            threads=options.threads,
            accelerator=options.accelerator,
            precision=options.precision,
            progress=False,
        )
        train(module, data, settings)
    counted = list(islice(module.began, WARM_UP, None))
    samples = float(options.batch_size) * (len(counted) - 1)
    return samples / (counted[-1][0] - counted[0][0]), samples / (counted[-1][1] - counted[0][1])


if __name__ == "__main__":
    main()
