"""The little of CUDA that running an engine takes, through cuda-python: no torch, no pycuda.

Its functions return (error, values...); here the error becomes an exception. Both layouts of the package are known:
`cuda.bindings.runtime` (12.6 and newer) and `cuda.cudart` (before).
"""

from __future__ import annotations

import ctypes
import importlib
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

import numpy as np

from hand_pose_ros.engines.base import Array, EngineError, TensorSpec
from hand_pose_ros.engines.tensorrt_api import TensorRtMissing

_LAYOUTS: Final = ("cuda.bindings.runtime", "cuda.cudart")
_REMEDY: Final = (
    "check the driver (nvidia-smi), and that cuda-python is of the driver's CUDA (JetPack 6: pip install "
    "'cuda-python>=12.6,<13')"
)


def import_cudart() -> ModuleType:
    """cuda-python's runtime module.

    Raises:
        TensorRtMissing: it is not installed, or does not load.
    """
    complaints = []
    for name in _LAYOUTS:
        try:
            return importlib.import_module(name)
        except (ImportError, OSError) as error:
            complaints.append(f"{name}: {error}")
    raise TensorRtMissing(
        f"engine tensorrt was asked for, but it does not run here: cuda-python does not load ({'; '.join(complaints)}"
        "); pip install cuda-python, of the driver's CUDA version (JetPack 6: 'cuda-python>=12.6,<13')"
    )


@dataclass(frozen=True)
class Gpu:
    """What an engine is tied to."""

    name: str
    compute_capability: str


