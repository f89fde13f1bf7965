"""Every encoding, both byte orders, padded rows, and damaged data."""

from __future__ import annotations

import array
import struct

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hand_pose_ros.sources.decode import (
    COLOR_ENCODINGS,
    DEPTH_ENCODINGS,
    decode_color,
    decode_compressed_color,
    decode_compressed_depth,
    decode_depth,
    encode_compressed_color,
    encode_compressed_depth,
    encode_depth,
)
from hand_pose_ros.sources.errors import DecodeError
from hand_pose_ros.sources.rvl import decode_rvl, encode_rvl

HEIGHT, WIDTH = 6, 8


def scenery() -> np.ndarray:
    """(6, 8, 3) uint8 RGB: red, green, blue and grey blocks of 2x2 pixels and more, so that chroma survives."""
    image = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    image[:, :2], image[:, 2:4], image[:, 4:6], image[:, 6:] = (200, 20, 30), (10, 190, 40), (30, 20, 210), (90, 90, 90)
    return image


def padded(image: np.ndarray, padding: int = 0) -> tuple[int, bytes]:
    """(step, bytes) with `padding` bytes of rubbish behind each row."""
    rows = np.ascontiguousarray(image).view(np.uint8).reshape(image.shape[0], -1)
    full = np.hstack([rows, np.full((len(rows), padding), 170, dtype=np.uint8)])
    return full.shape[1], full.tobytes()


def yuv422(image: np.ndarray, order: tuple[int, int]) -> np.ndarray:
    """ITU-R BT.601 by its formula; `order` is where luma and chroma stand in each pair of bytes."""
    r, g, b = (image[..., c].astype(np.float64) for c in range(3))
    y = 16 + 0.257 * r + 0.504 * g + 0.098 * b
    u, v = 128 - 0.148 * r - 0.291 * g + 0.439 * b, 128 + 0.439 * r - 0.368 * g - 0.071 * b
    result = np.zeros((*image.shape[:2], 2))
    result[..., order[0]] = y
    result[:, 0::2, order[1]] = (u[:, 0::2] + u[:, 1::2]) / 2
    result[:, 1::2, order[1]] = (v[:, 0::2] + v[:, 1::2]) / 2
    return np.rint(result).astype(np.uint8)


