"""Checkpoints: written so that a kill at any time leaves a whole one, and read back.

A file holds `state_dict`, `optimizer_states` (of one optimiser), `global_step`, `scaler`, `best` and `network` (what
rebuilds it). Those that PyTorch Lightning wrote for earlier versions have the first three under the same names and are
read as well.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import torch

from hand_pose_ros.training.errors import TrainingError
from hand_pose_ros.training.optimisation import AveragedModule

LAST: Final = "last.ckpt"
BEST: Final = "best.ckpt"
CheckpointState = dict[str, Any]
_NAMED: Final = 3  # entries of a foreign file that an error names


class CheckpointError(TrainingError):
    """A checkpoint that does not fit; the text says what differs and what to do."""


def write(state: CheckpointState, path: Path) -> None:
    """Write a checkpoint; until it is whole on the disk, the one before stays under its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def read(path: Path) -> CheckpointState:
    """A checkpoint's content, on the CPU. Nothing but tensors and plain values is unpickled.

    Raises:
        CheckpointError: no file, or none of ours.
    """
    return _checked(_content(path), path)


def _content(path: Path) -> Any:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; `hand_pose train` writes {LAST} and {BEST}")
    return torch.load(path, map_location="cpu", weights_only=True)


def _checked(state: CheckpointState, path: Path) -> CheckpointState:
    missing = {"state_dict", "global_step"} - set(state)
    if missing:
        names = [str(name) for name in state]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        raise CheckpointError(
            f"{path}: expected a checkpoint of `hand_pose train`, got {', '.join(names[:_NAMED])}{more}"
        )
    return state


def load_module(module: AveragedModule, state: CheckpointState, path: Path) -> None:
    """Put a checkpoint's weights into a module.

    Raises:
        CheckpointError: it is of another network; the text lists what differs.
    """
    try:
        module.load_state_dict(state["state_dict"])
    except RuntimeError as error:
        raise CheckpointError(
            f"{path}: a checkpoint of another network than asked for; use its options, or another --out. {error}"
        ) from error


def load_weights(module: AveragedModule, path: Path) -> None:
    """Start a module from weights alone (`save_weights`).

    Raises:
        CheckpointError: no file, or weights of another network; the text lists what differs.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; `hand_pose export --save-weights` writes weights to start from")
    if path.suffix == ".onnx":
        raise CheckpointError(
            f"{path}: expected weights (.pt), as in models/weights; networks of two hands alone go on from model files"
        )
    _start(module, torch.load(path, map_location="cpu", weights_only=True), path)


def _start(module: AveragedModule, weights: Any, path: Path) -> None:
    try:
        module.start_from(weights)
    except (RuntimeError, AttributeError) as error:
        raise CheckpointError(f"{path}: expected the weights of this network; {error}") from error


def load_averaged(module: AveragedModule, path: Path) -> torch.nn.Module:
    """The averaged network of a checkpoint, or the network of weights alone (`save_weights`).

    Raises:
        CheckpointError: no file, or it is of another network; the text lists what differs.
    """
    content = _content(path)
    if are_weights(content):
        _start(module, content, path)
    else:
        load_module(module, _checked(content, path), path)
    return module.average.network


def are_weights(content: Any) -> bool:
    """Whether a file's content is weights alone (`save_weights`)."""
    return isinstance(content, dict) and bool(content) and all(isinstance(v, torch.Tensor) for v in content.values())


def save_weights(network: torch.nn.Module, path: Path, half: bool = False) -> None:
    """Write a network's weights alone, for `RunSettings.initial`; with `half` in half precision."""
    state = network.state_dict()
    write({name: value.half() if half and value.is_floating_point() else value for name, value in state.items()}, path)
