"""The processes of one training: one, or those that torchrun started."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed

from hand_pose_ros.training.errors import TrainingError


@dataclass(frozen=True)
class Processes:
    """Which of `world` processes this is, and the device it trains on."""

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def agree(self, value: bool) -> bool:
        """What the first process says."""
        if self.world == 1:
            return value
        flag = torch.tensor([int(value)], device=self.device)
        distributed.broadcast(flag, 0)
        return bool(flag.item())

    def barrier(self) -> None:
        """Wait for all processes."""
        self.agree(True)

    def means(self, totals: Mapping[str, tuple[float, float]]) -> dict[str, float]:
        """Means of (sum, weight) over all processes; names must be the same in all. Without weight: left out."""
        values = torch.tensor([list(pair) for pair in totals.values()], dtype=torch.float64)
        if self.world > 1:
            values = values.to(self.device)
            distributed.all_reduce(values)
        return {name: total / weight for name, (total, weight) in zip(totals, values.tolist(), strict=True) if weight}


def world_size() -> int:
    """How many processes torchrun started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def share_of(batch_size: int) -> int:
    """Samples of a batch that fall to each process.

    Raises:
        TrainingError: they cannot be shared out evenly.
    """
    if batch_size % world_size():
        raise TrainingError(f"batch size: expected a multiple of {world_size()} processes, got {batch_size}")
    return batch_size // world_size()


@contextmanager
def processes(accelerator: str) -> Iterator[Processes]:
    """Join torchrun's other processes, if there are any; a process group that is there already is used and kept.

    Raises:
        TrainingError: a GPU was asked for and there is none, or fewer than processes.
    """
    world, rank = world_size(), int(os.environ.get("RANK", "0"))
    device = _device(accelerator, int(os.environ.get("LOCAL_RANK", "0")))
    if world == 1:
        yield Processes(0, 1, device)
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    there = distributed.is_initialized()
    if not there:
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Processes(rank, world, device)
    finally:
        if not there:
            distributed.destroy_process_group()


def _device(accelerator: str, local_rank: int) -> torch.device:
    gpus = torch.cuda.device_count()
    if accelerator == "cpu" or (accelerator == "auto" and gpus == 0):
        return torch.device("cpu")
    if local_rank >= gpus:
        raise TrainingError(f"accelerator: expected a GPU for each process, got {gpus}; use --accelerator cpu")
    return torch.device("cuda", local_rank)
