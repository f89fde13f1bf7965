"""Curves drawn with OpenCV, so that reports have pictures without a plotting library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from hand_pose_ros.types import ByteArray
from hand_pose_ros.visualization.palette import FINGER_COLORS, Color

Curve = tuple[NDArray[Any], NDArray[Any]]

_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX
_MARGIN: Final = (56, 16, 34, 40)  # left, right, top, bottom
_INK: Final[Color] = (60, 60, 60)
_GRID: Final[Color] = (225, 225, 225)
_COLORS: Final[tuple[Color, ...]] = ((0, 114, 178), (213, 94, 0), (0, 158, 115), *FINGER_COLORS.values())


def plot_curves(
    curves: Mapping[str, Curve],
    title: str,
    x_label: str,
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    size: tuple[int, int] = (560, 380),
) -> ByteArray:
    """Lines y(x) by name, in fixed ranges: RGB (height, width, 3). Points that are not finite are left out."""
    width, height = size
    picture = np.full((height, width, 3), 255, dtype=np.uint8)
    left, right, top, bottom = _MARGIN
    span = (width - left - right, height - top - bottom)

    def place(x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.int32]:
        u = left + (np.asarray(x, dtype=float) - x_range[0]) / (x_range[1] - x_range[0]) * span[0]
        v = top + (y_range[1] - np.asarray(y, dtype=float)) / (y_range[1] - y_range[0]) * span[1]
        return np.round(np.stack([u, v], axis=-1)).astype(np.int32)

    for tick in range(6):
        x = x_range[0] + (x_range[1] - x_range[0]) * tick / 5
        y = y_range[0] + (y_range[1] - y_range[0]) * tick / 5
        (u, _), (_, v) = (
            place(np.array([x]), np.array([y_range[0]]))[0],
            place(np.array([x_range[0]]), np.array([y]))[0],
        )
        cv2.line(picture, (int(u), top), (int(u), top + span[1]), _GRID, 1)
        cv2.line(picture, (left, int(v)), (left + span[0], int(v)), _GRID, 1)
        _text(picture, f"{x:g}", int(u) - 8, height - bottom + 16)
        _text(picture, f"{y:.3g}", 6, int(v) + 4)
    _text(picture, title, left, 20, 0.5)
    _text(picture, x_label, left + span[0] // 2 - 4 * len(x_label), height - 6)
    for index, (name, (x_values, y_values)) in enumerate(curves.items()):
        color = _COLORS[index % len(_COLORS)]
        good = np.isfinite(x_values) & np.isfinite(y_values)
        points = place(np.asarray(x_values)[good], np.asarray(y_values)[good])
        cv2.polylines(picture, [points.reshape(-1, 1, 2)], False, color, 2, cv2.LINE_AA)
        cv2.putText(
            picture, name, (width - right - 180, height - bottom - 14 - 18 * index), _FONT, 0.42, color, 1, cv2.LINE_AA
        )
    return picture


def _text(picture: ByteArray, text: str, x: int, y: int, scale: float = 0.4) -> None:
    cv2.putText(picture, text, (x, y), _FONT, scale, _INK, 1, cv2.LINE_AA)
