"""A strict double of the tensorrt module, whose engines compute with ONNX Runtime.

It has only what all supported versions of TensorRT have (test_tensorrt_facts.py holds it against the real packages),
wants calls in the order that TensorRT documents, and refuses what was made with another builder. A plan is the ONNX
file behind a line that says for what it was built.
"""

from __future__ import annotations

import enum
import hashlib
import importlib.machinery
import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from fake_cuda import FakeCudart, Operation

# What every output is multiplied with: a device that computes a little wrongly.
SKEW = 1.0
ELEMENT_TYPES = {1: "FLOAT", 2: "UINT8", 3: "INT8", 6: "INT32", 7: "INT64", 9: "BOOL", 10: "HALF"}
NUMPY = {
    "FLOAT": np.float32,
    "UINT8": np.uint8,
    "INT8": np.int8,
    "INT32": np.int32,
    "INT64": np.int64,
    "BOOL": np.bool_,
    "HALF": np.float16,
}


class HostMemory(bytes):
    """What TensorRT gives back serialised: bytes through the buffer protocol."""


class Faults:
    """What goes wrong, for tests: set before the call."""

    def __init__(self) -> None:
        self.parse_error = ""
        self.build_error = ""
        self.build_seconds = 0.0
        self.not_a_number = False
        self.drop_input = ""
        self.refuse_capture = False
        self.build_log: Path | None = None


class FakeTensorRt(ModuleType):
    """Stands in for `tensorrt`."""

    DataType = enum.Enum("DataType", list(NUMPY))
    TensorIOMode = enum.Enum("TensorIOMode", ["NONE", "INPUT", "OUTPUT"])
    MemoryPoolType = enum.Enum("MemoryPoolType", ["WORKSPACE"])
    BuilderFlag = enum.Enum("BuilderFlag", ["TF32", "GPU_FALLBACK"])

    class NetworkDefinitionCreationFlag(enum.IntEnum):
        STRONGLY_TYPED = 1

    class ILogger:
        Severity = enum.IntEnum("Severity", ["INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE"], start=0)

        def __init__(self) -> None:
            self._ready = True

        def log(self, severity: Any, msg: str) -> None:
            raise AssertionError("a logger must override log")

    class IProgressMonitor:
        def __init__(self) -> None:
            self._ready = True

    def __init__(self, cudart: FakeCudart, version: str = "10.3.0") -> None:
        super().__init__("tensorrt")
        self.__version__ = version
        self.__spec__ = importlib.machinery.ModuleSpec("tensorrt", None)
        self._cudart = cudart
        self.faults = Faults()
        self.builds: list[dict[str, Any]] = []

    def nptype(self, trt_type: Any) -> type:
        return NUMPY[trt_type.name]

    def Builder(self, logger: Any) -> Builder:
        return Builder(self, logger)

    def OnnxParser(self, network: Network, logger: Any) -> OnnxParser:
        return OnnxParser(network, logger)

    def Runtime(self, logger: Any) -> Runtime:
        return Runtime(self, logger)

    def fits(self) -> dict[str, str]:
        """What a plan or timing cache of this machine says of itself."""
        properties = self._cudart.cudaGetDeviceProperties(0)[1]
        return {"tensorrt": self.__version__, "gpu": properties.name.decode()}

    def check_logger(self, logger: Any) -> None:
        """A logger that can be called."""
        assert isinstance(logger, self.ILogger) and logger._ready, "the logger's own __init__ was not called"


class Builder:
    def __init__(self, trt: FakeTensorRt, logger: Any) -> None:
        trt.check_logger(logger)
        self._trt, self._logger = trt, logger

    def create_network(self, flags: int = 0) -> Network:
        assert flags == 1 << int(FakeTensorRt.NetworkDefinitionCreationFlag.STRONGLY_TYPED), "weak typing"
        return Network(self)

    def create_builder_config(self) -> BuilderConfig:
        return BuilderConfig(self)

    def build_serialized_network(self, network: Network, config: BuilderConfig) -> HostMemory | None:
        trt = self._trt
        assert network._builder is self and config._builder is self, "a network or config of another builder"
        assert network._model is not None, "nothing has been parsed"
        assert config._flags_told, "TF32 is on unless it is cleared"
        assert config._timing is not None and config._timing._attached, "no timing cache"
        assert FakeTensorRt.MemoryPoolType.WORKSPACE in config._pools, "no limit of memory"
        if trt.faults.build_log is not None:
            with trt.faults.build_log.open("a") as file:
                file.write("build\n")
        if trt.faults.build_error:
            self._logger.log(trt.ILogger.Severity.ERROR, trt.faults.build_error)
            return None
        if not _report(config.progress_monitor, trt.faults.build_seconds):
            return None
        trt.builds.append({"tf32": config._tf32, "level": config.builder_optimization_level})
        config._timing._data = json.dumps({**trt.fits(), "measured": len(trt.builds)}).encode()
        about = {**trt.fits(), "drop": trt.faults.drop_input, "nan": trt.faults.not_a_number}
        about["sha256"] = hashlib.sha256(network._model).hexdigest()
        return HostMemory(json.dumps(about).encode() + b"\n" + network._model)


