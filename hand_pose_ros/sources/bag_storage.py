"""The stored messages of a ROS 2 recording, whole or broken: a rosbag2 folder, a lone .mcap or a lone .db3.

rosbags reads what is in order; `salvage` reads what it refuses or stumbles over. Each trouble is a line of `problems`.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import apsw
from rosbags.interfaces import Connection, MessageDefinitionFormat
from rosbags.rosbag2 import Reader
from rosbags.rosbag2.errors import ReaderError
from rosbags.typesys import TypesysError

from hand_pose_ros.sources.errors import BagError
from hand_pose_ros.sources.message_types import is_other_version
from hand_pose_ros.sources.salvage import DAMAGED_CHUNK, StoredMessage, salvage

STORAGE_SUFFIXES = (".mcap", ".db3")

# rosbags checks much, but not every byte: damaged files also surface as errors of the parts it is made of.
_READ_ERRORS = (
    ReaderError,
    apsw.Error,
    struct.error,
    OSError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AssertionError,
    *DAMAGED_CHUNK,
    OverflowError,
    MemoryError,
)


@dataclass(frozen=True)
class Topic:
    """A topic of a recording: its name, message type and number of messages."""

    name: str
    msgtype: str
    count: int


class BagStorage:
    """Reads stored messages; a context manager.

    Attributes:
        path: the folder or file.
        topics: what it holds, by name; counted while opening.
        problems: what could not be read, one line each.

    Raises:
        BagError: nothing there, no storage file in it, or a format that is not ROS 2.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.topics: dict[str, Topic] = {}
        self._problems: dict[str, None] = {}
        self._parts: list[_Part] = []
        self._stack = ExitStack()

    @property
    def problems(self) -> list[str]:
        """What could not be read, each once, in the order of discovery."""
        return list(self._problems)

    def report(self, problem: str) -> None:
        """Add a problem (once)."""
        self._problems.setdefault(problem)

    def __enter__(self) -> BagStorage:
        if not self.path.exists():
            raise BagError(f"{self.path}: no such recording; expected a rosbag2 folder, a .mcap or a .db3 file")
        with ExitStack() as stack:
            self._parts = self._open(stack)
            self._stack = stack.pop_all()
        counts: Counter[tuple[str, str]] = Counter()
        for part in self._parts:
            counts.update(part.counts())
        for (name, msgtype), count in counts.items():
            known = self.topics.get(name)
            if known is not None and known.count >= count:
                self.report(f"topic {name}: {count} messages of type {msgtype} are ignored, it is a {known.msgtype}")
                continue
            self.topics[name] = Topic(name, msgtype, count)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def messages(self, topics: Collection[str]) -> Iterator[StoredMessage]:
        """The messages of these topics, by time of recording where the file has an index, else as they are stored."""
        types = {name: self.topics[name].msgtype for name in topics if name in self.topics}
        for part in self._parts:
            for message in part.messages(types):
                if types[message.topic] == message.msgtype:
                    yield message

    def _open(self, stack: ExitStack) -> list[_Part]:
        if self.path.is_file():
            return [self._open_file(self.path, stack)]
        files = storage_files(self.path)
        if not files:
            found = ", ".join(sorted(item.name for item in self.path.iterdir())[:8]) or "nothing"
            raise BagError(f"{self.path}: expected a .mcap or .db3 file in this folder, found {found}")
        try:
            reader = Reader(self.path)
            stack.enter_context(reader)
        except _READ_ERRORS as error:
            self.report(f"{self.path.name}: {_text(error)}; its files are read one by one")
            return [self._open_file(file, stack) for file in files]
        return [_Indexed(reader, files, self)]

    def _open_file(self, file: Path, stack: ExitStack) -> _Part:
        if file.suffix not in STORAGE_SUFFIXES:
            raise BagError(
                f"{file}: expected a .mcap or .db3 file; convert ROS 1 bags with `rosbags-convert`, unpack .zstd files "
                "with `zstd -d`"
            )
        try:
            reader = Reader(file)
            stack.enter_context(reader)
        except _READ_ERRORS as error:
            self.report(f"{file.name}: {_text(error)}; it is read record by record")
            return _Salvaged([file], self)
        return _Indexed(reader, [file], self)


def storage_files(folder: Path) -> list[Path]:
    """The storage files of a rosbag2 folder in the order of recording (name_0, name_1, … name_10)."""
    files = [item for item in folder.iterdir() if {".mcap", ".db3"} & set(item.suffixes) and item.is_file()]
    files = [item for item in files if item.suffix in (*STORAGE_SUFFIXES, ".zstd")]
    return sorted(files, key=lambda item: [int(t) if t.isdigit() else t for t in re.split(r"(\d+)", item.name)])


class _Salvaged:
    """Files read record by record; for the topics they are read twice."""

    def __init__(self, files: list[Path], storage: BagStorage) -> None:
        self._files = files
        self._storage = storage

    def counts(self) -> Counter[tuple[str, str]]:
        return Counter((message.topic, message.msgtype) for message in self._all())

    def messages(self, topics: Collection[str]) -> Iterator[StoredMessage]:
        return (message for message in self._all() if message.topic in topics)

    def _all(self) -> Iterator[StoredMessage]:
        for file in self._files:
            yield from salvage(file, self._storage.report)


class _Indexed:
    """Files opened with rosbags; if it fails on the way, the messages not yet given are salvaged."""

    def __init__(self, reader: Reader, files: list[Path], storage: BagStorage) -> None:
        self._reader = reader
        self._files = files
        self._storage = storage

    def counts(self) -> Counter[tuple[str, str]]:
        counts: Counter[tuple[str, str]] = Counter()
        for connection in self._reader.connections:
            if self._is_readable(connection):
                counts[connection.topic, connection.msgtype] += connection.msgcount
        return counts

    def _is_readable(self, connection: Connection) -> bool:
        definition = connection.msgdef.data if connection.msgdef.format == MessageDefinitionFormat.MSG else ""
        try:
            readable = not is_other_version(connection.msgtype, definition)
        except TypesysError:
            readable = False
        if not readable:
            self._storage.report(
                f"topic {connection.topic}: {connection.msgtype} was recorded by another version of this package with "
                "other fields and is left out; read it with that version"
            )
        return readable

    def messages(self, topics: Collection[str]) -> Iterator[StoredMessage]:
        connections = [item for item in self._reader.connections if item.topic in topics]
        if not connections:
            return
        given: Counter[tuple[str, int]] = Counter()
        try:
            for connection, stamp, data in self._reader.messages(connections):
                given[connection.topic, stamp] += 1
                yield StoredMessage(connection.topic, connection.msgtype, stamp, data)
            return
        except _READ_ERRORS as error:
            self._storage.report(f"{self._storage.path.name}: {_text(error)}; the rest is read record by record")
        for message in _Salvaged(self._files, self._storage).messages(topics):
            key = (message.topic, message.log_time_ns)
            if given[key]:
                given[key] -= 1
                continue
            yield message


_Part = _Indexed | _Salvaged


def _text(error: BaseException) -> str:
    return str(error).rstrip(".") or type(error).__name__
