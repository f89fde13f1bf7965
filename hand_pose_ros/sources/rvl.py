"""RVL, lossless coding of depth images (A. D. Wilson, "Fast Lossless Depth Image Compression", ISS 2017).

An image is a chain of runs: number of zeros, number of non-zeros, then the difference of each non-zero to the one
before it, zigzag coded. Numbers are little-endian groups of three bits in nibbles whose top bit says "more follows";
eight nibbles fill a 32-bit word from its most significant end. Worked on whole arrays: only runs are looped over.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hand_pose_ros.sources.errors import DecodeError

_MORE = 8  # the nibble's continuation bit
_MAX_RUN_NIBBLES = 10  # 30 bits hold any run of a real image


def decode_rvl(data: bytes | memoryview, count: int) -> NDArray[np.uint16]:
    """`count` depth values from RVL bytes, (count,) uint16.

    Raises:
        DecodeError: the data end before `count` values or run past them.
    """
    values = _read_values(data)
    headers, positions = _runs(values, count)
    is_delta = np.ones(headers[-1] if headers else 0, dtype=bool)
    is_delta[np.array(headers[:-1], dtype=np.intp)] = False
    zigzag = values[: len(is_delta)][is_delta]
    deltas = (zigzag >> 1) ^ -(zigzag & 1)
    depth = np.zeros(count, dtype=np.uint16)
    depth[positions] = np.cumsum(deltas).astype(np.uint16)
    return depth


def encode_rvl(depth: NDArray[np.uint16]) -> bytes:
    """Depth values (any shape) uint16 as RVL bytes."""
    flat = np.ascontiguousarray(depth, dtype=np.uint16).reshape(-1)
    occupied = flat != 0
    nonzero = flat[occupied].astype(np.int64)
    deltas = np.diff(nonzero, prepend=0)
    zigzag = (deltas << 1) ^ (deltas >> 63)
    # Lengths of alternating runs, beginning with zeros (possibly none) and ending with non-zeros (possibly none).
    edges = np.flatnonzero(np.diff(occupied.view(np.int8))) + 1
    bounds = [0, *([0] if flat.size and occupied[0] else []), *edges.tolist(), flat.size]
    lengths = np.diff(np.array(bounds))
    if len(lengths) % 2:
        lengths = np.append(lengths, 0)
    starts = np.concatenate([[0], np.cumsum(lengths[1::2])])[:-1]
    # Each pair of lengths stands before the differences of its non-zeros.
    values = np.insert(zigzag, np.repeat(starts, 2), lengths)
    return _write_values(values)


def _read_values(data: bytes | memoryview) -> NDArray[np.int64]:
    words = np.frombuffer(data, dtype="<u4", count=len(data) // 4)
    shifts = np.arange(28, -4, -4, dtype=np.uint32)
    nibbles = ((words[:, None] >> shifts) & 15).astype(np.int64).reshape(-1)
    ends = np.flatnonzero(nibbles < _MORE)
    if not len(ends):
        return np.zeros(0, dtype=np.int64)
    starts = np.concatenate([[0], ends[:-1] + 1])
    if int((ends - starts).max()) >= _MAX_RUN_NIBBLES:
        raise DecodeError("rvl: expected numbers of at most 30 bits, got a longer one; the data are damaged")
    nibbles = nibbles[: ends[-1] + 1]
    place = np.arange(len(nibbles)) - np.repeat(starts, ends - starts + 1)
    summed: NDArray[np.int64] = np.add.reduceat((nibbles & 7) << (3 * place), starts)
    return summed


def _runs(values: NDArray[np.int64], count: int) -> tuple[list[int], NDArray[np.intp]]:
    """Indices of the run lengths in `values` (and, last, the end), and the pixels of the non-zeros."""
    headers: list[int] = []
    begins: list[int] = []
    lengths: list[int] = []
    index = pixel = 0
    while pixel < count:
        if index + 1 >= len(values):
            raise DecodeError(f"rvl: expected {count} values, got {pixel}; the data are truncated")
        zeros, nonzeros = int(values[index]), int(values[index + 1])
        headers += [index, index + 1]
        begins.append(pixel + zeros)
        lengths.append(nonzeros)
        pixel += zeros + nonzeros
        index += 2 + nonzeros
        if zeros + nonzeros == 0:
            raise DecodeError(f"rvl: expected {count} values, got {pixel}; the data are truncated")
    if pixel != count or index > len(values):
        raise DecodeError(f"rvl: expected {count} values, got {pixel} or fewer; image size and data do not agree")
    headers.append(index)
    ends = np.cumsum(lengths)
    offsets = np.repeat(np.array(begins) - (ends - lengths), lengths)
    positions: NDArray[np.intp] = (offsets + np.arange(int(ends[-1]) if len(ends) else 0)).astype(np.intp)
    return headers, positions


def _write_values(values: NDArray[np.int64]) -> bytes:
    places = np.arange(_MAX_RUN_NIBBLES) * 3
    digits = (values[:, None] >> places) & 7
    needed = np.maximum(1, _MAX_RUN_NIBBLES - np.argmax(digits[:, ::-1] != 0, axis=1))
    needed[values == 0] = 1
    column = np.arange(_MAX_RUN_NIBBLES)
    digits[column < (needed - 1)[:, None]] |= _MORE
    nibbles = digits[column < needed[:, None]].astype(np.uint32)
    nibbles = np.append(nibbles, np.zeros(-len(nibbles) % 8, dtype=np.uint32)).reshape(-1, 8)
    shifts = np.arange(28, -4, -4, dtype=np.uint32)
    words = np.bitwise_or.reduce(nibbles << shifts, axis=1) if len(nibbles) else nibbles
    return words.astype("<u4").tobytes()
