"""From synthetic whole frames to what the hand finder learns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hand_pose_ros.networks.hand_finder import CELLS_X, CELLS_Y, STRIDE, FinderOutput
from hand_pose_ros.training.shards import Batch
from hand_pose_ros.types import ByteArray, FloatArray


@dataclass(frozen=True)
class FinderAugmentation:
    """How frames are varied. Probabilities are per frame; gains and zooms are factors, shifts parts of the picture's
    size, turns radians about the optical axis. Zoom, shift and turn are what another camera would see, so that the
    intrinsics and centres change with them and the depth stays exact.
    """

    flip: float = 0.5
    zoom: tuple[float, float] = (0.8, 1.4)
    shift: float = 0.15
    turn_std: float = 0.2
    no_color: float = 0.35
    no_depth: float = 0.05
    color_gain: float = 0.25


class FinderBatch(NamedTuple):
    """rgb (B, 3, H, W) 0..1, depth (B, 1, H, W) m, intrinsics (B, 4), heat (B, 30, 40) target with 1 at the centres'
    cells, weight (B, 30, 40) of each cell in the heat loss, near (B, 30, 40) bool where side and centre are learnt,
    slot (B, 30, 40) whose hand is nearest there (0 right, 1 left), centers (B, 2, 3) m, seen (B, 2) bool hands that
    are to be found."""

    rgb: Tensor
    depth: Tensor
    intrinsics: Tensor
    heat: Tensor
    weight: Tensor
    near: Tensor
    slot: Tensor
    centers: Tensor
    seen: Tensor


def finder_batch(batch: Batch, rng: np.random.Generator, augmentation: FinderAugmentation | None) -> FinderBatch:
    """Tensors of a batch of frame shards; `augmentation` None for validation.

    Expects `color` (B, 120, 160, 3) uint8, `depth` (B, 120, 160) uint16 in 0.1 mm, `intrinsics` (B, 4), `center`
    (B, 2, 3) m, `present` (B, 2) bool and `visible` (B, 2, 21) bool per joint, right before left.
    """
    pictures = np.array(batch["color"], dtype=np.uint8)
    metres = batch["depth"].astype(np.float32) * np.float32(1e-4)
    intrinsics = batch["intrinsics"].astype(np.float32).copy()
    centers = batch["center"].astype(np.float32).copy()
    present = batch["present"].astype(bool).copy()
    visible = batch["visible"].mean(axis=2).astype(np.float32)
    if augmentation is not None:
        _move_camera(pictures, metres, intrinsics, centers, rng, augmentation)
    color = torch.from_numpy(pictures).permute(0, 3, 1, 2).to(torch.float32) / 255.0
    depth = torch.from_numpy(metres).unsqueeze(1)
    if augmentation is not None:
        flip = rng.random(len(color)) < augmentation.flip
        _flip(color, depth, intrinsics, centers, present, visible, flip)
        _vary_color(color, rng, augmentation)
        color[torch.from_numpy(rng.random(len(color)) < augmentation.no_color)] = 0.0
        depth[torch.from_numpy(rng.random(len(color)) < augmentation.no_depth)] = 0.0
    targets = _targets(intrinsics, centers, present, visible)
    return FinderBatch(
        color,
        depth,
        intrinsics=torch.from_numpy(intrinsics),
        centers=torch.from_numpy(centers),
        **{name: torch.from_numpy(array) for name, array in targets.items()},
    )


def _move_camera(
    pictures: ByteArray,
    metres: FloatArray,
    intrinsics: FloatArray,
    centers: FloatArray,
    rng: np.random.Generator,
    augmentation: FinderAugmentation,
) -> None:
    """Zoom, shift and turn each frame's camera, in place."""
    height, width = metres.shape[1:]
    size = np.array([width, height])
    for n in range(len(metres)):
        zoom = rng.uniform(*augmentation.zoom)
        shift = rng.uniform(-augmentation.shift, augmentation.shift, 2) * size
        c, s = np.cos(angle := rng.normal() * augmentation.turn_std), np.sin(angle)
        turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
        fx, fy, cx, cy = intrinsics[n].astype(np.float64)
        before = np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
        # About the picture's middle, so that zooming does not push it out of view.
        middle = (size - 1) / 2
        new_cx, new_cy = middle + zoom * (np.array([cx, cy]) - middle) + shift
        after = np.array([[zoom * fx, 0.0, new_cx], [0.0, zoom * fy, new_cy], [0.0, 0.0, 1.0]])
        warp = (after @ turn @ np.linalg.inv(before))[:2]
        pictures[n] = cv2.warpAffine(pictures[n], warp, (width, height), flags=cv2.INTER_LINEAR)
        metres[n] = cv2.warpAffine(metres[n], warp, (width, height), flags=cv2.INTER_NEAREST)
        intrinsics[n] = zoom * fx, zoom * fy, new_cx, new_cy
        centers[n] = centers[n] @ turn.T


