"""Data sets on disk: `python -m hand_pose_ros.datasets.synthetic.shards --kind crops --count 40960 --seed 0 --out DIR`.

Layout: DIR/<kind>-<index, 6 digits>/ holds one plain .npy file per array (`np.load(..., mmap_mode="r")` maps it) for
SHARD_SIZE samples (the last shard may hold fewer). Shard `index` depends only on (seed, kind, index): the same
call gives the same data, with any number of workers. A shard appears under its name only when it is whole; those that
exist are skipped, so a stopped run goes on where it was.

crops: color (N,160,160,3) uint8 RGB; depth (N,160,160) uint16 in 0.1 mm, 0 = none;
  intrinsics (N,4) float32 fx fy cx cy;
  joints (N,21,3) float32 m (zeros for negatives); center (N,3) float32 m; visible (N,21) bool; negative (N,) bool;
  wrong_side (N,) bool.
frames: color (N,120,160,3); depth (N,120,160); intrinsics (N,4); present (N,2) bool for [right, left];
  joints (N,2,21,3); center (N,2,3) mean of the joints; visible (N,2,21).
scenes: color (N,192,192,3); depth (N,192,192) as above; mask (N,192,192) uint8 `Label`; intrinsics (N,4) of this
  picture; camera (N,4) fx fy cx cy of the 640x480 picture it is a square of; box (N,4) x0 y0 x1 y1 of all joints in
  this picture's pixels; present (N,2) bool; joints (N,2,21,3), zeros where not present; visible (N,2,21); mano (N,2,58)
  global_orient, hand_pose, betas; object_present (N,) bool; object_shape (N,) int8 `Shape`, -1 none; object_rotation
  (N,3,3) to camera axes; object_translation (N,3), object_extent (N,3) m; object_pixels (N,) int32, how much of it is
  seen.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hand_pose_ros.datasets.synthetic.spec import SyntheticConfig
from hand_pose_ros.skeleton import NUM_JOINTS, Side
from hand_pose_ros.types import FloatArray, Intrinsics

if TYPE_CHECKING:
    from hand_pose_ros.datasets.synthetic.renderer import Renderer
    from hand_pose_ros.datasets.synthetic.samples import CropSample, FrameSample

SHARD_SIZE = 1024
# Samples made at a time: as many pictures as the renderer draws with one call.
TOGETHER = 64
DEPTH_UNIT = 1e-4  # metres
KINDS = ("crops", "frames", "scenes")
# Part of the seed of a shard; 2 is the streams' (`stream.py`).
_KIND_NUMBERS = {"crops": 0, "frames": 1, "scenes": 3}
SIDES = (Side.RIGHT, Side.LEFT)
log = logging.getLogger(__name__)

Arrays = dict[str, NDArray[Any]]


def pack_depth(depth: FloatArray) -> NDArray[np.uint16]:
    """Metres -> uint16 steps of 0.1 mm; what is beyond 6.5535 m counts as no reading."""
    steps = np.rint(depth * np.float32(1.0 / DEPTH_UNIT))
    return np.where(steps < 65536.0, steps, 0.0).astype(np.uint16)


def unpack_depth(steps: NDArray[Any]) -> FloatArray:
    """The inverse: uint16 steps -> metres, 0 = none."""
    depth: FloatArray = np.multiply(steps, np.float32(DEPTH_UNIT), dtype=np.float32)
    return depth


def _camera_row(camera: Intrinsics) -> tuple[float, float, float, float]:
    return camera.fx, camera.fy, camera.cx, camera.cy


def crop_record(sample: CropSample) -> Arrays:
    """The arrays of one crop as they are stored."""
    return {
        "color": sample.color,
        "depth": pack_depth(sample.depth),
        "intrinsics": np.array(_camera_row(sample.intrinsics), dtype=np.float32),
        "joints": sample.joints,
        "center": sample.center,
        "visible": sample.visible,
        "negative": np.array(sample.negative),
        "wrong_side": np.array(sample.wrong_side),
    }


def frame_record(sample: FrameSample) -> Arrays:
    """The arrays of one whole frame as they are stored."""
    joints = np.zeros((2, NUM_JOINTS, 3), dtype=np.float32)
    present, visible = np.zeros(2, dtype=bool), np.zeros((2, NUM_JOINTS), dtype=bool)
    for hand in sample.hands:
        slot = SIDES.index(hand.truth.side)
        present[slot], joints[slot], visible[slot] = True, hand.truth.joints, hand.visible
    return {
        "color": sample.color,
        "depth": pack_depth(sample.depth),
        "intrinsics": np.array(_camera_row(sample.intrinsics), dtype=np.float32),
        "present": present,
        "joints": joints,
        "center": joints.mean(axis=1),
        "visible": visible,
    }


_renderer: Renderer | None = None


def _process_renderer() -> Renderer:
    """One renderer per process, made when first needed."""
    global _renderer
    if _renderer is None:
        import cv2

        from hand_pose_ros.datasets.synthetic.renderer import Renderer

        cv2.setNumThreads(1)
        _renderer = Renderer()
    return _renderer


def crop_records(rngs: Sequence[np.random.Generator], config: SyntheticConfig) -> Iterator[Arrays]:
    """One crop per generator, drawn together; each depends on its own generator alone."""
    from hand_pose_ros.datasets.synthetic.plans import carry_out
    from hand_pose_ros.datasets.synthetic.samples import plan_crop

    for start in range(0, len(rngs), TOGETHER):
        plans = [plan_crop(rng, config) for rng in rngs[start : start + TOGETHER]]
        yield from map(crop_record, carry_out(plans, _process_renderer()))


def frame_records(rngs: Sequence[np.random.Generator], config: SyntheticConfig) -> Iterator[Arrays]:
    """One whole frame per generator, drawn together; each depends on its own generator alone."""
    from hand_pose_ros.datasets.synthetic.plans import carry_out
    from hand_pose_ros.datasets.synthetic.samples import plan_frame

    for start in range(0, len(rngs), TOGETHER):
        plans = [plan_frame(rng, config) for rng in rngs[start : start + TOGETHER]]
        yield from map(frame_record, carry_out(plans, _process_renderer()))


def scene_records(rngs: Sequence[np.random.Generator], config: SyntheticConfig) -> Iterator[Arrays]:
    """One picture of hands that belong together per generator, drawn together; each depends on its own alone."""
    from hand_pose_ros.datasets.synthetic.plans import carry_out
    from hand_pose_ros.datasets.synthetic.scene_crops import plan_scene_crop, scene_record

    for start in range(0, len(rngs), TOGETHER):
        plans = [plan_scene_crop(rng, config) for rng in rngs[start : start + TOGETHER]]
        yield from map(scene_record, carry_out(plans, _process_renderer()))


def make_records(kind: str, seed: int, index: int, count: int, config: SyntheticConfig) -> Iterator[Arrays]:
    """The samples of one shard, one after the other."""
    rngs = [np.random.default_rng([seed, _KIND_NUMBERS[kind], index, number]) for number in range(count)]
    records = {"crops": crop_records, "frames": frame_records, "scenes": scene_records}[kind]
    return records(rngs, config)


def write_shard(out: Path, kind: str, seed: int, index: int, count: int, config: SyntheticConfig) -> Path:
    """Make shard `index` of `count` samples under `out`; returns its folder."""
    folder = out / f"{kind}-{index:06d}"
    partial = out / f".{folder.name}.{os.getpid()}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    arrays: Arrays = {}
    for number, record in enumerate(make_records(kind, seed, index, count, config)):
        if not arrays:
            arrays = {name: np.empty((count, *value.shape), value.dtype) for name, value in record.items()}
        for name, value in record.items():
            arrays[name][number] = value
    for name, array in arrays.items():
        np.save(partial / f"{name}.npy", array)
    partial.rename(folder)
    return folder


def one_thread_each() -> None:
    """Set the environment of worker processes: llvmpipe and BLAS would start a thread per core in every one."""
    for variable in ("LP_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, "1")


def end_with_parent() -> None:
    """In a worker process: end when the parent does, even when it is killed. A pool's workers would wait for ever."""
    Thread(target=_outlive_nobody, daemon=True).start()


