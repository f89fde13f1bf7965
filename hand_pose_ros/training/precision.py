"""Mixed precision: the convolutions of a network in half precision, its geometry and losses in float32."""

from __future__ import annotations

import functools
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn

from hand_pose_ros.training.errors import TrainingError

Precision = Literal["32", "bf16-mixed", "16-mixed"]
PRECISIONS: Final[tuple[Precision, ...]] = ("32", "bf16-mixed", "16-mixed")
_TYPES: Final = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


def lower_precision(part: nn.Module, precision: Precision) -> None:
    """Let a part of a network run under autocast and give float32. Its weights and state dict stay as they are.

    Autocast over a whole Keypoint-Fusion network would take pixels through homographies in half precision, which is
    off by pixels.
    """
    part.forward = functools.partial(_run, part.forward, _TYPES[precision])  # type: ignore[method-assign]


def _run(forward: Any, dtype: torch.dtype, *arguments: Tensor) -> Any:
    with torch.autocast(arguments[0].device.type, dtype=dtype):
        result = forward(*arguments)
    return _to_float32(result)


def _to_float32(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.float()
    return type(value)(_to_float32(item) for item in value)


def scaler(precision: Precision, device: torch.device) -> torch.amp.GradScaler:
    """The gradient scaler of 16-mixed; of the others one that does nothing.

    Raises:
        TrainingError: 16-mixed without a GPU.
    """
    if precision == "16-mixed" and device.type != "cuda":
        raise TrainingError(f"precision: 16-mixed needs a CUDA device, got {device.type}; use 32 or bf16-mixed")
    return torch.amp.GradScaler(device.type, enabled=precision == "16-mixed")
