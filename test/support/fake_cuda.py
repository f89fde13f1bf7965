"""A strict double of cuda-python's runtime module: memory, streams, events and graphs, and no forgiveness.

Work is queued and only done when it is waited for, as on a device, so that outputs read too early are old ones. What a
device would punish with wrong numbers or a crash (a copy to freed memory, a freed buffer with work pending, a second
free, an unknown handle) is an AssertionError here. `leaks()` tells what was not given back.
"""

from __future__ import annotations

import ctypes
import enum
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any


class Handle:
    """A stream, event, graph or executable graph."""

    def __init__(self, kind: str, number: int) -> None:
        self.kind, self.number, self.alive = kind, number, True
        self.queue: list[Operation] = []
        self.capturing: list[Operation] | None = None
        self.recorded: Handle | None = None

    def __int__(self) -> int:
        return self.number


class Operation(SimpleNamespace):
    """Work for the device: what it does, and the addresses that it touches."""

    work: Callable[[], None]
    addresses: tuple[int, ...]
    name: str


class CudaError(enum.IntEnum):
    cudaSuccess = 0
    cudaErrorMemoryAllocation = 2
    cudaErrorInsufficientDriver = 35
    cudaErrorNoDevice = 100
    cudaErrorStreamCaptureUnsupported = 900


