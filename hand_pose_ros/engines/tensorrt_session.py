"""A TensorRT plan ready to run: its memory, its stream and its CUDA graph, made once and given back together."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from hand_pose_ros.engines.base import Array, EngineError, TensorSpec
from hand_pose_ros.engines.onnx_header import OnnxHeader
from hand_pose_ros.engines.tensorrt_api import last_errors, make_logger
from hand_pose_ros.engines.tensorrt_cuda import Cuda, host_array, size_of, static_shape

logger = logging.getLogger(__name__)


class UnfitPlan(EngineError):
    """A plan that does not load here, or is not of the ONNX file: it is to be built anew."""


@dataclass(frozen=True)
class _Tensor:
    """One input or output: where it is on the device, and its page-locked memory as an array."""

    spec: TensorSpec
    device: int
    host: int
    size: int
    array: Array


class Session:
    """Runs a plan.

    All memory is allocated here, once; a run copies in, replays the graph, and copies out. The calling thread sleeps
    while the GPU works. Threads may share a session: runs are one after another.

    Args:
        trt: the tensorrt module.
        cuda: the device.
        plan: the bytes of the engine.
        header: what the ONNX file says, which the engine must match.
        name: of the model, for log and errors.

    Raises:
        UnfitPlan: see there.
        EngineError: CUDA refuses (memory).
    """

    def __init__(self, trt: ModuleType, cuda: Cuda, plan: bytes, header: OnnxHeader, name: str) -> None:
        self._cuda = cuda
        self._name = name
        self._lock = threading.Lock()
        resources = ExitStack()
        self.close = weakref.finalize(self, resources.close)
        try:
            self._open(trt, plan, header, resources)
        except BaseException:
            self.close()
            raise

    def _open(self, trt: ModuleType, plan: bytes, header: OnnxHeader, resources: ExitStack) -> None:
        cuda = self._cuda
        log = make_logger(trt)
        runtime = trt.Runtime(log)
        engine = runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise UnfitPlan(f"{self._name}: TensorRT {trt.__version__} does not load it: {last_errors(log)}")
        _check_tensors(trt, engine, header, self._name)
        # TensorRT's objects go last-made first, after the memory that they use is idle and before it is freed.
        kept: list[Any] = [log, runtime, engine]
        resources.callback(kept.clear)
        self._stream = cuda.create_stream()
        resources.callback(cuda.destroy_stream, self._stream)
        self._event = cuda.create_event()
        resources.callback(cuda.destroy_event, self._event)
        present = {engine.get_tensor_name(index) for index in range(engine.num_io_tensors)}
        self._inputs = [self._tensor(spec, resources) for spec in header.inputs if spec.name in present]
        self._outputs = [self._tensor(spec, resources) for spec in header.outputs]
        context = engine.create_execution_context()
        if context is None:
            raise EngineError(f"{self._name}: TensorRT cannot run the engine: {last_errors(log)}; is memory free?")
        self._log = log
        self._context: list[Any] = [context]
        resources.callback(self._context.clear)
        resources.callback(cuda.synchronize, self._stream)
        for tensor in (*self._inputs, *self._outputs):
            if not context.set_tensor_address(tensor.spec.name, tensor.device):
                raise UnfitPlan(f"{self._name}: TensorRT refuses memory for {tensor.spec}: {last_errors(log)}")
        self._graph = self._capture()
        if self._graph is not None:
            resources.callback(cuda.destroy_graph, self._graph)
            resources.callback(cuda.synchronize, self._stream)

    @property
    def replays_graph(self) -> bool:
        """Whether a run is one CUDA graph."""
        return self._graph is not None

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """One forward pass; the inputs have been checked. The arrays given back belong to the caller.

        Raises:
            EngineError: TensorRT or CUDA failed, or the session is closed.
        """
        with self._lock:
            if not self.close.alive:
                raise EngineError(f"{self._name}: expected an open engine, got a closed one")
            for tensor in self._inputs:
                np.copyto(tensor.array, inputs[tensor.spec.name])
            if self._graph is not None:
                self._cuda.launch(self._graph, self._stream)
            else:
                self._enqueue()
            self._cuda.wait(self._event, self._stream)
            return {tensor.spec.name: tensor.array.copy() for tensor in self._outputs}

    def _tensor(self, spec: TensorSpec, resources: ExitStack) -> _Tensor:
        cuda, size = self._cuda, size_of(spec)
        device = cuda.allocate(size)
        resources.callback(cuda.free, device)
        host = cuda.allocate_host(size)
        resources.callback(cuda.free_host, host)
        array = host_array(host, spec)
        array.fill(0)
        return _Tensor(spec, device, host, size, array)

    def _enqueue(self) -> None:
        """Queue copies in, the network, and copies out."""
        (context,) = self._context
        cuda, stream = self._cuda, self._stream
        for tensor in self._inputs:
            cuda.upload(tensor.device, tensor.host, tensor.size, stream)
        if not context.execute_async_v3(int(stream)):
            raise EngineError(f"{self._name}: TensorRT failed: {last_errors(self._log)}")
        for tensor in self._outputs:
            cuda.download(tensor.host, tensor.device, tensor.size, stream)

    def _capture(self) -> Any:
        """The whole run as a CUDA graph; None, and a warning, where the network cannot be captured."""
        cuda, stream = self._cuda, self._stream
        # TensorRT sets things up in the first run, which must not be in the graph.
        self._enqueue()
        cuda.synchronize(stream)
        try:
            cuda.begin_capture(stream)
            try:
                self._enqueue()
            except EngineError:
                cuda.discard_capture(stream)
                raise
            return cuda.instantiate(cuda.end_capture(stream))
        except EngineError as error:
            logger.warning("%s runs without a CUDA graph, a little slower: %s", self._name, error)
            return None


def _check_tensors(trt: ModuleType, engine: Any, header: OnnxHeader, name: str) -> None:
    """Raise `UnfitPlan` unless the engine has the file's inputs and outputs; inputs never read may be absent."""
    found: dict[Any, dict[str, TensorSpec]] = {trt.TensorIOMode.INPUT: {}, trt.TensorIOMode.OUTPUT: {}}
    for index in range(engine.num_io_tensors):
        tensor_name = engine.get_tensor_name(index)
        dtype = np.dtype(trt.nptype(engine.get_tensor_dtype(tensor_name)))
        shape = tuple(int(size) for size in engine.get_tensor_shape(tensor_name))
        found[engine.get_tensor_mode(tensor_name)][tensor_name] = TensorSpec(tensor_name, shape, dtype)
    wanted = {trt.TensorIOMode.INPUT: header.inputs, trt.TensorIOMode.OUTPUT: header.outputs}
    for mode, specs in wanted.items():
        expected = {spec.name: TensorSpec(spec.name, static_shape(spec), spec.dtype) for spec in specs}
        absent = {spec: value for spec, value in expected.items() if spec not in found[mode]}
        if found[mode] != {key: spec for key, spec in expected.items() if key not in absent} or (
            absent.keys() - header.unread
        ):
            got = ", ".join(map(str, found[mode].values())) or "none"
            raise UnfitPlan(f"{name}: expected tensors {', '.join(map(str, expected.values()))}; the engine has {got}")
