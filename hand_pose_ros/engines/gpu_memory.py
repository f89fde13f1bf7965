"""How much of the GPU's memory this process holds, by NVIDIA's management library, which comes with the driver."""

from __future__ import annotations

import ctypes
import os
from typing import Any, Final

_LIBRARY: Final = "libnvidia-ml.so.1"
_MOST_PROCESSES: Final = 256
_UNKNOWN: Final = 2**64 - 1  # NVML_VALUE_NOT_AVAILABLE
_SUCCESS: Final = 0


class _Process(ctypes.Structure):
    """nvmlProcessInfo_v2_t, which nvmlDeviceGetComputeRunningProcesses_v2 and _v3 fill."""

    _fields_ = (
        ("pid", ctypes.c_uint),
        ("memory", ctypes.c_ulonglong),
        ("gpu_instance", ctypes.c_uint),
        ("compute_instance", ctypes.c_uint),
    )


def gpu_memory(library: Any = None, pid: int | None = None) -> int | None:
    """Bytes on all GPUs; None where it is not known (no NVIDIA driver, a Jetson, a container that hides it).

    Args:
        library: NVML, loaded; None loads it.
        pid: of the process; None is this one.
    """
    if library is None:
        try:
            library = ctypes.CDLL(_LIBRARY)
        except OSError:
            return None
    try:
        if library.nvmlInit_v2() != _SUCCESS:
            return None
        try:
            return _sum(library, os.getpid() if pid is None else pid)
        finally:
            library.nvmlShutdown()
    except AttributeError:  # an older library
        return None


def _sum(library: Any, pid: int) -> int | None:
    count = ctypes.c_uint()
    if library.nvmlDeviceGetCount_v2(ctypes.byref(count)) != _SUCCESS:
        return None
    held: list[int] = []
    for index in range(count.value):
        device, number = ctypes.c_void_p(), ctypes.c_uint(_MOST_PROCESSES)
        processes = (_Process * _MOST_PROCESSES)()
        if (
            library.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(device)) == _SUCCESS
            and library.nvmlDeviceGetComputeRunningProcesses_v2(device, ctypes.byref(number), processes) == _SUCCESS
        ):
            held += [item.memory for item in processes[: number.value] if item.pid == pid and item.memory != _UNKNOWN]
    return sum(held) if held else None
