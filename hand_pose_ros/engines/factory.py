"""From a model file and the name of an engine to a running engine, without silent fallbacks."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import Final

from hand_pose_ros.engines.base import Engine, EngineError
from hand_pose_ros.engines.onnxruntime_engine import CPU, CUDA, OnnxRuntimeEngine, available_providers

logger = logging.getLogger(__name__)

_CHECKPOINTS: Final = (".pt", ".pth", ".ckpt")


def available_engines() -> tuple[str, ...]:
    """The engines that can be asked for on this machine."""
    return ("onnxruntime",) if importlib.util.find_spec("onnxruntime") is not None else ()


def create_engine(model_path: str | Path, engine: str = "auto", threads: int = 0) -> Engine:
    """Load a model file into the engine that was asked for.

    Args:
        model_path: an .onnx file.
        engine: "onnxruntime", or "auto" for the best one that starts here, which is logged.
        threads: CPU threads; 0 takes half of the cores.

    Raises:
        EngineError: the engine cannot run here (the text says which can), or the file cannot be loaded.
    """
    path = Path(model_path)
    if path.suffix in _CHECKPOINTS:
        raise EngineError(f"{path}: expected an .onnx file, got a checkpoint; make one with `hand_pose export`")
    if engine == "auto":
        chosen = _best(path, threads)
        logger.info("%s runs on %s", path.name, chosen.description)
        return chosen
    if engine == "onnxruntime":
        return OnnxRuntimeEngine(path, threads, CUDA if CUDA in available_providers() else CPU)
    here = ", ".join(available_engines()) or "none (pip install onnxruntime)"
    raise EngineError(f"engine {engine} was asked for, but it does not run here; available: {here}")


def _best(path: Path, threads: int) -> Engine:
    if CUDA in available_providers():
        try:
            return OnnxRuntimeEngine(path, threads, CUDA)
        except EngineError as error:
            logger.warning("the CPU is taken instead of CUDA: %s", error)
    return OnnxRuntimeEngine(path, threads, CPU)
