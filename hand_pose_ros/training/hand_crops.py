"""From pictures of a hand's surroundings to what Keypoint-Fusion learns: crops with the errors a hand finder makes.

`draw` says how each crop is varied and `place` what that means for cameras, joints and sampling; both are a few numbers
per crop. The pictures are then sampled either here (`crop_batch`, OpenCV, one after the other) or many at once on the
network's device (`crop_images`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hand_pose_ros.datasets.synthetic.shards import unpack_depth
from hand_pose_ros.geometry.crop import CROP_SIZE, sample_crop
from hand_pose_ros.skeleton import NUM_JOINTS
from hand_pose_ros.training.shards import Batch
from hand_pose_ros.types import BoolArray, DoubleArray, FloatArray, Frame, Intrinsics

_MIDDLE = (CROP_SIZE - 1) / 2


@dataclass(frozen=True)
class CropAugmentation:
    """How crops are varied; lengths in metres, angles in radians, probabilities per crop.

    The centre is displaced by a normal error of `center_std` per axis (cut at twice that), as a finder or a moving
    track displaces it, and evenly within `center_range`; the cube's edge is `cube_size` times a factor within `scale`.
    `wrong_side` of the crops are mirrored, so that they show a hand of the side that is not expected. The camera is
    rolled about its optical axis by a normal angle of `roll_std`, which is exact: the joints turn with the image and
    keep their depths. `turn` is the published in-plane turn about the crop's centre, even within this angle on either
    side, which away from the optical axis is not quite what a camera would see. `one_of` varies each crop in one way
    only: turned, displaced, scaled or not at all, equally often, as published. Each colour channel is multiplied by a
    factor within 1 - `color_gain` and 1 + `color_gain`.
    """

    cube_size: float = 0.25
    wrong_side: float = 0.12
    roll_std: float = 0.5
    turn: float = 0.0
    center_std: float = 0.012
    center_range: float = 0.0
    scale: tuple[float, float] = (0.88, 1.15)
    one_of: bool = False
    no_color: float = 0.35
    color_gain: float = 0.25
    color_noise: float = 0.02
    hole: float = 0.15
    depth_noise: float = 0.0015


# For validation: a centre as coarse as a finder's, nothing else.
VALIDATION = CropAugmentation(
    wrong_side=0.0,
    roll_std=0.0,
    center_std=0.008,
    scale=(1.0, 1.0),
    no_color=0.0,
    color_gain=0.0,
    color_noise=0.0,
    hole=0.0,
    depth_noise=0.0,
)


class CropBatch(NamedTuple):
    """rgb (B, 3, 128, 128) 0..1, depth (B, 128, 128) m with 0 = none, center (B, 3) m, crop_matrix (B, 3, 3),
    cube (B, 3) m, intrinsics (B, 4), joints (B, 21, 3) m, is_hand (B,) and expected_side (B,) bool."""

    rgb: Tensor
    depth: Tensor
    center: Tensor
    crop_matrix: Tensor
    cube: Tensor
    intrinsics: Tensor
    joints: Tensor
    is_hand: Tensor
    expected_side: Tensor

    @property
    def joints_nl(self) -> Tensor:
        """Joints (B, 21, 3) normalised: (xyz - center) / (cube / 2)."""
        return (self.joints - self.center[:, None]) / (self.cube[:, None] / 2)


class CropDraws(NamedTuple):
    """What chance decides for B crops: offset (B, 3) m of the centre, size (B,) m of the cube, mirror (B,) bool,
    roll and turn (B,) radians, gain (B, 3) of the colours, hide_color (B,) bool, hole (B, 4) pixels (top, left, height,
    width; no height: no hole), depth_sigma (B,) m, color_sigma (0..1), and the seed of the pixels' noise."""

    offset: FloatArray
    size: DoubleArray
    mirror: BoolArray
    roll: DoubleArray
    turn: DoubleArray
    gain: FloatArray
    hide_color: BoolArray
    hole: np.ndarray
    depth_sigma: FloatArray
    color_sigma: float
    noise_seed: int


class CropPlan(NamedTuple):
    """Where B crops lie: center and cube (B, 3) m, crop_matrix (B, 3, 3), intrinsics (B, 4), joints (B, 21, 3) m,
    is_hand and expected_side (B,) bool as in `CropBatch`; warp (B, 3, 3) float64 takes stored pixels to crop pixels."""

    center: FloatArray
    cube: FloatArray
    crop_matrix: FloatArray
    intrinsics: FloatArray
    joints: FloatArray
    is_hand: BoolArray
    expected_side: BoolArray
    warp: DoubleArray


