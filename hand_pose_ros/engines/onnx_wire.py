"""The few parts of ONNX files that the robot reads, without the package onnx: protobuf's wire format.

Field numbers are those of onnx.proto3. A message is read as (field number, wire type, value, span) tuples, so that
what is not known here is passed on byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
FIXED32: Final = 5


class WireError(ValueError):
    """Bytes that are no protobuf message."""


class Field(NamedTuple):
    """One field: its number, its wire type, its value (an int, or bytes), and all of its bytes with the tag."""

    number: int
    kind: int
    value: int | memoryview
    raw: memoryview

    @property
    def integer(self) -> int:
        """The value of a varint as int64."""
        if not isinstance(self.value, int):
            raise WireError(f"field {self.number}: expected an integer, got bytes")
        return self.value - (1 << 64) if self.value >= 1 << 63 else self.value

    @property
    def content(self) -> memoryview:
        """The bytes of a length-delimited field."""
        if isinstance(self.value, int):
            raise WireError(f"field {self.number}: expected bytes, got an integer")
        return self.value

    @property
    def text(self) -> str:
        """The content as UTF-8."""
        return bytes(self.content).decode("utf-8")


def fields(message: memoryview) -> Iterator[Field]:
    """The fields of a message in their order.

    Raises:
        WireError: the bytes are no message.
    """
    position = 0
    while position < len(message):
        start = position
        tag, position = _varint(message, position)
        number, kind = tag >> 3, tag & 7
        value: int | memoryview
        if kind == VARINT:
            value, position = _varint(message, position)
        elif kind == BYTES:
            size, position = _varint(message, position)
            value, position = message[position : position + size], position + size
        elif kind in (FIXED32, FIXED64):
            size = 4 if kind == FIXED32 else 8
            value, position = message[position : position + size], position + size
        else:
            raise WireError(f"wire type {kind} at byte {start}")
        if number == 0 or position > len(message):
            raise WireError(f"a field that ends beyond its message, at byte {start}")
        yield Field(number, kind, value, message[start:position])


def integers(field: Field) -> list[int]:
    """The values of a repeated int64 field, packed or not."""
    if field.kind == VARINT:
        return [field.integer]
    found, position = [], 0
    while position < len(field.content):
        value, position = _varint(field.content, position)
        found.append(value - (1 << 64) if value >= 1 << 63 else value)
    return found


def encode(number: int, content: bytes | bytearray | memoryview) -> bytes:
    """A length-delimited field as bytes."""
    return _encode_varint(number << 3 | BYTES) + _encode_varint(len(content)) + bytes(content)


def encode_integer(number: int, value: int) -> bytes:
    """A non-negative varint field as bytes."""
    return _encode_varint(number << 3 | VARINT) + _encode_varint(value)


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        if position >= len(message) or shift > 63:
            raise WireError(f"a number without end at byte {position}")
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


def _encode_varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
