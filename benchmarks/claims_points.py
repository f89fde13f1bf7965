"""What a frozen image part sees of scenes, kept at the points that tokens may stand at.

Per scene: the true joints as a detector of known quality finds them (shifted, some missed), places anywhere (false
keypoints) and a grid (the baselines' tokens), each with the decoder's five maps sampled there. A row then costs its
transformer only, and all rows see the same.
"""

from __future__ import annotations

import hashlib
import shutil
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.claims_rows import GRID, SLOTS, Tokens
from hand_pose_ros.networks.keypoint_transformer import Keypoints, KeypointTransformer
from hand_pose_ros.networks.keypoint_transformer.peaks import HAND
from hand_pose_ros.training.keypoint_transformer_targets import Disturbance, disturbed, scene_targets, true_keypoints
from hand_pose_ros.training.scene_crops import SceneAugmentation, SceneBatch, scene_crops
from hand_pose_ros.training.shards import Batch, ShardStream

BATCH: Final = 32
FALSE: Final = 48  # places anywhere, per scene
DETECTOR: Final = Disturbance(shift=1.2, missed=0.15)
# Of the keypoints in training and test: this many false ones, as a part of the true ones.
FALSE_PART: Final = 0.15
_TEXT: Final = ("places", "valid", "features", "uv", "joints", "joint_valid", "present", "intrinsics", "pose", "shape")


class Remembered(NamedTuple):
    """places (B, P, 2) map pixels, valid (B, P) bool, features (B, P, C) of all points: SLOTS joints and empty slots,
    FALSE places anywhere, the grid; and the scenes' truth as in `SceneBatch`, with a crop of `crop` pixels."""

    places: Tensor
    valid: Tensor
    features: Tensor
    scene: SceneBatch


@torch.no_grad()
def remember(
    trunk: KeypointTransformer, scenes: Path, out: Path, count: int, seed: int, augmentation: SceneAugmentation
) -> Path:
    """Look at `count` scenes, each varied once, with depth where the trunk reads it; what is there is kept. Returns
    `out`."""
    folder = out / "points-000000"
    if folder.exists():
        return out
    partial = out / ".partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    columns: dict[str, list[Any]] = {name: [] for name in _TEXT}
    unread = () if trunk.config.depth else ("depth",)
    for number, stored in islice(ShardStream(scenes, BATCH, seed).batches(), count // BATCH):
        torch.manual_seed(seed + number)
        raw = {name: value for name, value in stored.items() if name not in unread}
        crops = scene_crops(raw, np.random.default_rng((seed, number)), augmentation, trunk.config.crop)
        for name, tensor in _look(trunk, crops).items():
            columns[name].append(tensor.numpy().astype(np.float16 if name == "features" else tensor.numpy().dtype))
    for name, values in columns.items():
        np.save(partial / f"{name}.npy", np.concatenate(values))
    partial.rename(folder)
    return out


def _look(trunk: KeypointTransformer, crops: SceneBatch) -> dict[str, Tensor]:
    targets = scene_targets(crops, trunk.config)._replace(segmentation=None)
    size = trunk.config.map_size
    found = disturbed(true_keypoints(targets, SLOTS, 0), DETECTOR, SLOTS, size)
    anywhere = torch.rand(len(crops.uv), FALSE, 2) * (size - 1)
    axis = (torch.arange(GRID) + 0.5) * size / GRID - 0.5
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=2).reshape(1, -1, 2).expand(len(anywhere), -1, -1)
    places = torch.cat((found.xy, anywhere, grid), dim=1)
    valid = torch.cat((found.valid, torch.ones(places.shape[0], FALSE + GRID**2, dtype=torch.bool)), dim=1)
    seen = trunk.see(crops.rgb.contiguous(memory_format=torch.channels_last), crops.relief)
    features = trunk.sample(seen.features, places)
    assert crops.pose is not None and crops.shape is not None  # rendered scenes have hand model parameters
    truth = (crops.uv, crops.joints, crops.valid, crops.present, crops.intrinsics, crops.pose, crops.shape)
    return dict(zip(_TEXT, (places, valid, features, *truth), strict=True))