def draw(may_mirror: BoolArray, rng: np.random.Generator, augmentation: CropAugmentation) -> CropDraws:
    """Draw how B crops are varied; `may_mirror` (B,): a right hand is to be seen."""
    a, count = augmentation, len(may_mirror)
    offset = rng.normal(size=(count, 3)).clip(-2, 2) * a.center_std
    offset += rng.uniform(-a.center_range, a.center_range, (count, 3))
    factor = rng.uniform(*a.scale, count)
    turn = rng.uniform(-a.turn, a.turn, count)
    if a.one_of:
        way = rng.integers(4, size=count)
        turn, factor = np.where(way == 0, turn, 0.0), np.where(way == 2, factor, 1.0)
        offset = np.where((way == 1)[:, None], offset, 0.0)
    height, width = rng.integers(6, 36, (2, count))
    corner = rng.integers(0, CROP_SIZE - np.stack([height, width]))
    hole = np.stack([*corner, np.where(rng.random(count) < a.hole, height, 0), width], axis=1)
    return CropDraws(
        offset=offset.astype(np.float32),
        size=a.cube_size * factor,
        mirror=(rng.random(count) < a.wrong_side) & may_mirror,
        roll=rng.normal(size=count) * a.roll_std,
        turn=turn,
        gain=rng.uniform(1 - a.color_gain, 1 + a.color_gain, (count, 3)).astype(np.float32),
        hide_color=rng.random(count) < a.no_color,
        hole=hole,
        depth_sigma=rng.uniform(0, a.depth_noise, count).astype(np.float32),
        color_sigma=a.color_noise,
        noise_seed=int(rng.integers(2**62)),
    )


def flags(batch: Batch) -> tuple[BoolArray, BoolArray]:
    """Whether there is a hand (B,), and whether it is of the other side (B,). A hand of the other side counts as a
    negative in the data, but it is a hand."""
    wrong_side = batch["wrong_side"].astype(bool)
    return ~batch["negative"].astype(bool) | wrong_side, wrong_side


def place(batch: Batch, draws: CropDraws) -> CropPlan:
    """Cameras, joints and sampling of varied crops: displaced, mirrored, rolled, cut out and turned, in this order."""
    is_hand, wrong_side = flags(batch)
    count, width = len(is_hand), batch["color"].shape[2]
    fx, fy, cx, cy = batch["intrinsics"].astype(np.float64).T
    joints = batch["joints"].astype(np.float64).reshape(count, NUM_JOINTS, 3)
    center = (batch["center"].astype(np.float32) + draws.offset).astype(np.float64)
    sign = np.where(draws.mirror, -1.0, 1.0)
    joints, center = joints * _x(sign)[:, None], center * _x(sign)
    cx = np.where(draws.mirror, width - 1 - cx, cx)
    flip = _matrices(sign, 0.0, np.where(draws.mirror, width - 1.0, 0.0), 0.0, 1.0, 0.0)
    camera = _matrices(fx, 0.0, cx, 0.0, fy, cy)
    roll = _rotations(draws.roll)
    joints, center = joints @ roll.transpose(0, 2, 1), (roll @ center[..., None])[..., 0]
    scale = CROP_SIZE * center[:, 2] / draws.size
    u, v = center[:, 0] / center[:, 2] * fx + cx, center[:, 1] / center[:, 2] * fy + cy
    matrix = _matrices(scale / fx, 0.0, _MIDDLE - scale / fx * u, 0.0, scale / fy, _MIDDLE - scale / fy * v)
    turn = _about_middle(_rotations(draws.turn))
    joints = _turn_joints(joints, turn, matrix @ camera)
    return CropPlan(
        center=center.astype(np.float32),
        cube=np.repeat(draws.size.astype(np.float32)[:, None], 3, axis=1),
        crop_matrix=matrix.astype(np.float32),
        intrinsics=np.stack([fx, fy, cx, cy], axis=1).astype(np.float32),
        joints=joints.astype(np.float32),
        is_hand=is_hand,
        expected_side=~(wrong_side | draws.mirror),
        warp=turn @ matrix @ camera @ roll @ np.linalg.inv(camera) @ flip,
    )


def _x(sign: DoubleArray) -> DoubleArray:
    """(B, 3) factors that mirror x where the sign is -1."""
    return np.stack([sign, np.ones_like(sign), np.ones_like(sign)], axis=1)


