"""Keypoints are the peaks of a map: the published greedy search, and the same in operations of fixed size."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from hand_pose_ros.networks.keypoint_transformer.config import MAP_SIZE, PeakSettings

PAD: Final = 0
HAND: Final = 1
OBJECT: Final = 2


class Keypoints(NamedTuple):
    """K slots per sample; those not used are at pixel (0, 0).

    xy (B, K, 2) pixels of the 128x128 map (may be fractional), valid (B, K) bool, kind (B, K) int64 (PAD, HAND or
    OBJECT), score (B, K) the map's value of 255, 0 in unused slots.
    """

    xy: Tensor
    valid: Tensor
    kind: Tensor
    score: Tensor


def greedy_peaks(heat: NDArray[np.float32], threshold: float, radius: int) -> NDArray[np.int64]:
    """Peaks (P, 2) of one map (H, W) as x, y, the highest first (fact sheet section 2.3).

    Takes the highest pixel (the first in raster order among equals) while it is above the threshold, and strikes out
    what lies within `radius` of it.
    """
    left = heat.astype(np.float32, copy=True)
    width = left.shape[1]
    offsets = np.arange(-radius, radius + 1)
    disc = offsets[:, None] ** 2 + offsets[None] ** 2 <= radius**2
    peaks: list[tuple[int, int]] = []
    while True:
        y, x = divmod(int(left.argmax()), width)
        if left[y, x] <= threshold:
            return np.array(peaks, dtype=np.int64).reshape(-1, 2)
        peaks.append((x, y))
        top, bottom, start, end = max(y - radius, 0), y + radius + 1, max(x - radius, 0), x + radius + 1
        window = left[top:bottom, start:end]
        shift_y, shift_x = top - (y - radius), start - (x - radius)
        window[disc[shift_y : shift_y + window.shape[0], shift_x : shift_x + window.shape[1]]] = threshold


def greedy_keypoints(maps: Tensor, hand_slots: int, object_slots: int, settings: PeakSettings) -> Keypoints:
    """The published search over a batch: hand peaks, then object points, then unused slots. Not differentiable.

    maps (B, 1 or 2, 128, 128): heat map, segmentation. object_slots 0 leaves the segmentation alone.
    """
    batch, slots = maps.shape[0], hand_slots + object_slots
    xy = np.zeros((batch, slots, 2), dtype=np.float32)
    kind = np.zeros((batch, slots), dtype=np.int64)
    score = np.zeros((batch, slots), dtype=np.float32)
    values = maps.detach().float().cpu().numpy()
    searches = [(0, HAND, settings.hand_threshold, hand_slots)]
    if object_slots:
        searches.append((1, OBJECT, settings.object_threshold, object_slots))
    for row in range(batch):
        used = 0
        for channel, code, threshold, limit in searches:
            peaks = greedy_peaks(values[row, channel], threshold, settings.radius)
            heights = values[row, channel][peaks[:, 1], peaks[:, 0]]
            if len(peaks) > limit:
                # The published order: among equals (flat maps) the last found come first.
                best = np.argsort(heights, kind="stable")[::-1][:limit]
                peaks, heights = peaks[best], heights[best]
            end = used + len(peaks)
            xy[row, used:end], kind[row, used:end], score[row, used:end] = peaks, code, heights
            used = end
    given = [torch.from_numpy(array).to(maps.device) for array in (xy, kind, score)]
    return Keypoints(given[0], given[1] != PAD, given[1], given[2])


def graph_keypoints(maps: Tensor, hand_slots: int, object_slots: int, settings: PeakSettings) -> Keypoints:
    """The same keypoints by max pooling and TopK: hand slots first, object slots behind them. Exports to ONNX.

    It differs from `greedy_keypoints` only in the order of slots, where more rounds than `settings.rounds` would be
    needed, and in which of several exactly equal pixels close together is taken.
    """
    found = [_slots(maps[:, 0], HAND, settings.hand_threshold, hand_slots, settings)]
    if object_slots:
        found.append(_slots(maps[:, 1], OBJECT, settings.object_threshold, object_slots, settings))
    return Keypoints(*(torch.cat(parts, dim=1) for parts in zip(*found, strict=True)))


def _slots(heat: Tensor, code: int, threshold: float, slots: int, settings: PeakSettings) -> Keypoints:
    heat = heat.detach()
    height, width = heat.shape[1:]
    peaks = peak_map(heat, threshold, settings.radius, settings.rounds)
    # Below every threshold where there is no peak, so that TopK takes peaks first.
    ranked = torch.where(peaks, heat, threshold - 1.0).reshape(-1, height * width)
    value, index = ranked.topk(slots, dim=1, sorted=True)
    valid = value > threshold
    used = valid.to(heat.dtype)
    # Whole numbers until they are small: half precision cannot tell 16384 pixels apart.
    row = torch.div(index, width, rounding_mode="trunc")
    xy = torch.stack((index - row * width, row), dim=2).to(heat.dtype) * used[..., None]
    return Keypoints(xy, valid, valid.to(torch.int64) * code, value * used)


def peak_map(heat: Tensor, threshold: float, radius: int, rounds: int) -> Tensor:
    """Peaks (B, H, W) bool of maps (B, H, W).

    Each round takes every pixel that is the largest of those left within `radius` and strikes out what lies about it.
    A pixel is taken here only if the greedy search would take it, so rounds only add. Among equal pixels close together
    one wins, not always the one that the greedy search takes.
    """
    heat = heat[:, None]
    labels = _labels(heat, radius)
    left = heat.clamp(min=threshold)
    found = torch.zeros_like(heat, dtype=torch.bool)
    for _ in range(rounds):
        highest = (left >= disc_maximum(left, radius)) & (left > threshold)
        priority = torch.where(highest, labels, 0.0)
        new = highest & (priority >= disc_maximum(priority, radius))
        found = found | new
        left = torch.where(disc_maximum(new.to(heat.dtype), radius) > 0, threshold, left)
    return found[:, 0]


def _labels(heat: Tensor, radius: int) -> Tensor:
    """(1, 1, H, W), 1 and up, different for any two pixels within `radius`, and small enough for half precision."""
    period = 2 * radius + 1
    row, column = (torch.arange(size, device=heat.device) % period for size in heat.shape[2:])
    return (1 + row[:, None] * period + column).to(heat.dtype)[None, None]


def disc_maximum(heat: Tensor, radius: int) -> Tensor:
    """The largest value of (B, 1, H, W) within a Euclidean `radius` of each pixel.

    The disc is a union of rectangles; each is a horizontal and a vertical maximum.
    """
    result: Tensor | None = None
    wide, reached = heat, 0
    for half_width, half_height in sorted(_rectangles(radius)):
        wide = _pool(wide, (0, half_width - reached))
        reached = half_width
        pooled = _pool(wide, (half_height, 0))
        result = pooled if result is None else torch.maximum(result, pooled)
    assert result is not None
    return result


def _pool(heat: Tensor, half: tuple[int, int]) -> Tensor:
    if half == (0, 0):
        return heat
    return functional.max_pool2d(heat, (2 * half[0] + 1, 2 * half[1] + 1), stride=1, padding=half)


def _rectangles(radius: int) -> list[tuple[int, int]]:
    """Half widths and heights of the rectangles whose union is the disc of integer pixels."""
    widths = [int(np.floor(np.sqrt(radius**2 - dy**2))) for dy in range(radius + 1)]
    return [(widths[dy], dy) for dy in range(radius + 1) if dy == radius or widths[dy + 1] < widths[dy]]


def position_code(xy: Tensor, channels: int, map_size: int = MAP_SIZE, temperature: float = 100.0) -> Tensor:
    """DETR's sine code (B, K, channels) of the nearest pixel of a map: the half for y, then that for x."""
    features = channels // 2
    index = torch.arange(features, device=xy.device)
    scale = temperature ** (2 * torch.div(index, 2, rounding_mode="floor").to(torch.float32) / features)
    angle = (torch.round(xy) + 1) / (map_size + 1e-6) * (2 * torch.pi)
    phase = angle[..., None] / scale.to(xy.dtype)
    # cos(a) = sin(a + pi/2), at the odd features.
    code = torch.sin(phase + (torch.arange(features, device=xy.device) % 2) * (torch.pi / 2))
    return torch.cat((code[:, :, 1], code[:, :, 0]), dim=2)
