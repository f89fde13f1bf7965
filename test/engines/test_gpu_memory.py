"""NVML, played by an object with its functions: the processes of two GPUs."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from hand_pose_ros.engines.gpu_memory import gpu_memory

OURS, OTHER, UNKNOWN = 4242, 17, 2**64 - 1


class Nvml:
    """Two GPUs whose processes are given as (pid, bytes)."""

    def __init__(self, *gpus: list[tuple[int, int]], broken: str = "") -> None:
        self._gpus = gpus
        self._broken = broken
        self.open = 0

    def __getattr__(self, name: str) -> Any:
        if name == self._broken:
            raise AttributeError(name)
        return getattr(type(self), f"_{name}").__get__(self)

    def _nvmlInit_v2(self) -> int:
        self.open += 1
        return 0

    def _nvmlShutdown(self) -> int:
        self.open -= 1
        return 0

    def _nvmlDeviceGetCount_v2(self, count: Any) -> int:
        count._obj.value = len(self._gpus)
        return 0

    def _nvmlDeviceGetHandleByIndex_v2(self, index: int, device: Any) -> int:
        device._obj.value = index + 1
        return 0

    def _nvmlDeviceGetComputeRunningProcesses_v2(self, device: Any, number: Any, processes: Any) -> int:
        assert number._obj.value == len(processes)
        held = self._gpus[device.value - 1]
        for item, (pid, memory) in zip(processes, held, strict=False):
            item.pid, item.memory = pid, memory
        number._obj.value = len(held)
        return 0


@pytest.mark.parametrize(
    ("gpus", "expected"),
    [
        ([[(OTHER, 5), (OURS, 300)], [(OURS, 40)]], 340),
        ([[(OTHER, 5)], []], None),
        ([[(OURS, UNKNOWN)]], None),
        ([], None),
    ],
)
def test_what_this_process_holds(gpus: list[list[tuple[int, int]]], expected: int | None) -> None:
    library = Nvml(*gpus)
    assert gpu_memory(library, OURS) == expected
    assert library.open == 0


@pytest.mark.parametrize("broken", ["nvmlInit_v2", "nvmlDeviceGetComputeRunningProcesses_v2"])
def test_an_older_library_tells_nothing(broken: str) -> None:
    library = Nvml([(OURS, 300)], broken=broken)
    assert gpu_memory(library, OURS) is None and library.open == 0


def test_the_structure_is_nvmls() -> None:
    """nvmlProcessInfo_v2_t of nvml.h: 24 bytes, memory at 8."""
    from hand_pose_ros.engines.gpu_memory import _Process

    assert ctypes.sizeof(_Process) == 24 and _Process.memory.offset == 8