def _matrices(*rows: DoubleArray | float) -> DoubleArray:
    """(B, 3, 3) affine maps from their six entries, (B,) or numbers."""
    entries = np.broadcast_arrays(*rows, 0.0, 0.0, 1.0)
    return np.stack(entries, axis=-1).reshape(-1, 3, 3)


def _rotations(angle: DoubleArray) -> DoubleArray:
    c, s = np.cos(angle), np.sin(angle)
    return _matrices(c, -s, 0.0, s, c, 0.0)


def _about_middle(rotation: DoubleArray) -> DoubleArray:
    """Rotations (B, 3, 3) of crop pixels about the crop's middle."""
    there = np.array([[1.0, 0.0, _MIDDLE], [0.0, 1.0, _MIDDLE], [0.0, 0.0, 1.0]])
    back = np.array([[1.0, 0.0, -_MIDDLE], [0.0, 1.0, -_MIDDLE], [0.0, 0.0, 1.0]])
    turned: DoubleArray = there @ rotation @ back
    return turned


def _turn_joints(joints: DoubleArray, turn: DoubleArray, projection: DoubleArray) -> DoubleArray:
    """Joints (B, 21, 3) with their crop pixels turned and their depths kept; `projection` (B, 3, 3) xyz -> crop."""
    moved = np.linalg.inv(projection) @ turn @ projection
    result: DoubleArray = joints @ moved.transpose(0, 2, 1)
    return result


def crop_batch(batch: Batch, rng: np.random.Generator, augmentation: CropAugmentation) -> CropBatch:
    """Crops of a batch of crop shards, sampled one after the other with OpenCV as the pipeline does.

    Expects `color` (B, S, S, 3) uint8, `depth` (B, S, S) uint16 in 0.1 mm, `intrinsics` (B, 4), `joints` (B, 21, 3) m,
    `center` (B, 3) m, `negative` and `wrong_side` (B,) bool.
    """
    draws = draw(flags(batch)[0] & ~flags(batch)[1], rng, augmentation)
    return crop_drawn(batch, draws)


def crop_drawn(batch: Batch, draws: CropDraws) -> CropBatch:
    """`crop_batch` for given draws."""
    plan = place(batch, draws)
    count = len(plan.is_hand)
    rgb = np.empty((count, CROP_SIZE, CROP_SIZE, 3), dtype=np.uint8)
    depth = np.empty((count, CROP_SIZE, CROP_SIZE), dtype=np.float32)
    for n in range(count):
        rgb[n], depth[n] = sample_crop(_as_frame(batch, n), plan.warp[n])
    noise = np.random.default_rng(draws.noise_seed)
    _vary_depth(depth, draws, noise)
    return CropBatch(
        rgb=_vary_color(rgb, draws, noise),
        depth=torch.from_numpy(depth),
        **{name: torch.from_numpy(getattr(plan, name)) for name in CropBatch._fields[2:]},
    )


def _as_frame(batch: Batch, n: int) -> Frame:
    height, width = batch["depth"][n].shape
    fx, fy, cx, cy = (float(value) for value in batch["intrinsics"][n])
    depth = unpack_depth(batch["depth"][n])
    color = batch["color"][n].astype(np.uint8, copy=False)
    return Frame(0, "synthetic", Intrinsics(fx, fy, cx, cy, width, height), color, depth)


def _vary_depth(depth: FloatArray, draws: CropDraws, noise: np.random.Generator) -> None:
    """Holes where a sensor sees nothing, and a little noise, in place."""
    for n, (top, left, height, width) in enumerate(draws.hole):
        depth[n, top : top + height, left : left + width] = 0.0
    if draws.depth_sigma.any():
        sigma = draws.depth_sigma[:, None, None]
        depth += (depth > 0) * sigma * noise.standard_normal(depth.shape, dtype=np.float32)


def _vary_color(rgb: np.ndarray, draws: CropDraws, noise: np.random.Generator) -> Tensor:
    color = torch.from_numpy(rgb).permute(0, 3, 1, 2).to(torch.float32) / 255.0
    color *= torch.from_numpy(draws.gain)[:, :, None, None]
    if draws.color_sigma > 0:
        color += draws.color_sigma * torch.from_numpy(noise.standard_normal(color.shape, dtype=np.float32))
    color.clamp_(0.0, 1.0)
    color[torch.from_numpy(draws.hide_color)] = 0.0
    return color