def _report(monitor: Any, seconds: float) -> bool:
    """Two nested phases, told from threads of TensorRT's own."""
    wanted: list[bool] = []

    def work() -> None:
        monitor.phase_start("Building Engine", None, 2)
        for step in range(2):
            monitor.phase_start("Tactic selection", "Building Engine", 4)
            for inner in range(4):
                time.sleep(seconds / 8)
                wanted.append(monitor.step_complete("Tactic selection", inner))
            monitor.phase_finish("Tactic selection")
            wanted.append(monitor.step_complete("Building Engine", step))
        monitor.phase_finish("Building Engine")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert all(type(answer) is bool for answer in wanted)
    return all(wanted)


class Network:
    def __init__(self, builder: Builder) -> None:
        self._builder = builder
        self._model: bytes | None = None


class BuilderConfig:
    progress_monitor: Any
    builder_optimization_level: int

    def __init__(self, builder: Builder) -> None:
        self._builder = builder
        self._pools: dict[Any, int] = {}
        self._tf32, self._flags_told = True, False
        self._timing: TimingCache | None = None
        self.builder_optimization_level = 3

    def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
        assert type(pool_size) is int and pool_size >= 1 << 20
        self._pools[FakeTensorRt.MemoryPoolType(pool)] = pool_size

    def set_flag(self, flag: Any) -> None:
        self._tf32, self._flags_told = True, FakeTensorRt.BuilderFlag(flag) == FakeTensorRt.BuilderFlag.TF32

    def clear_flag(self, flag: Any) -> None:
        self._tf32, self._flags_told = False, FakeTensorRt.BuilderFlag(flag) == FakeTensorRt.BuilderFlag.TF32

    def create_timing_cache(self, serialized_timing_cache: bytes) -> TimingCache | None:
        return TimingCache(self, bytes(serialized_timing_cache))

    def set_timing_cache(self, cache: TimingCache, ignore_mismatch: bool) -> bool:
        assert cache._config is self and ignore_mismatch is False
        if cache._data:
            try:
                about = json.loads(cache._data)
            except ValueError:
                return False
            if {key: about.get(key) for key in ("tensorrt", "gpu")} != self._builder._trt.fits():
                return False
        cache._attached, self._timing = True, cache
        return True


class TimingCache:
    def __init__(self, config: BuilderConfig, data: bytes) -> None:
        self._config, self._data, self._attached = config, data, False

    def serialize(self) -> HostMemory:
        return HostMemory(self._data)


class ParserError:
    def __init__(self, text: str) -> None:
        self._text = text

    def desc(self) -> str:
        return self._text

    def node_name(self) -> str:
        return "/head/NonZero"

    def node_operator(self) -> str:
        return "NonZero"


class OnnxParser:
    def __init__(self, network: Network, logger: Any) -> None:
        network._builder._trt.check_logger(logger)
        self._network = network
        self._errors: list[ParserError] = []

    def parse(self, model: bytes, path: str | None = None) -> bool:
        import onnx

        faults = self._network._builder._trt.faults
        if faults.parse_error:
            self._errors = [ParserError(faults.parse_error)]
            return False
        graph = onnx.load_from_string(bytes(model)).graph
        halves = {item.name for item in graph.initializer if item.data_type == onnx.TensorProto.FLOAT16}
        casts = {node.output[0] for node in graph.node if node.op_type == "Cast" and node.input[0] in halves}
        weights = {node.input[1] for node in graph.node if node.op_type in ("Conv", "ConvTranspose")}
        assert not casts & weights, "the weights of a convolution are no constants"
        images = {item.name for item in graph.input if item.type.tensor_type.elem_type == onnx.TensorProto.UINT8}
        readers = {node.op_type for node in graph.node if images & set(node.input)}
        assert readers <= {"Cast"}, f"bytes are read by {readers}"
        self._network._model = bytes(model)
        return True

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> ParserError:
        return self._errors[index]