class FakeCudart(ModuleType):
    """Stands in for `cuda.bindings.runtime`."""

    cudaError_t = CudaError
    cudaMemcpyKind = enum.IntEnum("cudaMemcpyKind", {"cudaMemcpyHostToDevice": 1, "cudaMemcpyDeviceToHost": 2})
    cudaStreamCaptureMode = enum.IntEnum(
        "cudaStreamCaptureMode", {"cudaStreamCaptureModeGlobal": 0, "cudaStreamCaptureModeThreadLocal": 1}
    )
    cudaHostAllocDefault = 0
    cudaStreamNonBlocking = 1
    cudaEventBlockingSync = 1
    cudaEventDisableTiming = 2

    def __init__(self, gpu: str = "Orin", capability: tuple[int, int] = (8, 7)) -> None:
        super().__init__("cuda.bindings.runtime")
        self._gpu, self._capability = gpu, capability
        self._device: dict[int, bytearray] = {}
        self._host: dict[int, Any] = {}
        self._handles: dict[int, Handle] = {}
        self._next = 0x1000
        self._fail: dict[str, CudaError] = {}
        self._calls: list[str] = []

    # What tests use.

    def fail(self, function: str, error: CudaError) -> None:
        """Let a function refuse from now on."""
        self._fail[function] = error

    def calls(self) -> list[str]:
        """The functions called so far."""
        return self._calls

    def leaks(self) -> list[str]:
        """What has not been given back."""
        memory = [f"device {address:#x}" for address in self._device] + [f"host {address:#x}" for address in self._host]
        return memory + [f"{item.kind} {item.number:#x}" for item in self._handles.values() if item.alive]

    # What the double of TensorRT uses.

    def read(self, address: int, size: int) -> bytes:
        """Bytes of device memory."""
        assert len(self._device[address]) == size, f"{size} bytes from a buffer of {len(self._device[address])}"
        return bytes(self._device[address])

    def write(self, address: int, data: bytes) -> None:
        """Fill device memory."""
        assert len(self._device[address]) == len(data), f"{len(data)} bytes into {len(self._device[address])}"
        self._device[address][:] = data

    def is_device_memory(self, address: int) -> bool:
        """Whether it was allocated on the device and not freed."""
        return address in self._device

    def is_capturing(self, stream: int) -> bool:
        """Whether a stream's work goes into a graph."""
        return self._alive(stream, "stream").capturing is not None

    def submit(self, stream: int, operation: Operation) -> None:
        """Queue work on a stream, or record it into the graph being captured."""
        handle = self._alive(stream, "stream")
        for address in operation.addresses:
            assert address in self._device or address in self._host, f"{operation.name}: {address:#x} is no memory"
        (handle.queue if handle.capturing is None else handle.capturing).append(operation)

    # cuda-python.

    def cudaGetDeviceCount(self) -> tuple[Any, ...]:
        return self._answer("cudaGetDeviceCount", lambda: 1)

    def cudaGetDeviceProperties(self, device: int) -> tuple[Any, ...]:
        assert device == 0
        major, minor = self._capability
        return self._answer(
            "cudaGetDeviceProperties",
            lambda: SimpleNamespace(name=self._gpu.encode() + b"\0\0", major=major, minor=minor),
        )

    def cudaGetErrorName(self, error: CudaError) -> tuple[Any, ...]:
        return CudaError.cudaSuccess, error.name.encode()

    def cudaGetErrorString(self, error: CudaError) -> tuple[Any, ...]:
        return CudaError.cudaSuccess, f"text of {error.value}".encode()

    def cudaMalloc(self, size: int) -> tuple[Any, ...]:
        assert type(size) is int and size > 0
        return self._answer("cudaMalloc", lambda: self._add(self._device, bytearray(b"\xcd" * size), size))

    def cudaFree(self, devPtr: int) -> tuple[Any, ...]:
        self._must_be_idle(devPtr)
        return self._answer("cudaFree", lambda: self._drop(self._device, devPtr), values=False)

    def cudaHostAlloc(self, size: int, flags: int) -> tuple[Any, ...]:
        assert type(size) is int and size > 0 and flags == self.cudaHostAllocDefault

        def allocate() -> int:
            memory = ctypes.create_string_buffer(b"\xcd" * size, size)
            self._host[ctypes.addressof(memory)] = memory
            return ctypes.addressof(memory)

        return self._answer("cudaHostAlloc", allocate)

    def cudaFreeHost(self, ptr: int) -> tuple[Any, ...]:
        self._must_be_idle(ptr)
        return self._answer("cudaFreeHost", lambda: self._drop(self._host, ptr), values=False)

    def cudaStreamCreateWithFlags(self, flags: int) -> tuple[Any, ...]:
        assert flags == self.cudaStreamNonBlocking
        return self._answer("cudaStreamCreateWithFlags", lambda: self._handle("stream"))

    def cudaStreamDestroy(self, stream: Handle) -> tuple[Any, ...]:
        assert not self._alive(stream, "stream").queue, "a stream with work pending is destroyed"
        return self._answer("cudaStreamDestroy", lambda: self._end(stream), values=False)

    def cudaStreamSynchronize(self, stream: Handle) -> tuple[Any, ...]:
        return self._answer("cudaStreamSynchronize", lambda: self._drain(self._alive(stream, "stream")), values=False)

    def cudaEventCreateWithFlags(self, flags: int) -> tuple[Any, ...]:
        assert flags == self.cudaEventBlockingSync | self.cudaEventDisableTiming, "the waiting thread would spin"
        return self._answer("cudaEventCreateWithFlags", lambda: self._handle("event"))

    def cudaEventDestroy(self, event: Handle) -> tuple[Any, ...]:
        self._alive(event, "event")
        return self._answer("cudaEventDestroy", lambda: self._end(event), values=False)

    def cudaEventRecord(self, event: Handle, stream: Handle) -> tuple[Any, ...]:
        self._alive(event, "event").recorded = self._alive(stream, "stream")
        assert stream.capturing is None, "an event of a run is recorded into the graph"
        return self._answer("cudaEventRecord", lambda: None, values=False)

    def cudaEventSynchronize(self, event: Handle) -> tuple[Any, ...]:
        recorded = self._alive(event, "event").recorded
        assert recorded is not None, "an event that was never recorded is waited for"
        return self._answer("cudaEventSynchronize", lambda: self._drain(recorded), values=False)

    def cudaMemcpyAsync(self, dst: int, src: int, count: int, kind: int, stream: Handle) -> tuple[Any, ...]:
        up = kind == self.cudaMemcpyKind.cudaMemcpyHostToDevice
        device, host = (dst, src) if up else (src, dst)
        assert device in self._device and host in self._host, f"copy of {src:#x} to {dst:#x}: not such memory"
        assert len(self._device[device]) == count == len(self._host[host]), "a copy of another size than its buffers"

        def work() -> None:
            if up:
                self._device[device][:] = self._host[host].raw
            else:
                self._host[host].raw = bytes(self._device[device])

        operation = Operation(work=work, addresses=(device, host), name="upload" if up else "download")
        return self._answer("cudaMemcpyAsync", lambda: self.submit(int(stream), operation), values=False)

    def cudaStreamBeginCapture(self, stream: Handle, mode: int) -> tuple[Any, ...]:
        assert mode == self.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        assert self._alive(stream, "stream").capturing is None and not stream.queue, "capture of a busy stream"

        def begin() -> None:
            stream.capturing = []

        return self._answer("cudaStreamBeginCapture", begin, values=False)

    def cudaStreamEndCapture(self, stream: Handle) -> tuple[Any, ...]:
        assert self._alive(stream, "stream").capturing is not None, "no capture to end"

        def end() -> Handle:
            graph = self._handle("graph")
            graph.queue = list(stream.capturing or ())
            return graph

        answer = self._answer("cudaStreamEndCapture", end)
        stream.capturing = None
        return answer

    def cudaGraphInstantiate(self, graph: Handle, flags: int) -> tuple[Any, ...]:
        assert self._alive(graph, "graph").queue and flags == 0, "an empty graph"

        def make() -> Handle:
            executable = self._handle("executable graph")
            executable.queue = list(graph.queue)
            return executable

        return self._answer("cudaGraphInstantiate", make)

    def cudaGraphDestroy(self, graph: Handle) -> tuple[Any, ...]:
        self._alive(graph, "graph")
        return self._answer("cudaGraphDestroy", lambda: self._end(graph), values=False)

    def cudaGraphLaunch(self, graphExec: Handle, stream: Handle) -> tuple[Any, ...]:
        self._alive(graphExec, "executable graph")

        def launch() -> None:
            for operation in graphExec.queue:
                self.submit(int(stream), operation)

        return self._answer("cudaGraphLaunch", launch, values=False)

    def cudaGraphExecDestroy(self, graphExec: Handle) -> tuple[Any, ...]:
        self._alive(graphExec, "executable graph")
        return self._answer("cudaGraphExecDestroy", lambda: self._end(graphExec), values=False)

    # Inside.

    def _answer(self, function: str, work: Callable[[], Any], *, values: bool = True) -> tuple[Any, ...]:
        self._calls.append(function)
        if function in self._fail:
            return (self._fail[function], None) if values else (self._fail[function],)
        value = work()
        return (CudaError.cudaSuccess, value) if values else (CudaError.cudaSuccess,)

    def _add(self, table: dict[int, Any], memory: Any, size: int) -> int:
        address, self._next = self._next, self._next + size + 256
        table[address] = memory
        return address

    def _drop(self, table: dict[int, Any], address: int) -> None:
        assert address in table, f"{address:#x} is freed, but is not allocated"
        del table[address]

    def _handle(self, kind: str) -> Handle:
        self._next += 16
        handle = self._handles[self._next] = Handle(kind, self._next)
        return handle

    def _alive(self, handle: Handle | int, kind: str) -> Handle:
        found = self._handles.get(int(handle))
        assert found is not None and found.kind == kind, f"expected a {kind}, got {handle}"
        assert found.alive, f"a {kind} is used after it was destroyed"
        return found

    def _end(self, handle: Handle) -> None:
        handle.alive = False

    def _drain(self, stream: Handle) -> None:
        assert stream.capturing is None, "waiting while a graph is captured"
        queue, stream.queue = stream.queue, []
        for operation in queue:
            for address in operation.addresses:
                assert address in self._device or address in self._host, f"{operation.name} touches freed {address:#x}"
            operation.work()

    def _must_be_idle(self, address: int) -> None:
        for handle in self._handles.values():
            if handle.alive and handle.kind in ("stream", "executable graph"):
                touched = [operation for operation in handle.queue if address in operation.addresses]
                assert not touched, f"{address:#x} is freed while a {handle.kind} holds it"