def _flip(
    color: Tensor,
    depth: Tensor,
    intrinsics: FloatArray,
    centers: FloatArray,
    present: np.ndarray,
    visible: FloatArray,
    flip: np.ndarray,
) -> None:
    """Mirror the chosen frames in place: right hands become left ones."""
    chosen = torch.from_numpy(flip)
    color[chosen] = color[chosen].flip(3)
    depth[chosen] = depth[chosen].flip(3)
    intrinsics[flip, 2] = color.shape[3] - 1 - intrinsics[flip, 2]
    centers[flip, :, 0] *= -1
    for array in (centers, present, visible):
        array[flip] = array[flip][:, ::-1]


def _vary_color(color: Tensor, rng: np.random.Generator, augmentation: FinderAugmentation) -> None:
    low, high = 1 - augmentation.color_gain, 1 + augmentation.color_gain
    gains = rng.uniform(low, high, (len(color), 3, 1, 1)).astype(np.float32)
    color.mul_(torch.from_numpy(gains)).clamp_(0.0, 1.0)


def _targets(
    intrinsics: FloatArray, centers: FloatArray, present: np.ndarray, visible: FloatArray
) -> dict[str, np.ndarray]:
    count = len(centers)
    heat = np.zeros((count, CELLS_Y, CELLS_X), dtype=np.float32)
    weight = np.ones_like(heat)
    near = np.zeros(heat.shape, dtype=bool)
    slot = np.zeros(heat.shape, dtype=np.int64)
    seen = np.zeros((count, 2), dtype=bool)
    rows, columns = np.mgrid[0:CELLS_Y, 0:CELLS_X]
    for n, k in zip(*np.nonzero(present), strict=True):
        fx, fy, cx, cy = intrinsics[n]
        x, y, z = centers[n, k]
        column = ((x / z * fx + cx) - (STRIDE - 1) / 2) / STRIDE
        row = ((y / z * fy + cy) - (STRIDE - 1) / 2) / STRIDE
        squared = (columns - column) ** 2 + (rows - row) ** 2
        # A hand's half width is about 0.045 m; a third of it (in cells) is the width of its hill.
        sigma = max(0.6, 0.015 * fx / z / STRIDE)
        hill = np.exp(-squared / (2 * sigma**2)).astype(np.float32)
        i, j = round(float(row)), round(float(column))
        if visible[n, k] < 0.15 or not (0 <= i < CELLS_Y and 0 <= j < CELLS_X):
            weight[n][hill > 0.05] = 0.0  # hardly to be seen: neither a hand nor none
            continue
        seen[n, k] = True
        own = (squared < max(2.0, (1.5 * sigma) ** 2)) & (hill >= heat[n])
        near[n] |= own
        slot[n][own] = k
        np.maximum(heat[n], hill, out=heat[n])
        heat[n, i, j], weight[n, i, j] = 1.0, 1.0
    return {"heat": heat, "weight": weight, "near": near, "slot": slot, "seen": seen}


def finder_loss(output: FinderOutput, batch: FinderBatch) -> dict[str, Tensor]:
    """Heat (CenterNet Eq. 1, alpha 2, beta 4), side (cross entropy) and centre (mean distance, metres), the latter two
    near centres."""
    probability = torch.sigmoid(output.hand)
    peak = batch.heat == 1.0
    positive = (1 - probability) ** 2 * functional.logsigmoid(output.hand) * peak
    negative = (1 - batch.heat) ** 4 * probability**2 * functional.logsigmoid(-output.hand) * ~peak
    heat = -((positive + negative) * batch.weight).sum() / peak.sum().clamp(min=1)
    right = (batch.slot == 0).to(output.right.dtype)
    side = functional.binary_cross_entropy_with_logits(output.right, right, reduction="none")
    frames = torch.arange(len(batch.slot), device=batch.slot.device).view(-1, 1, 1)
    truth = batch.centers[frames, batch.slot].permute(0, 3, 1, 2)
    distance = torch.linalg.vector_norm(output.center - truth, dim=1)
    count = batch.near.sum().clamp(min=1)
    return {
        "heat": heat,
        "side": (side * batch.near).sum() / count,
        "center_m": (distance * batch.near).sum() / count,
    }
