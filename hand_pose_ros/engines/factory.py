"""From a model file and the name of an engine to a running engine, without silent fallbacks."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import Final

from hand_pose_ros.engines.base import Engine, EngineError
from hand_pose_ros.engines.onnxruntime_engine import CPU, CUDA, TENSORRT, OnnxRuntimeEngine, available_providers

logger = logging.getLogger(__name__)

_CHECKPOINTS: Final = (".pt", ".pth", ".ckpt")
_PROVIDERS: Final = {"onnxruntime-cpu": CPU, "onnxruntime-cuda": CUDA, "onnxruntime-tensorrt": TENSORRT}


def available_engines() -> tuple[str, ...]:
    """The engines that can be asked for on this machine."""
    needs = {
        "tensorrt": ("tensorrt", "cuda"),
        "onnxruntime": ("onnxruntime",),
        "torch": ("torch", "onnx", "onnxruntime"),
    }
    return tuple(name for name, modules in needs.items() if all(map(importlib.util.find_spec, modules)))


def create_engine(model_path: str | Path, engine: str = "auto", threads: int = 0) -> Engine:
    """Load a model file into the engine that was asked for.

    Args:
        model_path: an .onnx file.
        engine: "tensorrt", "onnxruntime" (with "-cpu", "-cuda" or "-tensorrt" behind it for that provider), "torch",
            or "auto" for the best one that starts here, which is logged: TensorRT where the engine of this file has
            been built before (`hand_pose engine build`), since building takes minutes; never torch.
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
    if engine in _PROVIDERS:
        return OnnxRuntimeEngine(path, threads, _PROVIDERS[engine])
    if engine == "tensorrt":
        return _tensorrt(path)
    if engine == "torch" and engine in available_engines():
        from hand_pose_ros.engines.torch_engine import TorchEngine

        return TorchEngine(path, threads)
    here = ", ".join(available_engines()) or "none (pip install onnxruntime)"
    raise EngineError(f"engine {engine} was asked for, but it does not run here; available: {here}")


def _tensorrt(path: Path) -> Engine:
    from hand_pose_ros.engines.tensorrt_api import TensorRtMissing
    from hand_pose_ros.engines.tensorrt_engine import TensorRtEngine  # for Linux alone

    try:
        return TensorRtEngine(path)
    except TensorRtMissing as error:
        here = ", ".join(name for name in available_engines() if name != "tensorrt") or "none (pip install onnxruntime)"
        raise EngineError(f"{error}; available: {here}") from error


def _best(path: Path, threads: int) -> Engine:
    if "tensorrt" in available_engines():
        from hand_pose_ros.engines.tensorrt_engine import TensorRtEngine, is_built

        try:
            if is_built(path):
                return TensorRtEngine(path)
            logger.info("TensorRT is passed over: `hand_pose engine build` has not been run for %s", path.name)
        except EngineError as error:
            logger.warning("TensorRT is passed over: %s", error)
    if CUDA in available_providers():
        try:
            return OnnxRuntimeEngine(path, threads, CUDA)
        except EngineError as error:
            logger.warning("the CPU is taken instead of CUDA: %s", error)
    return OnnxRuntimeEngine(path, threads, CPU)
