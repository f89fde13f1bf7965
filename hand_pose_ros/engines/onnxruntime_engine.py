"""ONNX Runtime: the engine that runs everywhere."""

from __future__ import annotations

import importlib
import logging
import platform
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np

from hand_pose_ros.engines.base import Array, EngineError, TensorSpec, check_inputs, default_threads

logger = logging.getLogger(__name__)

CPU: Final = "CPUExecutionProvider"
CUDA: Final = "CUDAExecutionProvider"
TENSORRT: Final = "TensorrtExecutionProvider"
# What serves the parts of a graph that a provider does not take.
_BEHIND: Final = {CPU: (), CUDA: (CPU,), TENSORRT: (CUDA, CPU)}

_CPU_INFO: Final = Path("/proc/cpuinfo")
_DTYPES: Final = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}


def import_onnxruntime() -> ModuleType:
    """The onnxruntime module.

    Raises:
        EngineError: it is not installed.
    """
    try:
        return importlib.import_module("onnxruntime")
    except ImportError as error:
        raise EngineError(
            f"the engine onnxruntime needs the package onnxruntime ({error}); install it with "
            "`pip install onnxruntime` (or onnxruntime-gpu)"
        ) from error


def available_providers() -> tuple[str, ...]:
    """The execution providers this onnxruntime was built with; whether they start shows only in a session."""
    return tuple(import_onnxruntime().get_available_providers())


class OnnxRuntimeEngine:
    """A network in an ONNX Runtime session (see `hand_pose_ros.engines.base.Engine`).

    Args:
        path: an .onnx file.
        threads: CPU threads; 0 takes half of the cores. Waiting threads sleep.
        provider: the execution provider that must run the network; CPU may serve the rest of the graph.

    Raises:
        EngineError: onnxruntime is missing, the file cannot be loaded, or the provider does not run.
    """

    name: Final = "onnxruntime"

    def __init__(self, path: str | Path, threads: int = 0, provider: str = CPU) -> None:
        runtime = import_onnxruntime()
        self._path = Path(path)
        if not self._path.is_file():
            raise EngineError(f"model: expected an .onnx file, {self._path} does not exist")
        if provider not in runtime.get_available_providers():
            raise EngineError(
                f"onnxruntime: provider {provider} was asked for, this build has {', '.join(available_providers())}"
            )
        self.threads, self.provider = threads or default_threads(), provider
        self._session = _open(runtime, self._path, self.threads, provider)
        used = self._session.get_providers()
        # ONNX Runtime goes to the CPU without a word when a provider cannot start (a missing CUDA library).
        if provider not in used:
            raise EngineError(
                f"onnxruntime: provider {provider} was asked for but could not start, the session has "
                f"{', '.join(used)}; repair the driver and its libraries, install the plain onnxruntime, or ask for "
                "the engine auto"
            )
        self.inputs = tuple(_spec(item, self._path) for item in self._session.get_inputs())
        self.outputs = tuple(_spec(item, self._path) for item in self._session.get_outputs())
        self._output_names = [spec.name for spec in self.outputs]
        self.metadata: Mapping[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        if self.metadata.get("precision") == "int8" and _bytes_overflow():
            logger.warning(
                "%s: int8 loses accuracy on this processor, which has no VNNI; take the fp32 model", self._path.name
            )
        self.description = f"onnxruntime {runtime.__version__}, {provider}, {self.threads} thread(s)"

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """One forward pass (see `hand_pose_ros.engines.base.Engine.run`)."""
        check_inputs(self._path.name, self.inputs, inputs)
        return dict(zip(self._output_names, self._session.run(self._output_names, dict(inputs)), strict=True))


def _open(runtime: ModuleType, path: Path, threads: int, provider: str) -> Any:
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.enable_cpu_mem_arena = True
    # Spinning threads burn a core each while they wait and starve the robot's other processes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = 3
    providers = [
        provider,
        *(name for name in _BEHIND.get(provider, (CPU,)) if name in runtime.get_available_providers()),
    ]
    try:
        return runtime.InferenceSession(str(path), sess_options=options, providers=providers)
    except _load_errors(runtime) as error:
        raise EngineError(f"onnxruntime {runtime.__version__} cannot load {path}: {error}") from error


def _bytes_overflow() -> bool:
    """Whether this is an x86 processor that adds products of bytes in 16 bits."""
    if platform.machine() not in ("x86_64", "AMD64") or not _CPU_INFO.is_file():
        return False
    return "vnni" not in _CPU_INFO.read_text(encoding="utf-8", errors="replace")


def _load_errors(runtime: ModuleType) -> tuple[type[Exception], ...]:
    state = runtime.capi.onnxruntime_pybind11_state
    names = ("InvalidProtobuf", "InvalidGraph", "InvalidArgument", "NotImplemented", "Fail", "NoSuchFile")
    found = [getattr(state, name) for name in (*names, "RuntimeException", "EPFail") if hasattr(state, name)]
    return tuple(found)


def _spec(item: Any, path: Path) -> TensorSpec:
    if item.type not in _DTYPES:
        raise EngineError(f"{path.name}: tensor {item.name} has type {item.type}; known: {', '.join(_DTYPES)}")
    # Symbolic sizes are strings or None.
    shape = tuple(size if isinstance(size, int) else None for size in item.shape)
    return TensorSpec(item.name, shape, np.dtype(_DTYPES[item.type]))
