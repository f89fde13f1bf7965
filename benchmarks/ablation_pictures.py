"""Pictures of the ablation: the differences with their intervals, and some of the test's crops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

from benchmarks.ablation import Result
from benchmarks.ablation_report import difference
from benchmarks.ablation_rows import FULL
from hand_pose_ros.geometry.camera import project
from hand_pose_ros.training.hand_crops import CropBatch
from hand_pose_ros.types import ByteArray, Intrinsics
from hand_pose_ros.visualization.depth import colorize_depth

_WIDTH: Final = 760
_LEFT: Final = 230
_RIGHT: Final = 90
_LINE: Final = 30
_TOP: Final = 44
_INK: Final = (60, 60, 60)
_GRID: Final = (225, 225, 225)
_WORSE: Final = (213, 94, 0)
_BETTER: Final = (0, 114, 178)


def chart(results: Sequence[Result], size: str) -> ByteArray:
    """Each row's absolute error against the full stage's of the same seed, with its interval; RGB."""
    full = {result.seed: result for result in results if result.row.key == FULL}
    shown = [(r, *difference(r, full[r.seed])) for r in results if r.row.key != FULL and r.seed in full]
    reach = max([abs(gap) + half for _, gap, half in shown], default=1.0) * 1.1
    picture = np.full((_TOP + _LINE * len(shown) + 36, _WIDTH, 3), 255, dtype=np.uint8)
    _text(picture, f"MPJPE against one stage (mm), size {size}, 95 % over the test crops", 12, 22, 0.48)

    def place(value: float) -> int:
        return round(_LEFT + (value / reach + 1) / 2 * (_WIDTH - _LEFT - _RIGHT))

    bottom = _TOP + _LINE * len(shown)
    step = _step(reach)
    for tick in np.arange(-np.floor(reach / step), np.floor(reach / step) + 1) * step:
        cv2.line(picture, (place(tick), _TOP - 8), (place(tick), bottom), _INK if tick == 0 else _GRID, 1)
        _text(picture, f"{tick:+.2g}", place(tick) - 12, bottom + 18, 0.4)
    for index, (result, gap, half) in enumerate(shown):
        v = _TOP + _LINE * index + _LINE // 2
        color = _WORSE if gap > 0 else _BETTER
        _text(picture, f"{result.row.title}{f', seed {result.seed}' if result.seed else ''}", 12, v + 4, 0.42)
        cv2.line(picture, (place(gap - half), v), (place(gap + half), v), color, 2, cv2.LINE_AA)
        cv2.circle(picture, (place(gap), v), 5, color, -1, cv2.LINE_AA)
        _text(picture, f"{gap:+.2f}", _WIDTH - _RIGHT + 24, v + 4, 0.42)
    return picture


def crops(batch: CropBatch, columns: int = 8, rows: int = 2) -> ByteArray:
    """Colour above depth (no reading is black) with the true joints; RGB."""
    tiles = [np.vstack(_tile(batch, n)) for n in range(columns * rows)]
    return np.vstack([np.hstack(tiles[row * columns : (row + 1) * columns]) for row in range(rows)])


def _tile(batch: CropBatch, n: int) -> tuple[ByteArray, ByteArray]:
    color = np.ascontiguousarray((batch.rgb[n].permute(1, 2, 0).numpy() * 255).astype(np.uint8))
    reading, middle, reach = batch.depth[n].numpy(), float(batch.center[n, 2]), float(batch.cube[n, 2])
    depth = colorize_depth(reading, middle - reach / 2, middle + reach / 2)
    fx, fy, cx, cy = (float(value) for value in batch.intrinsics[n])
    camera = Intrinsics(fx, fy, cx, cy, 1, 1)
    pixels = project(batch.joints[n].numpy().astype(np.float64), camera)
    for u, v, _ in np.c_[pixels, np.ones(len(pixels))] @ batch.crop_matrix[n].numpy().T:
        cv2.circle(depth, (round(u), round(v)), 1, (255, 255, 255), -1)
    return color, depth


def _step(reach: float) -> float:
    """A round distance of ticks that gives two to five on either side."""
    power = float(10 ** np.floor(np.log10(reach)))
    return next(step for step in (0.2 * power, 0.5 * power, power, 2 * power, 5 * power) if reach / step < 5)


def _text(picture: ByteArray, text: str, x: int, y: int, scale: float) -> None:
    cv2.putText(picture, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, _INK, 1, cv2.LINE_AA)
