"""How Lightning Fabric is set up here: one process or torchrun's, and half precision for convolutions only."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, Literal

from lightning.fabric import Fabric
from lightning.fabric.accelerators.cuda import CUDAAccelerator
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.fabric.plugins.precision.amp import MixedPrecision
from lightning.fabric.strategies.ddp import DDPStrategy
from torch import nn

from hand_pose_ros.training.errors import TrainingError
from hand_pose_ros.training.optimisation import AveragedModule

Precision = Literal["32", "bf16-mixed", "16-mixed"]
PRECISIONS: Final[tuple[Precision, ...]] = ("32", "bf16-mixed", "16-mixed")


class HeavyPartsPrecision(MixedPrecision):
    """Lightning's mixed precision for `AveragedModule.heavy_parts` alone; they give float32.

    Over a whole module it would round the batch (lengths, cameras, truth) and take pixels through homographies in half
    precision, which is off by pixels. Weights and state dict stay as they are.
    """

    def convert_module(self, module: nn.Module) -> nn.Module:
        """Let the heavy parts run under autocast.

        Raises:
            TrainingError: this module has none.
        """
        parts = module.heavy_parts() if isinstance(module, AveragedModule) else ()
        if not parts:
            raise TrainingError(f"precision: expected '32' for {type(module).__name__}, got {self.precision!r}")
        for part in parts:
            part.forward = functools.partial(self._run, part.forward)  # type: ignore[method-assign]
        return module

    def convert_input(self, data: Any) -> Any:
        """The module's input stays as it is."""
        return data

    def forward_context(self) -> AbstractContextManager[Any]:
        """None around the whole module."""
        return nullcontext()

    def _run(self, forward: Callable[..., Any], *arguments: Any) -> Any:
        with super().forward_context():
            result = forward(*arguments)
        return self.convert_output(result)


def launch(accelerator: str, precision: Precision, leaves_out: bool) -> Fabric:
    """Fabric on one device, or joined with torchrun's other processes; gradients are then averaged over them.

    Args:
        accelerator: "auto" (a CUDA device where there is one), "cpu" or "gpu".
        precision: of the heavy parts.
        leaves_out: see `AveragedModule`.

    Raises:
        TrainingError: fewer GPUs than processes, or 16-mixed without one.
    """
    world = world_size()
    here = int(os.environ["LOCAL_WORLD_SIZE"]) if world > 1 else 1
    gpus = 0 if accelerator == "cpu" else CUDAAccelerator.auto_device_count()
    if gpus < here and (gpus or accelerator == "gpu"):
        raise TrainingError(
            f"accelerator: expected a GPU for each of {here} processes, got {gpus}; use --accelerator cpu"
        )
    device = "cuda" if gpus else "cpu"
    if precision == "16-mixed" and device == "cpu":
        # Fabric would take bf16 instead.
        raise TrainingError("precision: 16-mixed needs a CUDA device, got cpu; use 32 or bf16-mixed")
    fabric = Fabric(
        accelerator=device,
        devices=here,
        num_nodes=world // here,
        strategy=DDPStrategy(find_unused_parameters=leaves_out) if world > 1 else "auto",
        plugins=None if precision == "32" else HeavyPartsPrecision(precision, device),
    )
    fabric.launch()
    return fabric


def world_size() -> int:
    """How many processes torchrun started; 1 without it."""
    return TorchElasticEnvironment().world_size() if TorchElasticEnvironment.detect() else 1


def share_of(batch_size: int) -> int:
    """Samples of a batch that fall to each process.

    Raises:
        TrainingError: they cannot be shared out evenly.
    """
    if batch_size % world_size():
        raise TrainingError(f"batch size: expected a multiple of {world_size()} processes, got {batch_size}")
    return batch_size // world_size()