GREY = np.rint(scenery() @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
REPEATED = np.repeat(GREY[..., None], 3, axis=2)
ALPHA = np.full((HEIGHT, WIDTH, 1), 77, dtype=np.uint8)
# encoding, what is stored, what is meant, tolerance
COLOR_CASES = [
    ("rgb8", scenery(), scenery(), 0),
    ("bgr8", scenery()[..., ::-1], scenery(), 0),
    ("8UC3", scenery()[..., ::-1], scenery(), 0),
    ("rgba8", np.dstack([scenery(), ALPHA]), scenery(), 0),
    ("bgra8", np.dstack([scenery()[..., ::-1], ALPHA]), scenery(), 0),
    ("8UC4", np.dstack([scenery()[..., ::-1], ALPHA]), scenery(), 0),
    ("mono8", GREY, REPEATED, 0),
    ("8UC1", GREY, REPEATED, 0),
    ("mono16", GREY.astype(np.uint16) * 256 + 9, REPEATED, 0),
    ("rgb16", scenery().astype(np.uint16) * 256 + 9, scenery(), 0),
    ("bgr16", scenery()[..., ::-1].astype(np.uint16) * 256 + 9, scenery(), 0),
    ("uyvy", yuv422(scenery(), (1, 0)), scenery(), 4),
    ("yuv422", yuv422(scenery(), (1, 0)), scenery(), 4),
    ("yuyv", yuv422(scenery(), (0, 1)), scenery(), 4),
    ("yuv422_yuy2", yuv422(scenery(), (0, 1)), scenery(), 4),
]


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize(("encoding", "stored", "meant", "tolerance"), COLOR_CASES, ids=[c[0] for c in COLOR_CASES])
def test_color(encoding: str, stored: np.ndarray, meant: np.ndarray, tolerance: int, padding: int) -> None:
    for bigendian in (False, True):
        swapped = stored.astype(stored.dtype.newbyteorder(">" if bigendian else "<"))
        step, data = padded(swapped, padding)
        rgb = decode_color(encoding, HEIGHT, WIDTH, step, bigendian, data)
        assert rgb.shape == (HEIGHT, WIDTH, 3)
        assert rgb.dtype == np.uint8
        np.testing.assert_allclose(rgb.astype(int), meant.astype(int), atol=tolerance)


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
@pytest.mark.parametrize("size", [1, 2])
def test_bayer(pattern: str, size: int) -> None:
    """One even colour, seen through a mosaic whose first row is the first two letters of its name."""
    color = np.array([200, 120, 40])
    channel = np.array(
        [["rgb".index(letter) for letter in pattern[:2]], ["rgb".index(letter) for letter in pattern[2:]]]
    )
    mosaic = np.tile(color[channel], (HEIGHT // 2, WIDTH // 2)).astype(f"<u{size}") << (8 * (size - 1))
    step, data = padded(mosaic)
    rgb = decode_color(f"bayer_{pattern}{8 * size}", HEIGHT, WIDTH, step, False, data)
    np.testing.assert_array_equal(rgb, np.broadcast_to(color, rgb.shape))


def test_all_encodings_are_tested() -> None:
    tested = {case[0] for case in COLOR_CASES} | {
        f"bayer_{p}{b}" for p in ("rggb", "bggr", "gbrg", "grbg") for b in (8, 16)
    }
    assert tested == set(COLOR_ENCODINGS)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda raw: array.array("B", raw)])
def test_rgb8_is_a_view(kind: type) -> None:
    buffer = kind(scenery().tobytes())
    rgb = decode_color("rgb8", HEIGHT, WIDTH, 3 * WIDTH, False, buffer)
    assert np.shares_memory(rgb, np.frombuffer(buffer, dtype=np.uint8))


@given(
    units=arrays.arrays(np.uint16, (3, 4)),
    padding=st.integers(0, 7),
    bigendian=st.booleans(),
    encoding=st.sampled_from(["16UC1", "mono16"]),
)
def test_depth_16(units: np.ndarray, padding: int, bigendian: bool, encoding: str) -> None:
    step, data = padded(units.astype(">u2" if bigendian else "<u2"), padding)
    depth = decode_depth(encoding, 3, 4, step, bigendian, data)
    np.testing.assert_array_equal(depth, units * np.float32(0.001))
    assert depth.dtype == np.float32
    np.testing.assert_array_equal(encode_depth(depth), units)


@given(depth=arrays.arrays(np.float32, (3, 4)), bigendian=st.booleans())
def test_depth_32(depth: np.ndarray, bigendian: bool) -> None:
    step, data = padded(depth.astype(">f4" if bigendian else "<f4"), 3)
    decoded = decode_depth("32FC1", 3, 4, step, bigendian, data)
    good = np.isfinite(depth) & (depth > 0)
    np.testing.assert_array_equal(decoded, np.where(good, depth, 0))
    assert np.isfinite(decoded).all()


def test_depth_that_does_not_fit_is_no_reading() -> None:
    depth = np.array([[0.0004, 65.535, 65.536, -1.0, np.nan, np.inf]], dtype=np.float32)
    np.testing.assert_array_equal(encode_depth(depth), [[0, 65535, 0, 0, 0, 0]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rgb8", 2, 2, 6, False, b"x" * 11), "expected 12 bytes, got 11"),
        (("rgb8", 2, 2, 5, False, b"x" * 10), "expected step >= 6 bytes, got 5"),
        (("rgb8", 0, 2, 6, False, b""), "expected a positive size"),
        (("yuyv", 1, 3, 6, False, b"x" * 6), "even width"),
        (("nv24", 2, 2, 6, False, b"x" * 12), "'nv24' is not supported; expected one of rgb8"),
        (("16UC1", 2, 2, 6, False, b"x" * 12), "'16UC1' is not supported"),
    ],
)
def test_wrong_color(arguments: tuple, message: str) -> None:
    with pytest.raises(DecodeError, match=message):
        decode_color(*arguments)


def test_wrong_depth() -> None:
    with pytest.raises(DecodeError, match="'rgb8' is not supported; expected one of 16UC1, mono16, 32FC1"):
        decode_depth("rgb8", 1, 1, 3, False, b"xxx")
    assert set(DEPTH_ENCODINGS) == {"16UC1", "mono16", "32FC1"}


def test_compressed_color() -> None:
    large = cv2.resize(scenery(), (160, 120), interpolation=cv2.INTER_CUBIC)
    text, data = encode_compressed_color(large, quality=95)
    assert text == "rgb8; jpeg compressed bgr8"
    assert np.abs(decode_compressed_color(text, data).astype(int) - large).mean() < 3
    text, data = encode_compressed_color(large, lossless=True)
    np.testing.assert_array_equal(decode_compressed_color(text, data), large)
    np.testing.assert_array_equal(decode_compressed_color("png", array.array("B", data)), large)
    np.testing.assert_array_equal(decode_compressed_color("rgb8; png compressed rgb8", data), large[..., ::-1])
    assert len(encode_compressed_color(large, quality=30)[1]) < len(encode_compressed_color(large, quality=95)[1])


@pytest.mark.parametrize("lossless", [False, True])
def test_a_cut_or_damaged_picture_is_an_error(lossless: bool) -> None:
    random = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    text, data = encode_compressed_color(random, lossless=lossless)
    for part in (b"", data[:10], data[: len(data) // 2], data[:-20], b"\0" * 50):
        with pytest.raises(DecodeError):
            decode_compressed_color(text, part)


@given(arrays.arrays(np.uint16, (5, 7)))
def test_compressed_depth_16(units: np.ndarray) -> None:
    depth = units * np.float32(0.001)
    text, data = encode_compressed_depth(depth)
    assert text == "16UC1; compressedDepth png"
    np.testing.assert_array_equal(decode_compressed_depth(text, data), depth)
    np.testing.assert_array_equal(decode_compressed_depth("16UC1; compressedDepth", data), depth)
    np.testing.assert_array_equal(decode_compressed_depth("16UC1; compressedDepth png", data[12:]), depth)


@pytest.mark.parametrize("payload", ["png", "rvl"])
def test_compressed_depth_32(payload: str) -> None:
    """image_transport_plugins: A = q (q + 1), B = 1 - A / max, stored = A / depth + B, 0 = no reading."""
    depth = np.array([[0.2, 0.5, 1.0, 0.0], [2.0, 4.0, 9.0, 0.3]], dtype=np.float32)
    quantisation, maximum = 100.0, 10.0
    quant_a = quantisation * (quantisation + 1)
    quant_b = 1.0 - quant_a / maximum
    with np.errstate(divide="ignore"):
        stored = np.where(depth > 0, quant_a / depth + quant_b, 0).astype(np.uint16)
    header = struct.pack("<iff", 0, quant_a, quant_b)
    if payload == "png":
        body = cv2.imencode(".png", stored)[1].tobytes()
    else:
        body = struct.pack("<II", 4, 2) + encode_rvl(stored)
    decoded = decode_compressed_depth(f"32FC1; compressedDepth {payload}", header + body)
    np.testing.assert_allclose(decoded, depth, rtol=0.02)
    assert decoded[0, 3] == 0


@pytest.mark.parametrize(
    ("text", "data", "message"),
    [
        ("16UC1; compressedDepth png", b"short", "got 5 bytes"),
        ("16UC1; compressedDepth png", b"\0" * 100, "damaged"),
        ("16UC1; compressedDepth rvl", b"\0" * 100, "expected an image size"),
        ("rgb8; jpeg compressed bgr8", b"\0" * 100, "expected a format like"),
        ("32FC1; compressedDepth png", b"\x89PNG\r\n\x1a\n" + b"\0" * 100, "cut"),
    ],
)
def test_wrong_compressed_depth(text: str, data: bytes, message: str) -> None:
    with pytest.raises(DecodeError, match=message):
        decode_compressed_depth(text, data)


def test_eight_bit_png_is_no_depth() -> None:
    png = cv2.imencode(".png", np.zeros((4, 4), np.uint8))[1].tobytes()
    with pytest.raises(DecodeError, match="16-bit image of one channel, got uint8"):
        decode_compressed_depth("16UC1; compressedDepth png", b"\0" * 12 + png)


@given(arrays.arrays(np.uint16, st.integers(1, 200), elements=st.sampled_from([0, 0, 0, 1, 2, 500, 501, 65535])))
def test_rvl_round_trip(depth: np.ndarray) -> None:
    np.testing.assert_array_equal(decode_rvl(encode_rvl(depth), depth.size), depth)


def test_rvl_by_hand() -> None:
    """Runs 1 zero, 2 values; +5 -> zigzag 10 -> nibbles (2|8) 1; -1 -> zigzag 1; then 1 zero, 0 values."""
    word = 0x1_2_A_1_1_1_0_0
    assert encode_rvl(np.array([0, 5, 4, 0], dtype=np.uint16)) == word.to_bytes(4, "little")
    assert decode_rvl(word.to_bytes(4, "little"), 4).tolist() == [0, 5, 4, 0]


@given(st.binary(max_size=64), st.integers(1, 100))
def test_rvl_of_rubbish(data: bytes, count: int) -> None:
    try:
        assert decode_rvl(data, count).shape == (count,)
    except DecodeError as error:
        assert "rvl" in str(error)


def test_rvl_cut() -> None:
    coded = encode_rvl(np.arange(1000, dtype=np.uint16))
    with pytest.raises(DecodeError, match="truncated"):
        decode_rvl(b"", 5)
    with pytest.raises(DecodeError, match="expected 1000 values"):
        decode_rvl(coded[: len(coded) // 2], 1000)
