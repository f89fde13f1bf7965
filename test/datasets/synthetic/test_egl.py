from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from hand_pose_ros.datasets.synthetic import egl
from hand_pose_ros.datasets.synthetic.egl import REQUIRED_EXTENSION, RendererUnavailable, create_context, device_order
from hand_pose_ros.options import ConfigError

GPU, SOFTWARE = "EGL_NV_device_cuda EGL_EXT_device_drm", "EGL_MESA_device_software"


class FakeContext:
    def __init__(self, device: int, able: bool = True) -> None:
        self.device = device
        self.extensions = {REQUIRED_EXTENSION} if able else set()
        self.info = {"GL_RENDERER": f"fake {device}"}

    def release(self) -> None:
        pass


def install(monkeypatch: pytest.MonkeyPatch, devices: list[str], working: dict[int, FakeContext]) -> None:
    def create(*, device_index: int, **_: Any) -> FakeContext:
        if device_index not in working:
            raise RuntimeError("libEGL.so not loaded")
        return working[device_index]

    monkeypatch.setitem(sys.modules, "moderngl", SimpleNamespace(create_context=create))
    monkeypatch.setattr(egl, "query_devices", lambda: devices)
    monkeypatch.delenv(egl.DEVICE_VARIABLE, raising=False)
    monkeypatch.delenv("LIBGL_ALWAYS_SOFTWARE", raising=False)


@pytest.mark.parametrize(
    ("devices", "process", "order"),
    [
        ([], 0, [0]),
        ([SOFTWARE], 5, [0]),
        ([GPU, SOFTWARE], 5, [0, 1]),
        ([SOFTWARE, GPU], 5, [1, 0]),
        ([GPU, GPU, GPU, SOFTWARE], 4, [1, 2, 0, 3]),
    ],
)
def test_gpus_come_first_and_are_shared_out(
    devices: list[str], process: int, order: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LIBGL_ALWAYS_SOFTWARE", raising=False)
    assert device_order(devices, process) == order


def test_software_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIBGL_ALWAYS_SOFTWARE", "1")
    assert device_order([GPU, SOFTWARE], 0) == [1]


def test_a_device_that_does_not_work_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, [GPU, GPU, SOFTWARE], {0: FakeContext(0, able=False), 2: FakeContext(2)})
    assert create_context().device == 2


def test_a_device_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, [GPU, GPU], {0: FakeContext(0), 1: FakeContext(1)})
    for wish in (0, 1):
        monkeypatch.setenv(egl.DEVICE_VARIABLE, str(wish))
        assert create_context().device == wish
    monkeypatch.setenv(egl.DEVICE_VARIABLE, "3")
    with pytest.raises(RendererUnavailable, match="device 3"):
        create_context()
    monkeypatch.setenv(egl.DEVICE_VARIABLE, "cuda:0")
    with pytest.raises(ConfigError, match="cuda:0"):
        create_context()


def test_without_egl_the_error_names_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, [], {})
    with pytest.raises(RendererUnavailable, match=r"libegl1.*libgl1-mesa-dri.*NVIDIA_DRIVER_CAPABILITIES"):
        create_context()


def test_an_old_device_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, [GPU], {0: FakeContext(0, able=False)})
    with pytest.raises(RendererUnavailable, match=f"fake 0 lacks {REQUIRED_EXTENSION}"):
        create_context()
