"""Rows whose whole network is trained, from a depth branch that all of a seed share (the trunk).

The depth branch is where all rows agree, and everything else only refines its pose. So it is trained alone first, once
per seed; each row starts from it and trains as a whole, its depth branch included.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from benchmarks import ablation_data
from benchmarks.ablation import Bench, Poses, in_metres
from benchmarks.ablation_rows import Row, base
from hand_pose_ros.networks.keypoint_fusion.coords import uvd_to_xyz
from hand_pose_ros.training import checkpoints
from hand_pose_ros.training.keypoint_fusion_module import KeypointFusionModule, forward, geometry_of
from hand_pose_ros.training.losses import KeypointFusionLossConfig
from hand_pose_ros.training.run import Data
from hand_pose_ros.training.shards import ShardStream

# Every crop holds a right hand: there is nothing to learn about presence and side.
_LOSSES: Final = KeypointFusionLossConfig(presence=0.0, side=0.0)


class WholeBench(Bench):
    """Trains all of a row's network."""

    def trained(self, row: Row, seed: int, folder: Path) -> tuple[KeypointFusionModule, float]:
        """The row after the trunk's samples and its own."""
        trunk = self._trunk(seed)
        module = self._module(row, seed, self.budget.samples)
        for network in (module.network, module.average.network):
            network.depth_branch.load_state_dict(trunk)
        return module, self.fit(module, self._data(row, seed), folder, self.budget.samples, seed)

    def poses(self, network: Any, row: Row) -> Iterator[Poses]:
        """What a network makes of the test crops."""
        for batch in ablation_data.test_batches(self.test, self.budget.test_crops, row.color):
            output = forward(network, batch)
            votes = uvd_to_xyz(output.initial_uvd, geometry_of(batch))
            estimate, first = (in_metres(pose, batch.center, batch.cube) for pose in (output.joints, votes))
            yield estimate, first, batch.joints.double().numpy()

    def _trunk(self, seed: int) -> dict[str, Tensor]:
        """The depth branch, trained alone."""
        folder = self.out / f"trunk-seed{seed}"
        trunk = Row("trunk", "trunk", dataclasses.replace(base(self.size), stages=0))
        self.claim(folder, trunk, seed)
        finished = folder / "finished"
        if not finished.exists():
            module = self._module(trunk, seed, self.budget.trunk)
            self.fit(module, self._data(trunk, seed), folder, self.budget.trunk, seed)
            finished.touch()
        network = checkpoints.read(folder / checkpoints.LAST)["state_dict"]
        start = "average.network.depth_branch."
        return {name.removeprefix(start): value for name, value in network.items() if name.startswith(start)}

    def _module(self, row: Row, seed: int, samples: int) -> Any:
        torch.manual_seed(seed)
        return KeypointFusionModule(row.config, self.budget.schedule(samples), _LOSSES, decay=self.budget.average)

    def _data(self, row: Row, seed: int) -> Data:
        training, test = ablation_data.augmentations(row.color)
        stream = ShardStream(self.training, self.budget.batch_size, seed)
        crops, check = (partial(ablation_data.draw, augmentation=varied) for varied in (training, test))
        return Data(stream, stream, 1, crops, check, ablation_data.sample)
