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
_DEPTH_ATTACHMENT: Final = 0x8D00
_FRAMEBUFFER_COMPLETE: Final = 0x8CD5
_INT, _UINT, _POINTER = ctypes.c_int, ctypes.c_uint, ctypes.c_void_p


def _function(name: str, result: Any, *arguments: Any) -> Any:
    """An OpenGL function of the current context; moderngl has no arrays of depth textures."""
    egl = ctypes.CDLL("libEGL.so.1")
    egl.eglGetProcAddress.restype = _POINTER
    return ctypes.CFUNCTYPE(result, *arguments)(egl.eglGetProcAddress(name.encode()))


class LayerStack:
    """`layers` pictures of width x height: colour and label (RGBA8), depth (float32 metres), depth test.

    `framebuffer` is moderngl's; vertex shaders choose the picture by writing gl_Layer.
    """

    def __init__(self, context: Any, width: int, height: int, layers: int) -> None:
        size = (width, height, layers)
        self._color = context.texture_array(size, 4)
        self._depth = context.texture_array(size, 1, dtype="f4")
        self.framebuffer = context.framebuffer([self._color, self._depth])
        self.layers = layers
        self._pixels: NDArray[np.uint8] = np.empty((layers, height, width, 4), dtype=np.uint8)
        self._metres: FloatArray = np.empty((layers, height, width), dtype=np.float32)
        self._add_depth_test(size)
        # moderngl did not see the depth texture and would neither clear nor write it.
        self.framebuffer.depth_mask = True

    def _add_depth_test(self, size: tuple[int, int, int]) -> None:
        texture = _UINT()
        _function("glGenTextures", None, _INT, ctypes.POINTER(_UINT))(1, ctypes.byref(texture))
        _function("glBindTexture", None, _UINT, _UINT)(_TEXTURE_2D_ARRAY, texture)
        allocate = _function("glTexImage3D", None, _UINT, *[_INT] * 6, _UINT, _UINT, _POINTER)
        allocate(_TEXTURE_2D_ARRAY, 0, _DEPTH_COMPONENT24, *size, 0, _DEPTH_COMPONENT, _FLOAT, None)
        _function("glBindTexture", None, _UINT, _UINT)(_TEXTURE_2D_ARRAY, 0)
        self.framebuffer.use()
        _function("glFramebufferTexture", None, _UINT, _UINT, _UINT, _INT)(_FRAMEBUFFER, _DEPTH_ATTACHMENT, texture, 0)
        status = _function("glCheckFramebufferStatus", _UINT, _UINT)(_FRAMEBUFFER)
        if status != _FRAMEBUFFER_COMPLETE:
            raise RuntimeError(f"expected a complete framebuffer of {size}, got OpenGL status {status:#x}")

    def begin(self) -> None:
        """Clear all pictures and draw into them from now on."""
        self.framebuffer.use()
        self.framebuffer.clear(0.0, 0.0, 0.0, 0.0)

    def read(self) -> tuple[NDArray[np.uint8], FloatArray]:
        """Colour and label (layers, H, W, 4) and depth (layers, H, W); overwritten by the next read."""
        self._color.read_into(self._pixels, alignment=1)
        self._depth.read_into(self._metres, alignment=1)
        return self._pixels, self._metres
