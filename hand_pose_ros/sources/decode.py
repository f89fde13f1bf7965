"""Image messages and arrays: raw buffers with an encoding, and the transports of image_transport.

Pure functions shared by the bag reader and the ROS node. Encodings are those of `sensor_msgs/image_encodings.h`;
"compressed" and "compressedDepth" are those of image_transport_plugins. Colour comes out as (H, W, 3) uint8 RGB,
depth as (H, W) float32 metres with 0 where there is no finite positive reading (REP-118 writes NaN, -inf, +inf there).
"""

from __future__ import annotations

import struct
from array import array
from typing import Any, Final, Union

import cv2
import numpy as np
from numpy.typing import NDArray

from hand_pose_ros.sources.errors import DecodeError
from hand_pose_ros.sources.rvl import decode_rvl
from hand_pose_ros.types import ByteArray, FloatArray

Buffer = Union[bytes, bytearray, memoryview, "array[int]", NDArray[np.uint8]]

# Metres per unit of 16-bit depth (millimetres in ROS: REP-118, realsense-ros `ROS_DEPTH_SCALE`).
MILLIMETRE: Final = 0.001

# encoding -> (channels, bytes per channel, conversion to RGB: None = as it is, or an OpenCV code).
# OpenCV names a Bayer pattern after its second row, ROS after its first.
_COLOR: Final[dict[str, tuple[int, int, int | None]]] = {
    "rgb8": (3, 1, None),
    "bgr8": (3, 1, cv2.COLOR_BGR2RGB),
    "rgba8": (4, 1, cv2.COLOR_RGBA2RGB),
    "bgra8": (4, 1, cv2.COLOR_BGRA2RGB),
    "mono8": (1, 1, cv2.COLOR_GRAY2RGB),
    "8UC1": (1, 1, cv2.COLOR_GRAY2RGB),
    "8UC3": (3, 1, cv2.COLOR_BGR2RGB),
    "8UC4": (4, 1, cv2.COLOR_BGRA2RGB),
    "rgb16": (3, 2, None),
    "bgr16": (3, 2, cv2.COLOR_BGR2RGB),
    "mono16": (1, 2, cv2.COLOR_GRAY2RGB),
    "uyvy": (2, 1, cv2.COLOR_YUV2RGB_UYVY),
    "yuv422": (2, 1, cv2.COLOR_YUV2RGB_UYVY),
    "yuyv": (2, 1, cv2.COLOR_YUV2RGB_YUY2),
    "yuv422_yuy2": (2, 1, cv2.COLOR_YUV2RGB_YUY2),
    **{
        f"bayer_{pattern}{8 * size}": (1, size, code)
        for size in (1, 2)
        for pattern, code in (
            ("rggb", cv2.COLOR_BayerBG2RGB),
            ("bggr", cv2.COLOR_BayerRG2RGB),
            ("gbrg", cv2.COLOR_BayerGR2RGB),
            ("grbg", cv2.COLOR_BayerGB2RGB),
        )
    },
}
_DEPTH: Final[dict[str, str]] = {"16UC1": "u2", "mono16": "u2", "32FC1": "f4"}

COLOR_ENCODINGS: Final = tuple(_COLOR)
DEPTH_ENCODINGS: Final = tuple(_DEPTH)

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_DEPTH_HEADER = struct.Struct("<iff")  # image_transport_plugins ConfigHeader: format, depthQuantA, depthQuantB
_JPEG_END = b"\xff\xd9"


def decode_color(encoding: str, height: int, width: int, step: int, is_bigendian: bool, data: Buffer) -> ByteArray:
    """The image as (H, W, 3) uint8 RGB; for rgb8 a view of `data` without a copy, so do not write to it.

    16-bit channels keep their upper byte; yuv422 is UYVY (ITU-R BT.601).

    Raises:
        DecodeError: an unsupported encoding, or a step or length that does not fit.
    """
    if encoding not in _COLOR:
        raise DecodeError(
            f"colour image: encoding {encoding!r} is not supported; expected one of {', '.join(COLOR_ENCODINGS)}. "
            "Convert it at the camera driver, or decode it with cv_bridge before this point"
        )
    channels, size, code = _COLOR[encoding]
    image = _image(encoding, height, width, step, is_bigendian, data, channels, f"u{size}")
    if size == 2:
        image = (image >> 8).astype(np.uint8)
    if code is None:
        return image
    if channels == 2 and width % 2:
        raise DecodeError(f"{encoding} image: expected an even width (two pixels share their colour), got {width}")
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(image), code), dtype=np.uint8)