def _outlive_nobody() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def shard_sizes(count: int) -> list[int]:
    """Samples per shard for `count` samples in all."""
    full, rest = divmod(count, SHARD_SIZE)
    return [SHARD_SIZE] * full + ([rest] if rest else [])


def write_shards(
    out: Path,
    kind: str,
    count: int,
    seed: int,
    workers: int = 2,
    config: SyntheticConfig | None = None,
    on_shard: Callable[[Path], None] | None = None,
) -> None:
    """Make all shards that are not there yet; `on_shard` is called with each finished one.

    Raises ValueError for an unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"shards: expected a kind among {KINDS}, got {kind!r}")
    config = config or SyntheticConfig()
    out.mkdir(parents=True, exist_ok=True)
    todo = [
        (index, size) for index, size in enumerate(shard_sizes(count)) if not (out / f"{kind}-{index:06d}").exists()
    ]
    one_thread_each()
    # OpenGL contexts do not survive a fork.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=end_with_parent) as pool:
        jobs = [pool.submit(write_shard, out, kind, seed, index, size, config) for index, size in todo]
        for job in as_completed(jobs):
            folder = job.result()
            log.info("wrote %s", folder)
            if on_shard:
                on_shard(folder)


def main() -> None:
    """Command line."""
    from tqdm import tqdm

    parser = argparse.ArgumentParser(description="Make synthetic training data (see the module's text for the layout).")
    parser.add_argument("--kind", choices=KINDS, required=True)
    parser.add_argument("--count", type=int, required=True, help="samples in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    with tqdm(total=len(shard_sizes(options.count)), unit="shard") as bar:

        def advance(_: Path) -> None:
            bar.update()

        write_shards(
            options.out,
            options.kind,
            options.count,
            options.seed,
            options.workers,
            on_shard=advance,
        )


if __name__ == "__main__":
    main()
