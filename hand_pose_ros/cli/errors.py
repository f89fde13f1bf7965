"""What is the user's to mend: shown as one line, without a traceback."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Final

# Which extra of this package brings an optional dependency.
EXTRAS: Final = {
    "moderngl": "synthetic",
    "torch": "train",
    "onnx": "train",
    "lightning": "train",
    "tensorboard": "tensorboard",
    "smplx": "dev",
}


class UsageError(Exception):
    """A request that cannot be met; the text says what was expected, what came and the remedy."""


def load(module: str) -> ModuleType:
    """Import a module of this package that may need an optional dependency.

    Raises:
        UsageError: that dependency is not installed; the text names the extra that brings it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        raise UsageError(
            f"this command needs the package {package}, which is not installed; "
            f'`pip install "hand_pose_ros[{EXTRAS[package]}]"` brings it'
        ) from error
