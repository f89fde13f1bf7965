"""What a precision costs and what it saves: variants of one model on the same synthetic samples, in turns.

    python -m benchmarks.precision models/kpt_fusion_lite.onnx kpt_int8.onnx --samples data/crops_val
    python -m benchmarks.precision models/hand_finder.onnx finder_int8.onnx --samples data/frames_val

The first file is what the others are compared with. ONNX Runtime, one thread, CPU time of this process, medians over
samples that every variant sees in its turn. float16 files are run as their twin that rounds as float16 does (ONNX
Runtime's CPU would compute them in float32), so their time says nothing and is left out. `loss`: the mean error minus
the first file's. `moved`: how far the answers are from the first file's.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import onnx

from hand_pose_ros.engines.base import Array
from hand_pose_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from hand_pose_ros.evaluation.report import Report, Table
from hand_pose_ros.networks.onnx_rounding import rounding_twin
from hand_pose_ros.training.finder_targets import finder_batch
from hand_pose_ros.training.hand_crops import VALIDATION, crop_batch
from hand_pose_ros.training.shards import ShardStream

BATCH = 16
WARM_UP = 3


@dataclass
class Variant:
    """A file with its answers: points (N, J, 3) metres, and what each run took."""

    name: str
    precision: str
    megabytes: float
    engine: OnnxRuntimeEngine
    points: list[Array] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def variant(path: Path, folder: Path) -> Variant:
    """A file ready to run; float16 as its rounding twin."""
    model = onnx.load(str(path))
    precision = {item.key: item.value for item in model.metadata_props}.get("precision", "fp32")
    chosen = path
    if precision == "fp16":
        chosen = folder / f"{path.stem}.twin.onnx"
        onnx.save(rounding_twin(model), str(chosen))
    return Variant(path.name, precision, path.stat().st_size / 1e6, OnnxRuntimeEngine(chosen, 1))


def samples(folder: Path, finder: bool) -> Iterator[tuple[dict[str, Array], Array]]:
    """Inputs and true points (J, 3): the joints, or the centres of the hands that can be found."""
    rng = np.random.default_rng(1)
    for _, raw in ShardStream(folder, BATCH, 0).batches():
        if finder:
            batch = finder_batch(raw, rng, None)
            rgb = (batch.rgb * 255).round().byte().permute(0, 2, 3, 1).numpy()
            for n in np.flatnonzero(batch.seen.any(dim=1).numpy()):
                given = {"rgb": rgb[n : n + 1], "depth": batch.depth[n].numpy()}
                yield (
                    {**given, "intrinsics": batch.intrinsics[n : n + 1].numpy()},
                    batch.centers[n][batch.seen[n]].numpy(),
                )
            continue
        crops = crop_batch(raw, rng, VALIDATION)
        rgb = (crops.rgb * 255).round().byte().permute(0, 2, 3, 1).numpy()
        names = ("depth", "center", "crop_matrix", "cube", "intrinsics")
        for n in np.flatnonzero((crops.is_hand & crops.expected_side).numpy()):
            given = {name: getattr(crops, name)[n : n + 1].numpy() for name in names}
            yield {"rgb": rgb[n : n + 1], **given}, crops.joints[n].numpy()


def answer(outputs: dict[str, Array]) -> Array:
    """Joints (21, 3), or the centre (1, 3) under the finder's highest peak."""
    if "joints" in outputs:
        return outputs["joints"][0]
    side, row, column = np.unravel_index(outputs["heatmap"][0].argmax(), outputs["heatmap"][0].shape)
    return outputs["center"][0][side, :, row, column][None]


def measure(variants: list[Variant], given: Iterator[tuple[dict[str, Array], Array]]) -> list[Array]:
    """Run every variant on every sample; returns the true points."""
    truths = []
    for number, (inputs, truth) in enumerate(given):
        contiguous = {name: np.ascontiguousarray(value) for name, value in inputs.items()}
        truths.append(truth)
        for item in variants:
            start = time.process_time()
            outputs = item.engine.run(contiguous)
            if number >= WARM_UP:
                item.seconds.append(time.process_time() - start)
            item.points.append(answer(outputs))
    return truths


def errors(points: list[Array], truths: list[Array]) -> Array:
    """Mean distance in mm per sample; a finder's answer counts to the nearest hand."""
    gaps = [
        np.linalg.norm(p - t, axis=-1).mean() if len(p) == len(t) > 2 else np.linalg.norm(p - t, axis=-1).min()
        for p, t in zip(points, truths, strict=True)
    ]
    return 1e3 * np.array(gaps)


def report(variants: list[Variant], truths: list[Array]) -> Report:
    """The table."""
    first = variants[0]
    reference, base = errors(first.points, truths), float(np.median(first.seconds))
    rows = []
    for item in variants:
        found = errors(item.points, truths)
        moved = np.concatenate(
            [1e3 * np.linalg.norm(p - q, axis=-1) for p, q in zip(item.points, first.points, strict=True)]
        )
        timed = item.precision != "fp16"
        seconds = float(np.median(item.seconds)) if timed else float("nan")
        spread = (float(np.percentile(moved, q)) for q in (50, 95))
        loss = float(found.mean() - reference.mean())
        rows.append(
            (
                item.name,
                item.precision,
                base / seconds,
                1e3 * seconds,
                float(found.mean()),
                loss,
                *spread,
                item.megabytes,
            )
        )
    columns = ("file", "precision", "times as fast", "CPU ms", "error mm", "loss mm", "moved mm, p50", "p95", "MB")
    table = Table(f"Precision, {len(truths)} samples", columns, tuple(rows), (0, 0, 2, 2, 2, 3, 2, 2, 1))
    return Report("Precision", (table,), {"samples": len(truths)})


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.onnx", help="variants of one model")
    parser.add_argument("--samples", type=Path, required=True, help="shards of crops, or of frames for a finder")
    parser.add_argument("--count", type=int, default=200, help="samples (default: 200)")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        variants = [variant(path, Path(folder)) for path in options.files]
        finder = any(spec.name == "heatmap" for spec in variants[0].engine.outputs)
        truths = measure(variants, islice(samples(options.samples, finder), options.count))
    result = report(variants, truths)
    print(result.text())
    result.write_json(options.json)


if __name__ == "__main__":
    main()
