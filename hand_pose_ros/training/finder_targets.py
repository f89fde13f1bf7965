"""From synthetic whole frames to what the hand finder learns."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hand_pose_ros.networks.hand_finder import CELLS_X, CELLS_Y, STRIDE, FinderOutput
from hand_pose_ros.training.finder_augmentation import FinderAugmentation, FrameArrays, augment
from hand_pose_ros.training.shards import Batch
from hand_pose_ros.types import FloatArray

BLIND_WEIGHT = 0.3  # of centres where no depth is given


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
    frames = FrameArrays(
        np.array(batch["color"], dtype=np.uint8),
        batch["depth"].astype(np.float32) * np.float32(1e-4),
        batch["intrinsics"].astype(np.float32).copy(),
        batch["center"].astype(np.float32).copy(),
        batch["present"].astype(bool).copy(),
        batch["visible"].mean(axis=2).astype(np.float32),
    )
    if augmentation is not None:
        augment(frames, rng, augmentation)
    targets = _targets(frames.intrinsics, frames.centers, frames.present, frames.visible)
    return FinderBatch(
        torch.from_numpy(frames.color).permute(0, 3, 1, 2).to(torch.float32) / 255.0,
        torch.from_numpy(frames.depth).unsqueeze(1),
        intrinsics=torch.from_numpy(frames.intrinsics),
        centers=torch.from_numpy(frames.centers),
        **{name: torch.from_numpy(array) for name, array in targets.items()},
    )


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
    # The distance of a hand in colour alone is a guess, whose error must not outweigh all else.
    blind = (batch.depth == 0).flatten(1).all(dim=1).view(-1, 1, 1)
    distance = torch.where(blind, BLIND_WEIGHT * distance, distance)
    count = batch.near.sum().clamp(min=1)
    return {
        "heat": heat,
        "side": (side * batch.near).sum() / count,
        "center_m": (distance * batch.near).sum() / count,
    }
