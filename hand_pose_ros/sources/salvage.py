"""What can still be read of a storage file that rosbags refuses: truncated, without index, or damaged.

MCAP files are walked record by record from the start (mcap.dev/spec); a cut chunk is decompressed as far as it goes.
SQLite files are read row by row. Every loss is told to `report`; nothing is skipped silently.
"""

from __future__ import annotations

import sqlite3
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple
from urllib.parse import quote
from zlib import crc32

from lz4.frame import LZ4FrameDecompressor  # type: ignore[import-untyped]

if sys.version_info >= (3, 14):
    from compression import zstd as zstd
else:
    from backports import zstd as zstd

# What decompressing a damaged chunk raises; lz4 has no exception of its own.
DAMAGED_CHUNK = (zstd.ZstdError, RuntimeError)

Report = Callable[[str], None]


class StoredMessage(NamedTuple):
    """One message as it is stored: its topic and type, when it was recorded (ns), its CDR bytes."""

    topic: str
    msgtype: str
    log_time_ns: int
    data: bytes


def salvage(path: Path, report: Report) -> Iterator[StoredMessage]:
    """The messages of a .mcap or .db3 file, in the order of recording, up to where it can be read."""
    reader = _salvage_sqlite if path.suffix == ".db3" else _salvage_mcap
    return reader(path, report)


_MCAP_MAGIC = b"\x89MCAP0\r\n"
_FOOTER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _DATA_END = 0x02, 0x03, 0x04, 0x05, 0x06, 0x0F
_PIECE = 1 << 16
_MAX_RECORD = 1 << 31


@dataclass(frozen=True)
class _Record:
    """`body` is shorter than `length` where the file ends within the record."""

    opcode: int
    length: int
    body: bytes
    offset: int


def _salvage_mcap(path: Path, report: Report) -> Iterator[StoredMessage]:
    with path.open("rb") as stream:
        if stream.read(len(_MCAP_MAGIC)) != _MCAP_MAGIC:
            report(f"{path.name}: not an MCAP file (it does not begin with the MCAP magic)")
            return
        yield from _McapWalk(path.name, report).messages(stream)


