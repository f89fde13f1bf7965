"""Rows whose stages alone are trained, on the branches of the shipped network as they are.

What a CPU can do in minutes: the branches are most of the arithmetic and need the most data. They are run once over all
crops, and what they give is kept as shards; a row then costs its stages only. All rows begin with the same good pose,
the depth branch's votes, and the question is what the stages add to it.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import ablation_data
from benchmarks.ablation import Bench, Budget, Poses, in_metres
from benchmarks.ablation_rows import Row, base
from benchmarks.ablation_whole import WholeBench
from hand_pose_ros.networks.keypoint_fusion import KeypointFusion, KeypointFusionConfig, KeypointFusionOutput
from hand_pose_ros.networks.keypoint_fusion.coords import CropGeometry, uvd_to_xyz, xyz_to_uvd
from hand_pose_ros.networks.keypoint_fusion.preprocess import normalise_depth
from hand_pose_ros.training.hand_crops import CropAugmentation, CropBatch
from hand_pose_ros.training.losses import KeypointFusionLossConfig, heat_maps, smooth_l1
from hand_pose_ros.training.optimisation import AveragedModule, Measured, Schedule
from hand_pose_ros.training.run import Data
from hand_pose_ros.training.shards import Batch, ShardStream

WEIGHTS: Final = Path(__file__).resolve().parents[1] / "models" / "weights" / "kpt_fusion_lite.pt"


class Recalled(NamedTuple):
    """What the branches gave, and the crops' places: depth_map (B, 105, 32, 32), depth_features and rgb_features
    (B, C, 32, 32), depth (B, 1, 128, 128) normalised, center, cube (B, 3) m, crop_matrix (B, 3, 3), intrinsics (B, 4),
    joints (B, 21, 3) m."""

    depth_map: Tensor
    depth_features: Tensor
    rgb_features: Tensor
    depth: Tensor
    center: Tensor
    cube: Tensor
    crop_matrix: Tensor
    intrinsics: Tensor
    joints: Tensor

    @property
    def geometry(self) -> CropGeometry:
        """How the crops lie in their cameras."""
        return CropGeometry(self.center, self.crop_matrix, self.cube, self.intrinsics)


class _Memory(nn.Module):
    """Stands where a branch was and gives what it gave: (map, features, pooled)."""

    def __init__(self, pooled: int) -> None:
        super().__init__()
        self.pooled = pooled
        self.given: tuple[Tensor, Tensor] | None = None

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`picture` (B, C, H, W) only says how many there are; the pooled features, for logits nobody asks, are 0."""
        assert self.given is not None
        return *self.given, picture.new_zeros(picture.shape[0], self.pooled)


class StagesModule(AveragedModule):
    """The stages of a network, with the paper's losses on their poses and weight maps."""

    monitor = "absolute_mm"

    def __init__(self, config: KeypointFusionConfig, schedule: Schedule, color: bool, decay: float) -> None:
        network = KeypointFusion(config)
        widths = config.network_widths
        network.depth_branch = _Memory(widths.depth[3])  # type: ignore[assignment]
        if config.stages:
            network.rgb_branch = _Memory(widths.rgb[3])  # type: ignore[assignment]
        super().__init__(network, schedule, decay=decay)
        self.color = color
        self.losses = KeypointFusionLossConfig()

    def look(self, network: Any, batch: Recalled) -> KeypointFusionOutput:
        """Run a network on what the branches gave."""
        network.depth_branch.given = batch.depth_map, batch.depth_features
        if network.rgb_branch is not None:
            # The colour branch's own votes are a side task of its training only.
            network.rgb_branch.given = batch.depth_map[:, :, :1, :1], batch.rgb_features
        seen = batch.depth.new_full((len(batch.depth), 3, 1, 1), float(self.color))
        output: KeypointFusionOutput = network(seen, batch.depth, *batch.geometry)
        return output

    def loss(self, batch: Recalled) -> dict[str, Tensor]:
        """The terms refined, final and spatial of each stage, weighted as published."""
        output = self.look(self.run, batch)
        truth = (batch.joints - batch.center[:, None]) / (batch.cube[:, None] / 2)
        uvd = xyz_to_uvd(truth, batch.geometry)
        poses = [*output.refined, *output.final]
        terms = {f"pose_{n}": self.losses.joints * smooth_l1(pose, truth) for n, pose in enumerate(poses)}
        sigmas = self.losses.heat_sigmas
        for n, weights in enumerate(output.spatial_weights):
            target = heat_maps(uvd, sigmas[min(n, len(sigmas) - 1)])
            terms[f"spatial_{n}"] = self.losses.spatial * smooth_l1(weights, target)
        return {**terms, "total": torch.stack(list(terms.values())).sum()}

    @torch.no_grad()
    def evaluate(self, batch: Recalled) -> dict[str, Measured]:
        """Absolute MPJPE (mm) of the averaged network."""
        estimate = in_metres(self.look(self.average.network, batch).joints, batch.center, batch.cube)
        error = 1e3 * float(np.linalg.norm(estimate - batch.joints.double().cpu().numpy(), axis=2).mean())
        return {"absolute_mm": (error, len(estimate))}


