"""OpenGL without a window: which EGL device draws, and a context on it."""

from __future__ import annotations

import ctypes
import logging
import os
from collections.abc import Sequence
from typing import Any, Final

from hand_pose_ros.options import ConfigError

DEVICE_VARIABLE: Final = "HAND_POSE_EGL_DEVICE"
# gl_Layer can be written by a vertex shader: many pictures are drawn with one call.
REQUIRED_VERSION: Final = 410
REQUIRED_EXTENSION: Final = "GL_ARB_shader_viewport_layer_array"
_EGL_EXTENSIONS: Final = 0x3055
_MOST_DEVICES: Final = 32
log = logging.getLogger(__name__)


class RendererUnavailable(RuntimeError):
    """No OpenGL context could be made; the text says what to install."""


def query_devices() -> list[str]:
    """The extension string of each EGL device, in EGL's order; empty where EGL cannot list them."""
    try:
        egl = ctypes.CDLL("libEGL.so.1")
    except OSError:
        return []
    egl.eglGetProcAddress.restype = ctypes.c_void_p
    query, describe = (egl.eglGetProcAddress(name) for name in (b"eglQueryDevicesEXT", b"eglQueryDeviceStringEXT"))
    if not query or not describe:
        return []
    pointer, number = ctypes.c_void_p, ctypes.c_int
    devices, count = (pointer * _MOST_DEVICES)(), number(0)
    take = ctypes.CFUNCTYPE(ctypes.c_uint, number, ctypes.POINTER(pointer), ctypes.POINTER(number))(query)
    if not take(_MOST_DEVICES, devices, ctypes.byref(count)):
        return []
    text = ctypes.CFUNCTYPE(ctypes.c_char_p, pointer, number)(describe)
    return [(text(device, _EGL_EXTENSIONS) or b"").decode() for device in devices[: count.value]]


def device_order(descriptions: Sequence[str], process: int) -> list[int]:
    """Which devices to try, best first: GPUs, another one first in each `process`, then software."""
    software = [index for index, text in enumerate(descriptions) if "EGL_MESA_device_software" in text]
    gpus = [index for index in range(len(descriptions)) if index not in software]
    if os.environ.get("LIBGL_ALWAYS_SOFTWARE") in ("1", "true"):
        return software or [0]
    turn = process % len(gpus) if gpus else 0
    return [*gpus[turn:], *gpus[:turn], *software] or [0]


def _wanted_devices() -> list[int]:
    """The devices to try: the one named in the environment, or all."""
    wish = os.environ.get(DEVICE_VARIABLE, "auto")
    if wish == "auto":
        return device_order(query_devices(), os.getpid())
    if not wish.isdecimal():
        raise ConfigError(f"{DEVICE_VARIABLE}: expected the number of an EGL device or auto, got {wish!r}")
    return [int(wish)]


def create_context() -> Any:
    """A standalone OpenGL 4.1 context (`moderngl.Context`) on a GPU where there is one, else on the CPU.

    The environment variable HAND_POSE_EGL_DEVICE names an EGL device by its number; with several GPUs each process
    takes one by its process number. LIBGL_ALWAYS_SOFTWARE=1 keeps to the CPU.

    Raises:
        RendererUnavailable: no device gives a context, or one that can draw many pictures at once.
        ConfigError: HAND_POSE_EGL_DEVICE is not a number.
    """
    faults = []
    for device in _wanted_devices():
        try:
            context = _context_on(device)
        except RendererUnavailable as error:
            faults.append(f"device {device}: {error}")
            log.info("EGL device %d cannot be used: %s", device, error)
        else:
            log.info("drawing on EGL device %d: %s", device, context.info["GL_RENDERER"])
            return context
    raise RendererUnavailable(
        f"expected an EGL device with OpenGL 4.1 and {REQUIRED_EXTENSION}, got: {'; '.join(faults)}. Install the "
        "packages libegl1 and libgl1-mesa-dri (software rendering on the CPU), or on an NVIDIA machine in a container "
        f"set NVIDIA_DRIVER_CAPABILITIES=all; {DEVICE_VARIABLE}=N takes EGL device N, LIBGL_ALWAYS_SOFTWARE=1 the CPU."
    )


def _context_on(device: int) -> Any:
    try:
        import moderngl
    except ImportError as error:
        raise RendererUnavailable("rendering needs moderngl: pip install 'hand_pose_ros[synthetic]'") from error
    settings: dict[str, Any] = {"backend": "egl", "device_index": device}
    try:
        context = moderngl.create_context(require=REQUIRED_VERSION, standalone=True, **settings)
    except Exception as error:  # glcontext and moderngl raise bare Exception
        raise RendererUnavailable(str(error)) from error
    if REQUIRED_EXTENSION not in context.extensions:
        name = context.info["GL_RENDERER"]
        context.release()
        raise RendererUnavailable(f"{name} lacks {REQUIRED_EXTENSION}")
    return context