class Cuda:
    """CUDA's runtime on device 0 (CUDA_VISIBLE_DEVICES chooses which that is).

    Raises:
        EngineError: from every method, with CUDA's own words, where CUDA refuses.
    """

    def __init__(self, cudart: ModuleType) -> None:
        self._cudart = cudart

    def gpu(self) -> Gpu:
        """The device; the first call to CUDA, so that a missing driver shows here.

        Raises:
            TensorRtMissing: there is no GPU, or no driver.
        """
        cudart = self._cudart
        try:
            self._check("looking for a GPU", cudart.cudaGetDeviceCount())
            (properties,) = self._check("asking the GPU for its name", cudart.cudaGetDeviceProperties(0))
        except RuntimeError as error:  # ours (EngineError), or cuda-python's where libcuda.so.1 is absent
            raise TensorRtMissing(
                f"engine tensorrt was asked for, but it does not run here: no GPU ({error}); {_REMEDY}"
            ) from error
        name = properties.name.split(b"\0")[0].decode()
        return Gpu(name, f"{properties.major}.{properties.minor}")

    def allocate(self, size: int) -> int:
        """Address of `size` bytes on the device."""
        (address,) = self._check(f"allocating {size} bytes on the GPU", self._cudart.cudaMalloc(size))
        return int(address)

    def free(self, address: int) -> None:
        """Give device memory back."""
        self._check("freeing GPU memory", self._cudart.cudaFree(address))

    def allocate_host(self, size: int) -> int:
        """Address of `size` bytes of page-locked host memory."""
        cudart = self._cudart
        (address,) = self._check(f"page-locking {size} bytes", cudart.cudaHostAlloc(size, cudart.cudaHostAllocDefault))
        return int(address)

    def free_host(self, address: int) -> None:
        """Give page-locked memory back."""
        self._check("freeing page-locked memory", self._cudart.cudaFreeHost(address))

    def create_stream(self) -> Any:
        """A stream that does not wait for the default stream."""
        cudart = self._cudart
        (stream,) = self._check("creating a stream", cudart.cudaStreamCreateWithFlags(cudart.cudaStreamNonBlocking))
        return stream

    def destroy_stream(self, stream: Any) -> None:
        """Give a stream back."""
        self._check("destroying a stream", self._cudart.cudaStreamDestroy(stream))

    def synchronize(self, stream: Any) -> None:
        """Wait until all of a stream is done."""
        self._check("waiting for the GPU", self._cudart.cudaStreamSynchronize(stream))

    def create_event(self) -> Any:
        """An event for which a thread waits asleep: spinning would take a core from the robot."""
        cudart = self._cudart
        flags = cudart.cudaEventBlockingSync | cudart.cudaEventDisableTiming
        (event,) = self._check("creating an event", cudart.cudaEventCreateWithFlags(flags))
        return event

    def destroy_event(self, event: Any) -> None:
        """Give an event back."""
        self._check("destroying an event", self._cudart.cudaEventDestroy(event))

    def wait(self, event: Any, stream: Any) -> None:
        """Sleep until all that the stream was given so far is done."""
        self._check("recording an event", self._cudart.cudaEventRecord(event, stream))
        self._check("waiting for the GPU", self._cudart.cudaEventSynchronize(event))

    def upload(self, device: int, host: int, size: int, stream: Any) -> None:
        """Queue a copy from page-locked memory to the device."""
        cudart = self._cudart
        kind = cudart.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._check("copying to the GPU", cudart.cudaMemcpyAsync(device, host, size, kind, stream))

    def download(self, host: int, device: int, size: int, stream: Any) -> None:
        """Queue a copy from the device to page-locked memory."""
        cudart = self._cudart
        kind = cudart.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._check("copying from the GPU", cudart.cudaMemcpyAsync(host, device, size, kind, stream))

    def begin_capture(self, stream: Any) -> None:
        """What the stream is given from now on becomes a graph; other threads' CUDA calls are not disturbed."""
        cudart = self._cudart
        mode = cudart.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._check("capturing a graph", cudart.cudaStreamBeginCapture(stream, mode))

    def end_capture(self, stream: Any) -> Any:
        """The graph since `begin_capture`."""
        (graph,) = self._check("capturing a graph", self._cudart.cudaStreamEndCapture(stream))
        return graph

    def discard_capture(self, stream: Any) -> None:
        """End a capture that went wrong, so that the stream can be used again."""
        error, graph = self._cudart.cudaStreamEndCapture(stream)
        if error == self._cudart.cudaError_t.cudaSuccess:
            self._check("destroying a graph", self._cudart.cudaGraphDestroy(graph))

    def instantiate(self, graph: Any) -> Any:
        """An executable graph; the graph itself is given back."""
        cudart = self._cudart
        try:
            (executable,) = self._check("preparing a graph", cudart.cudaGraphInstantiate(graph, 0))
        finally:
            self._check("destroying a graph", cudart.cudaGraphDestroy(graph))
        return executable

    def launch(self, executable: Any, stream: Any) -> None:
        """Queue a graph."""
        self._check("launching a graph", self._cudart.cudaGraphLaunch(executable, stream))

    def destroy_graph(self, executable: Any) -> None:
        """Give an executable graph back."""
        self._check("destroying a graph", self._cudart.cudaGraphExecDestroy(executable))

    def _check(self, doing: str, result: tuple[Any, ...]) -> tuple[Any, ...]:
        cudart = self._cudart
        error, *values = result
        if error == cudart.cudaError_t.cudaSuccess:
            return tuple(values)
        name, text = cudart.cudaGetErrorName(error)[1], cudart.cudaGetErrorString(error)[1]
        raise EngineError(f"CUDA, {doing}: {name.decode()}: {text.decode()}")


def host_array(address: int, spec: TensorSpec) -> Array:
    """The page-locked memory at `address` as an array; it must not outlive the memory."""
    memory = (ctypes.c_uint8 * size_of(spec)).from_address(address)
    return np.ctypeslib.as_array(memory).view(spec.dtype).reshape(static_shape(spec))


def size_of(spec: TensorSpec) -> int:
    """Bytes of a tensor."""
    return int(np.prod(static_shape(spec), dtype=np.int64)) * spec.dtype.itemsize


def static_shape(spec: TensorSpec) -> tuple[int, ...]:
    """The shape, of which every size is known.

    Raises:
        EngineError: one is not.
    """
    if any(size is None or size < 1 for size in spec.shape):
        raise EngineError(f"engine tensorrt: expected static shapes, got {spec}; export the model with static shapes")
    return tuple(int(size) for size in spec.shape if size is not None)