@dataclass(frozen=True)
class StageBench(Bench):
    """Trains a row's stages, on the branches of `weights` (a file of size "lite") with this sha256."""

    weights: Path = WEIGHTS
    digest: str = ""

    def trained(self, row: Row, seed: int, folder: Path) -> tuple[AveragedModule, float]:
        """The row after its samples; without stages there is nothing to train."""
        torch.manual_seed(seed)
        module = StagesModule(row.config, self.budget.schedule(self.budget.samples), row.color, self.budget.average)
        if row.config.stages == 0:
            return module, 0.0
        varied, _ = ablation_data.augmentations(color=True)
        given = self._remembered(self.training, "train", self.budget.crops, ablation_data.TRAIN_SEED, varied)
        stream = ShardStream(given, self.budget.batch_size, seed)
        data = Data(stream, stream, 1, recalled, recalled)
        return module, self.fit(module, data, folder, self.budget.samples, seed)

    def poses(self, network: Any, row: Row) -> Iterator[Poses]:
        """What a network makes of the test crops."""
        viewer = StagesModule(row.config, self.budget.schedule(self.budget.samples), row.color, 0.0)
        size = ablation_data.BATCH
        _, plain = ablation_data.augmentations(color=True)
        given = self._remembered(self.test, "test", self.budget.test_crops, ablation_data.TEST_SEED, plain)
        stream = ShardStream(given, size, ablation_data.TEST_SEED)
        for _, arrays in islice(stream.batches(), self.budget.test_crops // size):
            batch = recalled(arrays)
            output = viewer.look(network, batch)
            votes = uvd_to_xyz(output.initial_uvd, batch.geometry)
            estimate, first = (in_metres(pose, batch.center, batch.cube) for pose in (output.joints, votes))
            yield estimate, first, batch.joints.double().numpy()

    def about(self) -> dict[str, Any]:
        """Whose branches."""
        return {"branches": self.digest}

    def _remembered(self, crops: Path, name: str, count: int, seed: int, augmentation: CropAugmentation) -> Path:
        return remember(self.weights, crops, self.out / "branches" / name, count, seed, augmentation)


def recalled(batch: Batch, rng: np.random.Generator | None = None) -> Recalled:
    """A batch of `remember`'s shards; nothing is drawn."""
    return Recalled(**{name: torch.from_numpy(batch[name].astype(np.float32)) for name in Recalled._fields})


def remember(weights: Path, crops: Path, out: Path, count: int, seed: int, augmentation: CropAugmentation) -> Path:
    """Run the branches of `weights` over `count` crops, each varied once; what is there is kept."""
    folder = out / "crops-000000"
    if folder.exists():
        return out
    network = KeypointFusion(base("lite")).eval()
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    partial = out / ".partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    stream = ShardStream(crops, ablation_data.BATCH, seed)
    columns: dict[str, list[Any]] = {name: [] for name in Recalled._fields}
    for number, arrays in islice(stream.batches(), count // ablation_data.BATCH):
        batch = ablation_data.sample(ablation_data.draw(arrays, np.random.default_rng((seed, number)), augmentation))
        for name, tensor in zip(Recalled._fields, _give(network, batch), strict=True):
            # Maps are most of the bytes; lengths and cameras keep their digits.
            columns[name].append(tensor.numpy().astype(np.float16 if tensor.ndim == 4 else np.float32))
    for name, values in columns.items():
        np.save(partial / f"{name}.npy", np.concatenate(values))
    partial.rename(folder)
    return out


@torch.no_grad()
def _give(network: KeypointFusion, batch: CropBatch) -> Recalled:
    assert network.rgb_branch is not None
    depth = normalise_depth(batch.depth, batch.center, batch.cube)
    depth_map, depth_features, _ = network.depth_branch(depth)
    _, rgb_features, _ = network.rgb_branch(batch.rgb)
    places = (batch.center, batch.cube, batch.crop_matrix, batch.intrinsics, batch.joints)
    return Recalled(depth_map, depth_features, rgb_features, depth, *places)


def make_bench(
    size: str,
    training: Path,
    test: Path,
    out: Path,
    budget: Budget,
    threads: int = 1,
    accelerator: str = "cpu",
    weights: Path = WEIGHTS,
) -> Bench:
    """The bench that a budget asks for, on folders of crop shards; `weights`: whose branches, if not trained.

    Results on other weights lie in another folder, so that none are mixed.
    """
    if budget.trunk:
        return WholeBench(size, training, test, out, budget, threads, accelerator)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    return StageBench(size, training, test, out / digest[:8], budget, threads, accelerator, weights, digest)