def remembered(batch: Batch, rng: np.random.Generator, crop: int) -> Remembered:
    """A batch of `remember`'s shards; nothing is drawn."""
    tensors = {name: torch.from_numpy(np.array(batch[name])) for name in _TEXT}
    rgb = torch.zeros(1).expand(len(tensors["uv"]), 3, crop, crop)  # not seen again, but its size is asked for
    scene = SceneBatch(
        rgb,
        tensors["uv"],
        tensors["joints"],
        tensors["joint_valid"],
        tensors["present"],
        tensors["intrinsics"],
        tensors["pose"],
        tensors["shape"],
    )
    return Remembered(tensors["places"], tensors["valid"], tensors["features"].float(), scene)


class Tokenised(NamedTuple):
    """Where the tokens stand, and their features (B, K, C)."""

    keypoints: Keypoints
    features: Tensor


def tokens(batch: Remembered, kind: Tokens, channels: tuple[int, ...], false_part: float, seed: int) -> Tokenised:
    """The tokens of a row.

    Args:
        batch: of `remembered`.
        kind: see `Row`.
        channels: of the five maps, finest first.
        false_part: this many false keypoints, as a part of those found, take empty slots.
        seed: of their choice.
    """
    if kind != "keypoints":
        grid = slice(SLOTS + FALSE, None)
        features = batch.features[:, grid]
        if kind == "encoder":
            finer = sum(channels[:-1])
            features = torch.cat((torch.zeros_like(features[..., :finer]), features[..., finer:]), dim=2)
        xy = batch.places[:, grid]
        all_there = torch.ones(xy.shape[:2], dtype=torch.bool)
        return Tokenised(Keypoints(xy, all_there, all_there.long() * HAND, all_there * 255.0), features)
    valid = batch.valid[:, :SLOTS]
    chance = torch.rand(valid.shape, generator=torch.Generator().manual_seed(seed))
    wanted = false_part * valid.sum(dim=1, keepdim=True)
    false = ~valid & (chance < wanted / (~valid).sum(dim=1, keepdim=True).clamp(min=1))
    # An empty slot's own false place: slots lie behind the joints', of which at most 42 are used.
    index = SLOTS + torch.arange(SLOTS) % FALSE
    xy = torch.where(false[..., None], batch.places[:, index], batch.places[:, :SLOTS])
    features = torch.where(false[..., None], batch.features[:, index], batch.features[:, :SLOTS])
    used = valid | false
    return Tokenised(Keypoints(xy * used[..., None], used, used.long() * HAND, used * 255.0), features)


def unseeing(training: Path, test: Path) -> dict[str, float]:
    """Figures (mm) of the training's median pose and median translation, whatever is in the picture."""
    known, asked = (np.load(folder / "points-000000" / "joints.npy").astype(np.float64) for folder in (training, test))
    seen, there = (np.load(folder / "points-000000" / "joint_valid.npy").all(axis=2) for folder in (training, test))
    errors = np.full(there.shape, np.nan)
    for hand in range(2):
        median = np.median((known[:, hand] - known[:, hand, :1])[seen[:, hand]], axis=0)
        errors[:, hand] = 1e3 * np.linalg.norm(asked[:, hand] - asked[:, hand, :1] - median, axis=2).mean(axis=1)
    both, some = there.all(axis=1), there.any(axis=1)
    between = np.median((known[:, 1, 0] - known[:, 0, 0])[seen.all(axis=1)], axis=0)
    apart = 1e3 * np.linalg.norm(asked[both, 1, 0] - asked[both, 0, 0] - between, axis=1)
    return {
        "single_mm": float(errors[some & ~both][there[some & ~both]].mean()),
        "interacting_mm": float(errors[both].mean()),
        "mpjpe_mm": float(errors[there].mean()),
        "mrrpe_mm": float(apart.mean()),
    }


def digest(path: Path) -> str:
    """What names a trunk's own folder."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:8]