class _McapWalk:
    def __init__(self, name: str, report: Report) -> None:
        self._name = name
        self._report_to = report
        self._schemas: dict[int, str] = {0: ""}
        self._channels: dict[int, tuple[str, str]] = {}

    def messages(self, stream: BinaryIO) -> Iterator[StoredMessage]:
        """Of the whole file; stops at the data's end, the file's end, or where records make no sense."""
        for record in self._records(stream, 0):
            if record.opcode in (_DATA_END, _FOOTER):
                return
            if record.opcode == _CHUNK:
                yield from self._chunk(record)
            else:
                yield from self._taken(record)
        self._report("the file has no end record; its recording was cut off")

    def _records(self, stream: BinaryIO, base: int) -> Iterator[_Record]:
        while True:
            offset = base + stream.tell()
            head = stream.read(9)
            if not head:
                return
            if len(head) < 9:
                self._report(f"cut within a record at byte {offset}")
                return
            opcode, length = head[0], int.from_bytes(head[1:], "little")
            if length > _MAX_RECORD or opcode == 0:
                self._report(f"damaged at byte {offset}: what follows cannot be read")
                return
            body = stream.read(length)
            yield _Record(opcode, length, body, offset)
            if len(body) < length:
                self._report(f"cut within a record at byte {offset}: {len(body)} of {length} bytes are there")
                return

    def _taken(self, record: _Record) -> Iterator[StoredMessage]:
        """Keep a schema or channel, give a message; records cut short are passed over (their loss is reported)."""
        if len(record.body) < record.length:
            return
        try:
            if record.opcode == _SCHEMA:
                self._schemas[_u16(record.body, 0)] = _string(record.body, 2)[0]
            elif record.opcode == _CHANNEL:
                topic, _ = _string(record.body, 4)
                self._channels[_u16(record.body, 0)] = (topic, self._schemas.get(_u16(record.body, 2), ""))
            elif record.opcode == _MESSAGE:
                channel, _, log_time, _ = struct.unpack_from("<HIQQ", record.body)
                if channel in self._channels:
                    yield StoredMessage(*self._channels[channel], log_time, record.body[22:])
                else:
                    self._report(f"messages of channel {channel} cannot be read: the channel's record is lost")
        except (struct.error, UnicodeDecodeError) as error:
            self._report(f"damaged record at byte {record.offset}: {error}")

    def _chunk(self, record: _Record) -> Iterator[StoredMessage]:
        try:
            _, _, size, crc = struct.unpack_from("<QQQI", record.body)
            compression, position = _string(record.body, 28)
        except (struct.error, UnicodeDecodeError) as error:
            self._report(f"damaged chunk at byte {record.offset}: {error}")
            return
        packed = record.body[position + 8 :]
        data = self._decompressed(compression, packed, record.offset)
        if len(data) == size and crc and crc32(data) != crc:
            self._report(f"the chunk at byte {record.offset} fails its checksum; its messages may be damaged")
        for inner in self._records(BytesIO(data), record.offset):
            yield from self._taken(inner)

    def _decompressed(self, compression: str, packed: bytes, offset: int) -> bytes:
        """As much as can be had."""
        if compression == "":
            return packed
        if compression not in ("zstd", "lz4"):
            self._report(f"the chunk at byte {offset} is compressed with {compression!r}; expected zstd, lz4 or none")
            return b""
        decoder = zstd.ZstdDecompressor() if compression == "zstd" else LZ4FrameDecompressor()
        data = bytearray()
        try:
            for start in range(0, len(packed), _PIECE):
                if decoder.eof:
                    break
                data += decoder.decompress(packed[start : start + _PIECE])
        except DAMAGED_CHUNK as error:
            self._report(f"damaged {compression} chunk at byte {offset}: {error}")
        return bytes(data)

    def _report(self, text: str) -> None:
        self._report_to(f"{self._name}: {text}")


def _u16(body: bytes, offset: int) -> int:
    value: int = struct.unpack_from("<H", body, offset)[0]
    return value


def _string(body: bytes, offset: int) -> tuple[str, int]:
    """A length-prefixed text and where it ends."""
    (length,) = struct.unpack_from("<I", body, offset)
    end = offset + 4 + length
    if end > len(body):
        raise struct.error(f"a text of {length} bytes does not fit into its record")
    return body[offset + 4 : end].decode(), end


# A damaged name spoils even the text of SQLite's own error.
_SQLITE_ERRORS = (sqlite3.DatabaseError, UnicodeDecodeError)


def _salvage_sqlite(path: Path, report: Report) -> Iterator[StoredMessage]:
    # The first way also sees a write-ahead log left by a crash; the second needs nothing but the file itself.
    for option in ("mode=ro", "immutable=1"):
        connection = sqlite3.connect(f"file:{quote(str(path.absolute()))}?{option}", uri=True)
        connection.text_factory = lambda raw: raw.decode(errors="replace")
        try:
            rows = connection.execute("SELECT id, name, type FROM topics")
            topics = {key: (str(name), str(kind)) for key, name, kind in rows}
            yield from _rows(connection, topics, path.name, report)
            return
        except _SQLITE_ERRORS as error:
            problem = f"{path.name}: {error}; the topics cannot be read"
        finally:
            connection.close()
    report(problem)


def _rows(
    connection: sqlite3.Connection, topics: dict[int, tuple[str, str]], name: str, report: Report
) -> Iterator[StoredMessage]:
    last = 0
    try:
        for key, topic, stamp, data in connection.execute(
            "SELECT id, topic_id, timestamp, data FROM messages ORDER BY id"
        ):
            last = key
            if topic in topics and isinstance(stamp, int) and isinstance(data, bytes):
                yield StoredMessage(*topics[topic], stamp, data)
            else:
                report(f"{name}: message {key} is damaged")
    except _SQLITE_ERRORS as error:
        report(f"{name}: {error}; nothing after message {last} can be read")
