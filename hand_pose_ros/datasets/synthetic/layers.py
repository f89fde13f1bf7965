"""A stack of equally large pictures that are drawn together and read back at once."""

from __future__ import annotations

import ctypes
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hand_pose_ros.types import FloatArray

_TEXTURE_2D_ARRAY: Final = 0x8C1A
_DEPTH_COMPONENT: Final = 0x1902
_DEPTH_COMPONENT24: Final = 0x81A6
_FLOAT: Final = 0x1406
_FRAMEBUFFER: Final = 0x8D40
_COLOR_ATTACHMENTS: Final = (0x8CE0, 0x8CE1)
_DEPTH_ATTACHMENT: Final = 0x8D00
_FRAMEBUFFER_COMPLETE: Final = 0x8CD5
_COLOR_AND_DEPTH: Final = 0x4000 | 0x0100
_INT, _UINT, _POINTER = ctypes.c_int, ctypes.c_uint, ctypes.c_void_p


def _function(name: str, result: Any, *arguments: Any) -> Any:
    """An OpenGL function of the current context; moderngl makes no framebuffers of layers (before 5.13)."""
    egl = ctypes.CDLL("libEGL.so.1")
    egl.eglGetProcAddress.restype = _POINTER
    return ctypes.CFUNCTYPE(result, *arguments)(egl.eglGetProcAddress(name.encode()))


def _made(name: str) -> int:
    """The number of a new OpenGL object."""
    number = _UINT()
    _function(name, None, _INT, ctypes.POINTER(_UINT))(1, ctypes.byref(number))
    return number.value


class LayerStack:
    """`layers` pictures of width x height: colour and label (RGBA8), depth (float32 metres), depth test.

    Vertex shaders choose the picture by writing gl_Layer.
    """

    def __init__(self, context: Any, width: int, height: int, layers: int) -> None:
        size = (width, height, layers)
        self._size = size
        self._color = context.texture_array(size, 4)
        self._depth = context.texture_array(size, 1, dtype="f4")
        self._pixels: NDArray[np.uint8] = np.empty((layers, height, width, 4), dtype=np.uint8)
        self._metres: FloatArray = np.empty((layers, height, width), dtype=np.float32)
        self._bind = _function("glBindFramebuffer", None, _UINT, _UINT)
        self._viewport = _function("glViewport", None, _INT, _INT, _INT, _INT)
        self._clear = _function("glClear", None, _UINT)
        self._framebuffer = _made("glGenFramebuffers")
        self._attach()

    def _attach(self) -> None:
        self._bind(_FRAMEBUFFER, self._framebuffer)
        attach = _function("glFramebufferTexture", None, _UINT, _UINT, _UINT, _INT)
        for place, texture in zip(_COLOR_ATTACHMENTS, (self._color.glo, self._depth.glo), strict=True):
            attach(_FRAMEBUFFER, place, texture, 0)
        attach(_FRAMEBUFFER, _DEPTH_ATTACHMENT, self._depth_test(), 0)
        _function("glDrawBuffers", None, _INT, ctypes.POINTER(_UINT))(2, (_UINT * 2)(*_COLOR_ATTACHMENTS))
        status = _function("glCheckFramebufferStatus", _UINT, _UINT)(_FRAMEBUFFER)
        if status != _FRAMEBUFFER_COMPLETE:
            raise RuntimeError(f"expected a complete framebuffer of {self._size}, got OpenGL status {status:#x}")

    def _depth_test(self) -> int:
        texture = _made("glGenTextures")
        bind = _function("glBindTexture", None, _UINT, _UINT)
        bind(_TEXTURE_2D_ARRAY, texture)
        allocate = _function("glTexImage3D", None, _UINT, *[_INT] * 6, _UINT, _UINT, _POINTER)
        allocate(_TEXTURE_2D_ARRAY, 0, _DEPTH_COMPONENT24, *self._size, 0, _DEPTH_COMPONENT, _FLOAT, None)
        bind(_TEXTURE_2D_ARRAY, 0)
        return texture

    def begin(self) -> None:
        """Clear all pictures (to zero; OpenGL's default) and draw into them from now on."""
        self._bind(_FRAMEBUFFER, self._framebuffer)
        self._viewport(0, 0, *self._size[:2])
        self._clear(_COLOR_AND_DEPTH)

    def read(self) -> tuple[NDArray[np.uint8], FloatArray]:
        """Colour and label (layers, H, W, 4) and depth (layers, H, W); overwritten by the next read."""
        self._color.read_into(self._pixels, alignment=1)
        self._depth.read_into(self._metres, alignment=1)
        return self._pixels, self._metres
