"""What every training here shares: optimiser, schedule, averaged weights."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hand_pose_ros.training.average import WeightAverage

# A validation value and the number of samples it is the mean of.
Measured = tuple[float, float]


@dataclass(frozen=True)
class Schedule:
    """AdamW with a warm-up, a constant rate, and a linear fall to `final_rate` of the peak in the last part of `steps`.

    A constant rate lets a training be prolonged when it is resumed; the fall at the end is what brings the error down
    (Hägele et al. 2024). With `falls` a published schedule instead: no warm-up, and `fall` (a tenth) of the rate from
    each of these fractions of `steps` on. `decay_all`: norms and biases are decayed too, as published.
    """

    steps: int
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warmup: int = 200
    final_rate: float = 0.02
    decay_part: float = 0.4
    falls: tuple[float, ...] = ()
    decay_all: bool = False
    fall: float = 0.1

    def factor(self, step: int) -> float:
        """The learning rate at `step` as a fraction of its peak."""
        if self.falls:
            return float(self.fall ** sum(step >= fall * self.steps for fall in self.falls))
        if step < self.warmup:
            return (step + 1) / self.warmup
        left = max(0.0, 1.0 - step / self.steps)
        return max(self.final_rate, min(1.0, left / self.decay_part))


class AveragedModule(nn.Module):
    """Trains `network` and keeps its average; subclasses give `loss` and `evaluate`.

    Calling it gives the loss of a batch, so that Fabric (and its DDP) may stand around it.

    Attributes:
        global_step: optimiser steps done before the one at hand; set by `run.train`.
        monitor: the validation value that says which weights are best; smaller is better.
        leaves_out: whether some parameters have no part in the loss of some steps.
    """

    monitor: str = "total"
    leaves_out: bool = False

    def __init__(
        self, network: nn.Module, schedule: Schedule, compile_network: bool = False, decay: float = 0.999
    ) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = WeightAverage(self.network, decay)
        self.schedule = schedule
        self.global_step = 0
        # Kept out of the module tree: its state is the network's own.
        self._run = [torch.compile(self.network) if compile_network else self.network]

    def start_from(self, weights: Mapping[str, Tensor]) -> None:
        """Take the network's weights from a state dict, for the network and its average."""
        self.network.load_state_dict(weights)
        self.average.network.load_state_dict(weights)

    @property
    def run(self) -> Any:
        """The network as it is trained (compiled or not)."""
        return self._run[0]

    def heavy_parts(self) -> Sequence[nn.Module]:
        """The parts of the network that may run in half precision while it is trained; the rest, all losses and
        validation stay in float32."""
        return ()

    @abstractmethod
    def loss(self, batch: Any) -> dict[str, Tensor]:
        """Loss terms of a batch; "total" is descended."""

    @abstractmethod
    def evaluate(self, batch: Any) -> dict[str, Measured]:
        """Validation values of the averaged network on a batch."""

    def forward(self, batch: Any) -> dict[str, Tensor]:
        """`loss`."""
        return self.loss(batch)

    def configuration(self) -> dict[str, Any]:
        """What rebuilds the network, as plain values; stands in the checkpoint."""
        return {}

    def optimizer(self) -> torch.optim.Optimizer:
        """AdamW; norms and biases are not decayed (unless the schedule says so)."""
        groups = self.decayed(list(self.network.parameters()))
        # Fused: one pass over each array instead of ten, which halves an optimiser step on a CPU.
        return torch.optim.AdamW(groups, lr=self.schedule.learning_rate, fused=True)

    def decayed(self, parameters: Sequence[Tensor]) -> list[dict[str, Any]]:
        """Groups of an optimiser: matrices; norms and biases, not decayed (unless the schedule says so)."""
        decay = self.schedule.weight_decay
        return [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": decay},
            {
                "params": [p for p in parameters if p.ndim <= 1],
                "weight_decay": decay if self.schedule.decay_all else 0.0,
            },
        ]