def decode_depth(
    encoding: str,
    height: int,
    width: int,
    step: int,
    is_bigendian: bool,
    data: Buffer,
    scale: float = MILLIMETRE,
) -> FloatArray:
    """The depth image as (H, W) float32 metres; `scale` is metres per unit of the 16-bit encodings.

    Raises:
        DecodeError: an unsupported encoding, or a step or length that does not fit.
    """
    if encoding not in _DEPTH:
        raise DecodeError(
            f"depth image: encoding {encoding!r} is not supported; expected one of {', '.join(DEPTH_ENCODINGS)} "
            "(16 bits: millimetres, 32FC1: metres)"
        )
    image = _image(encoding, height, width, step, is_bigendian, data, 1, _DEPTH[encoding])[..., 0]
    return _metres(image, scale)


def decode_compressed_color(image_format: str, data: Buffer) -> ByteArray:
    """A sensor_msgs/CompressedImage (JPEG, PNG, whatever OpenCV reads) as (H, W, 3) uint8 RGB.

    As in image_transport, "rgb8; jpeg compressed rgb8" means that red and blue were swapped before compressing;
    anything else is stored as its file format says.

    Raises:
        DecodeError: no such image, or one that ends too early.
    """
    if "compressedDepth" in image_format:
        raise DecodeError(f"format {image_format!r} is a depth image; expected a colour image (check the topic)")
    raw = np.frombuffer(data, dtype=np.uint8)
    _check_complete(image_format, raw)
    # An EXIF orientation would turn the image away from its camera_info.
    bgr: ByteArray = _imdecode(image_format, raw, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if "compressed rgb" in image_format:
        return bgr
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def decode_compressed_depth(image_format: str, data: Buffer, scale: float = MILLIMETRE) -> FloatArray:
    """A compressedDepth CompressedImage ("16UC1; compressedDepth png", …) as (H, W) float32 metres.

    PNG and RVL payloads behind the plugin's 12-byte header. 32FC1 is stored as 16-bit inverse depth q with
    depth = A / (q - B) and A, B from the header; q = 0 means no reading.

    Raises:
        DecodeError: an unsupported format or damaged data.
    """
    encoding = image_format.split(";")[0].strip()
    if encoding not in _DEPTH:
        raise DecodeError(
            f"compressed depth: expected a format like '16UC1; compressedDepth png' or '32FC1; compressedDepth', "
            f"got {image_format!r}"
        )
    raw = np.frombuffer(data, dtype=np.uint8)
    # Some publishers leave the header out where it says nothing (16UC1 as PNG).
    header = 0 if raw[:8].tobytes() == _PNG_MAGIC else _DEPTH_HEADER.size
    if len(raw) < header + 8:
        raise DecodeError(f"compressed depth {image_format!r}: expected a header and an image, got {len(raw)} bytes")
    stored = _decode_payload(image_format, raw[header:])
    if encoding != "32FC1":
        return _metres(stored, scale)
    if not header:
        raise DecodeError(f"compressed depth {image_format!r}: expected the 12-byte header with the quantisation")
    _, quant_a, quant_b = _DEPTH_HEADER.unpack(raw[:header].tobytes())
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = np.float32(quant_a) / (stored.astype(np.float32) - np.float32(quant_b))
    depth[stored == 0] = 0.0
    return _metres(depth, scale)


def encode_depth(depth: FloatArray, scale: float = MILLIMETRE) -> NDArray[np.uint16]:
    """Metres (H, W) as 16-bit units, rounded; what does not fit (or is not finite) becomes 0 = no reading."""
    with np.errstate(invalid="ignore"):
        units = np.rint(depth / np.float32(scale))
        fits = (units > 0) & (units <= np.iinfo(np.uint16).max)
    return np.where(fits, units, 0).astype(np.uint16)


def encode_compressed_color(color: ByteArray, *, quality: int = 90, lossless: bool = False) -> tuple[str, bytes]:
    """RGB (H, W, 3) as (format, bytes) of a CompressedImage: JPEG of this quality (0..100), or PNG."""
    bgr = cv2.cvtColor(color, cv2.COLOR_RGB2BGR)
    if lossless:
        return "rgb8; png compressed bgr8", _imencode(".png", bgr, [])
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    return "rgb8; jpeg compressed bgr8", _imencode(".jpg", bgr, options)


def encode_compressed_depth(depth: FloatArray, *, scale: float = MILLIMETRE, level: int = 6) -> tuple[str, bytes]:
    """Metres (H, W) as (format, bytes) of a compressedDepth CompressedImage: 16-bit PNG, zlib `level` 0..9."""
    png = _imencode(".png", encode_depth(depth, scale), [cv2.IMWRITE_PNG_COMPRESSION, level])
    return "16UC1; compressedDepth png", _DEPTH_HEADER.pack(0, 0.0, 0.0) + png


def _image(
    encoding: str,
    height: int,
    width: int,
    step: int,
    is_bigendian: bool,
    data: Buffer,
    channels: int,
    dtype: str,
) -> NDArray[Any]:
    """A view (H, W, channels) of `data`, rows `step` bytes apart."""
    raw = np.frombuffer(data, dtype=np.uint8)
    item = np.dtype((">" if is_bigendian else "<") + dtype)
    row = width * channels * item.itemsize
    if height <= 0 or width <= 0:
        raise DecodeError(f"{encoding} image: expected a positive size, got {width}x{height}")
    if step < row:
        raise DecodeError(
            f"{encoding} image of {width}x{height}: expected step >= {row} bytes, got {step}; the publisher fills "
            "width, step or encoding wrongly"
        )
    if len(raw) != step * height:
        raise DecodeError(
            f"{encoding} image of {width}x{height}, step {step}: expected {step * height} bytes, got {len(raw)}; "
            "the message is truncated or its header is wrong"
        )
    pixel = channels * item.itemsize
    return np.ndarray((height, width, channels), item, raw.data, 0, (step, pixel, item.itemsize))


def _metres(image: NDArray[Any], scale: float) -> FloatArray:
    if image.dtype.kind == "u":
        metres: FloatArray = np.multiply(image, np.float32(scale), dtype=np.float32)
        return metres
    depth = np.array(image, dtype=np.float32)
    with np.errstate(invalid="ignore"):
        depth[~((depth > 0) & (depth < np.inf))] = 0.0
    return depth


def _decode_payload(image_format: str, raw: ByteArray) -> NDArray[np.uint16]:
    """The stored 16-bit image (H, W) of a compressedDepth payload."""
    if "rvl" in image_format:
        width, height = struct.unpack("<II", raw[:8].tobytes())
        # A coded image has at least one nibble per run; a run of zeros can be long, but not the image of a camera.
        if not 0 < width * height <= 1 << 28:
            raise DecodeError(f"compressed depth {image_format!r}: expected an image size, got {width}x{height}")
        return decode_rvl(raw[8:].tobytes(), width * height).reshape(height, width)
    _check_complete(image_format, raw)
    stored = _imdecode(image_format, raw, cv2.IMREAD_UNCHANGED)
    if stored.ndim != 2 or stored.dtype != np.uint16:
        raise DecodeError(
            f"compressed depth {image_format!r}: expected a 16-bit image of one channel, got {stored.dtype.name} "
            f"{stored.shape}"
        )
    depth: NDArray[np.uint16] = stored
    return depth


def _check_complete(image_format: str, raw: ByteArray) -> None:
    """OpenCV fills the missing rows of a cut image with grey or zeros and says nothing: look for the end ourselves."""
    head, tail = raw[:8].tobytes(), raw[-4096:].tobytes()
    cut_jpeg = head.startswith(b"\xff\xd8") and _JPEG_END not in tail
    cut_png = head == _PNG_MAGIC and b"IEND" not in tail
    if cut_jpeg or cut_png:
        raise DecodeError(f"{image_format!r} image: expected its end marker, got {len(raw)} bytes without; it is cut")


def _imdecode(image_format: str, raw: ByteArray, flags: int) -> NDArray[Any]:
    if not len(raw):
        raise DecodeError(f"{image_format!r} image: expected image data, got 0 bytes")
    try:
        image = cv2.imdecode(raw, flags)
    except cv2.error as error:
        raise DecodeError(
            f"{image_format!r} image of {len(raw)} bytes: OpenCV cannot decode it ({error.err})"
        ) from error
    if image is None:
        raise DecodeError(f"{image_format!r} image of {len(raw)} bytes: the data are damaged or of an unknown format")
    decoded: NDArray[Any] = image
    return decoded


def _imencode(extension: str, image: NDArray[Any], options: list[int]) -> bytes:
    encoded, buffer = cv2.imencode(extension, image, options)
    if not encoded:
        raise DecodeError(f"OpenCV cannot write {extension} from an image of {image.dtype.name} {image.shape}")
    data: bytes = buffer.tobytes()
    return data