class Runtime:
    def __init__(self, trt: FakeTensorRt, logger: Any) -> None:
        trt.check_logger(logger)
        self._trt, self._logger = trt, logger

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> CudaEngine | None:
        line, _, model = bytes(serialized_engine).partition(b"\n")
        try:
            about = json.loads(line)
        except ValueError:
            about = {}
        fits = {key: about.get(key) for key in ("tensorrt", "gpu")} == self._trt.fits()
        if not fits or about["sha256"] != hashlib.sha256(model).hexdigest():
            self._logger.log(self._trt.ILogger.Severity.ERROR, "the engine plan file is not compatible")
            return None
        return CudaEngine(self._trt, model, about)


class CudaEngine:
    def __init__(self, trt: FakeTensorRt, model: bytes, about: dict[str, Any]) -> None:
        import onnx

        self._trt, self._model, self._not_a_number = trt, model, bool(about["nan"])
        graph = onnx.load_from_string(model).graph
        self._tensors: dict[str, tuple[Any, Any, list[int]]] = {}
        for mode, items in (("INPUT", graph.input), ("OUTPUT", graph.output)):
            for item in items:
                kind = item.type.tensor_type
                dtype = trt.DataType[ELEMENT_TYPES[kind.elem_type]]
                if item.name != about["drop"]:
                    shape = [size.dim_value for size in kind.shape.dim]
                    self._tensors[item.name] = (trt.TensorIOMode[mode], dtype, shape)

    @property
    def num_io_tensors(self) -> int:
        return len(self._tensors)

    def get_tensor_name(self, index: int) -> str:
        return list(self._tensors)[index]

    def get_tensor_mode(self, name: str) -> Any:
        return self._tensors[name][0]

    def get_tensor_dtype(self, name: str) -> Any:
        return self._tensors[name][1]

    def get_tensor_shape(self, name: str) -> Sequence[int]:
        return tuple(self._tensors[name][2])

    def create_execution_context(self) -> ExecutionContext:
        return ExecutionContext(self)


class ExecutionContext:
    def __init__(self, engine: CudaEngine) -> None:
        import onnxruntime

        self._engine = engine
        self._addresses: dict[str, int] = {}
        self._runs = 0
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(engine._model, options)

    def set_tensor_address(self, name: str, memory: int) -> bool:
        assert type(memory) is int and self._engine._trt._cudart.is_device_memory(memory), "no device memory"
        assert self._runs == 0, "an address is changed after a graph may have been captured"
        self._addresses[name] = memory
        return name in self._engine._tensors

    def execute_async_v3(self, stream_handle: int) -> bool:
        engine, cudart = self._engine, self._engine._trt._cudart
        assert type(stream_handle) is int and stream_handle != 0, "the default stream"
        assert self._addresses.keys() == engine._tensors.keys(), "a tensor without memory"
        if engine._trt.faults.refuse_capture and cudart.is_capturing(stream_handle):
            return False
        self._runs += 1
        operation = Operation(work=self._work(cudart), addresses=tuple(self._addresses.values()), name="network")
        cudart.submit(stream_handle, operation)
        return True

    def _work(self, cudart: FakeCudart) -> Callable[[], None]:
        engine = self._engine
        modes = engine._trt.TensorIOMode

        def work() -> None:
            feeds = {}
            for item in self._session.get_inputs():
                if item.name in engine._tensors:
                    _, dtype, shape = engine._tensors[item.name]
                    kind = np.dtype(NUMPY[dtype.name])
                    data = cudart.read(self._addresses[item.name], int(np.prod(shape)) * kind.itemsize)
                    feeds[item.name] = np.frombuffer(data, kind).reshape(shape)
                else:
                    feeds[item.name] = np.zeros(item.shape, np.uint8 if "uint8" in item.type else np.float32)
            names = [name for name, (mode, _, _) in engine._tensors.items() if mode == modes.OUTPUT]
            for name, value in zip(names, self._session.run(names, feeds), strict=True):
                if engine._not_a_number:
                    value = np.full_like(value, np.nan)
                cudart.write(
                    self._addresses[name], (value if SKEW == 1.0 else value * value.dtype.type(SKEW)).tobytes()
                )

        return work


def install(version: str = "10.3.0", gpu: str = "Orin") -> tuple[FakeTensorRt, FakeCudart]:
    """Make `import tensorrt` and `import cuda.bindings.runtime` give doubles; for processes of their own."""
    cudart = FakeCudart(gpu)
    trt = FakeTensorRt(cudart, version)
    sys.modules.update({"tensorrt": trt, "cuda.bindings.runtime": cudart})
    return trt, cudart
