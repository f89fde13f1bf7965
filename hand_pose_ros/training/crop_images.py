"""The pictures of `hand_crops.crop_batch`, many at once on the device that trains."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hand_pose_ros.datasets.synthetic.shards import DEPTH_UNIT
from hand_pose_ros.geometry.crop import CROP_SIZE
from hand_pose_ros.training.hand_crops import CropAugmentation, CropBatch, CropDraws, draw, flags, place
from hand_pose_ros.training.shards import Batch


class StoredCrops(NamedTuple):
    """What travels to the device. color (B, S, S, 3) uint8; depth (B, S, S) int16 with the bits of uint16, 0.1 mm;
    theta (B, 2, 3) from crop to stored pixels, both normalised to -1..1 between their outermost pixels' centres; gain
    (B, 3), hide_color (B,), hole (B, 4), depth_sigma (B,), color_sigma, noise_seed as in `CropDraws`; the rest as in
    `CropBatch`."""

    color: Tensor
    depth: Tensor
    theta: Tensor
    gain: Tensor
    hide_color: Tensor
    hole: Tensor
    depth_sigma: Tensor
    color_sigma: float
    noise_seed: int
    center: Tensor
    crop_matrix: Tensor
    cube: Tensor
    intrinsics: Tensor
    joints: Tensor
    is_hand: Tensor
    expected_side: Tensor


def stored_crops(batch: Batch, rng: np.random.Generator, augmentation: CropAugmentation) -> StoredCrops:
    """A batch (see `hand_crops.crop_batch`) with what chance decides for it, to be sampled by `sample_crops`."""
    is_hand, wrong_side = flags(batch)
    return stored_drawn(batch, draw(is_hand & ~wrong_side, rng, augmentation))


def stored_drawn(batch: Batch, draws: CropDraws) -> StoredCrops:
    """`stored_crops` for given draws."""
    plan = place(batch, draws)
    size = batch["color"].shape[2]
    to_crop = _from_normalised(CROP_SIZE)
    theta = np.linalg.inv(_from_normalised(size)) @ np.linalg.inv(plan.warp) @ to_crop
    depth = np.ascontiguousarray(batch["depth"], dtype=np.uint16).view(np.int16)
    return StoredCrops(
        color=torch.from_numpy(np.array(batch["color"], dtype=np.uint8)),
        depth=torch.from_numpy(depth.copy()),
        theta=torch.from_numpy(theta[:, :2].astype(np.float32)),
        gain=torch.from_numpy(draws.gain),
        hide_color=torch.from_numpy(draws.hide_color),
        hole=torch.from_numpy(draws.hole.astype(np.int64)),
        depth_sigma=torch.from_numpy(draws.depth_sigma),
        color_sigma=draws.color_sigma,
        noise_seed=draws.noise_seed,
        **{name: torch.from_numpy(getattr(plan, name)) for name in CropBatch._fields[2:]},
    )


def _from_normalised(size: int) -> np.ndarray:
    """(3, 3) from -1..1 between the outermost pixels' centres to pixels."""
    half = (size - 1) / 2
    return np.array([[half, 0.0, half], [0.0, half, half], [0.0, 0.0, 1.0]])


def sample_crops(stored: StoredCrops) -> CropBatch:
    """Crops on the device of `stored`: colour bilinearly, depth from the nearest pixel, 0 outside the pictures."""
    noise = torch.Generator(stored.color.device).manual_seed(stored.noise_seed)
    count = len(stored.color)
    grid = functional.affine_grid(stored.theta, [count, 1, CROP_SIZE, CROP_SIZE], align_corners=True)
    color = stored.color.permute(0, 3, 1, 2).to(torch.float32) / 255
    steps = (stored.depth.to(torch.int32) & 0xFFFF).to(torch.float32)[:, None]
    rgb = functional.grid_sample(color, grid, "bilinear", "zeros", align_corners=True)
    depth = functional.grid_sample(steps, grid, "nearest", "zeros", align_corners=True)[:, 0] * DEPTH_UNIT
    return CropBatch(
        _vary_color(rgb, stored, noise),
        _vary_depth(depth, stored, noise),
        **{name: getattr(stored, name) for name in CropBatch._fields[2:]},
    )


def _vary_color(rgb: Tensor, stored: StoredCrops, noise: torch.Generator) -> Tensor:
    grain = torch.empty_like(rgb).normal_(generator=noise)
    varied = (rgb * stored.gain[:, :, None, None] + stored.color_sigma * grain).clamp(0, 1)
    return varied * ~stored.hide_color[:, None, None, None]


def _vary_depth(depth: Tensor, stored: StoredCrops, noise: torch.Generator) -> Tensor:
    pixel = torch.arange(CROP_SIZE, device=depth.device)
    top, left, height, width = stored.hole.T[:, :, None]
    rows = (pixel >= top) & (pixel < top + height)
    columns = (pixel >= left) & (pixel < left + width)
    kept = depth * ~(rows[:, :, None] & columns[:, None, :])
    error = torch.empty_like(kept).normal_(generator=noise) * stored.depth_sigma[:, None, None]
    noisy: Tensor = kept + (kept > 0) * error
    return noisy
