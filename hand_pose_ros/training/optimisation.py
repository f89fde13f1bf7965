"""What every training here shares: optimiser, schedule, averaged weights."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import lightning
import torch
from torch import Tensor, nn

from hand_pose_ros.training.average import WeightAverage


@dataclass(frozen=True)
class Schedule:
    """AdamW with a warm-up, a constant rate, and a linear fall to `final_rate` of the peak in the last part of `steps`.

    A constant rate lets a training be prolonged when it is resumed; the fall at the end is what brings the error down
    (Hägele et al. 2024).
    """

    steps: int
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warmup: int = 200
    final_rate: float = 0.02
    decay_part: float = 0.4

    def factor(self, step: int) -> float:
        """The learning rate at `step` as a fraction of its peak."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        left = max(0.0, 1.0 - step / self.steps)
        return max(self.final_rate, min(1.0, left / self.decay_part))


class AveragedModule(lightning.LightningModule):
    """Trains `network` and keeps its average; subclasses give `loss` and `validate`.

    Lightning's own batch type is a step number with a batch, so that augmentation is drawn from (seed, step) and a
    resumed training goes on as an uninterrupted one would.
    """

    def __init__(self, network: nn.Module, schedule: Schedule, compile_network: bool = False) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = WeightAverage(self.network)
        self.schedule = schedule
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

    @abstractmethod
    def loss(self, batch: Any) -> dict[str, Tensor]:
        """Loss terms of a batch; "total" is descended."""

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        """One optimiser step's loss."""
        terms = self.loss(batch)
        self.log_dict({f"train/{k}": v.detach() for k, v in terms.items()}, on_step=True, on_epoch=False)
        self.log("loss", terms["total"].detach(), prog_bar=True, logger=False)
        return terms["total"]

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_index: int) -> None:
        """Average the weights."""
        self.average.update(self.network, self.global_step)

    def configure_optimizers(self) -> Any:
        """AdamW; norms and biases are not decayed."""
        matrices = [p for p in self.network.parameters() if p.ndim > 1]
        vectors = [p for p in self.network.parameters() if p.ndim <= 1]
        optimizer = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": self.schedule.weight_decay},
                {"params": vectors, "weight_decay": 0.0},
            ],
            lr=self.schedule.learning_rate,
        )
        rate = torch.optim.lr_scheduler.LambdaLR(optimizer, self.schedule.factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": rate, "interval": "step"}}
