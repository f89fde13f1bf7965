"""Large JSON files element by element: annotations of half a million frames need gigabytes when parsed whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from hand_pose_ros.datasets.base import DatasetError

_CHUNK: Final = 1 << 20
# No single element is as long as this; a window that large is a damaged file.
_LARGEST_VALUE: Final = 1 << 28
_SPACE: Final = " \t\r\n"
_BEHIND: Final = (*_SPACE, ",", ":", "]", "}")


class _Reader:
    """A window on the text that moves forward."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = path.open("r", encoding="utf-8")
        except OSError as error:
            raise DatasetError(f"{path}: cannot be read ({error.strerror or error}); fetch it anew") from error
        self._text = ""
        self._at = 0
        self._decoder = json.JSONDecoder()

    def close(self) -> None:
        self._file.close()

    def _more(self) -> bool:
        """Read on, and forget what lies behind. False at the end of the file."""
        try:
            chunk = self._file.read(_CHUNK)
        except UnicodeDecodeError as error:
            raise DatasetError(f"{self.path}: not a text file ({error.reason}); fetch it anew") from error
        self._text = self._text[self._at :] + chunk
        self._at = 0
        return bool(chunk)

    def peek(self) -> str:
        """The next character that is not white space."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _SPACE:
                    return self._text[self._at]
                self._at += 1
            if not self._more():
                raise DatasetError(f"{self.path}: the file ends in the middle; it is cut off, fetch it anew")

    def take(self, expected: str) -> str:
        """The next character, which must be one of these."""
        character = self.peek()
        if character not in expected:
            raise DatasetError(f"{self.path}: expected one of {expected} in this place, got {character!r}")
        self._at += 1
        return character

    def value(self) -> Any:
        """The next JSON value, whole."""
        self.peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                self._widen(error)
                continue
            # A number that the window cuts goes on behind it ("0." of "0.5" reads as 0).
            if self._text[end : end + 1] not in _BEHIND:
                length = end - self._at
                if self._more():
                    continue
                end = length
            self._at = end
            return value

    def _widen(self, error: json.JSONDecodeError) -> None:
        """Make the window twice as large, because the value in it may be cut off by its end."""
        wanted = 2 * (len(self._text) - self._at)
        if wanted > _LARGEST_VALUE or not self._more():
            raise DatasetError(f"{self.path}: not readable as JSON, or cut off ({error.msg}); fetch it anew") from error
        while len(self._text) < wanted and self._more():
            pass

    def items(self) -> Iterator[Any]:
        """The elements of the array that comes next."""
        self.take("[")
        if self.peek() == "]":
            self.take("]")
            return
        while True:
            yield self.value()
            if self.take(",]") == "]":
                return

    def members(self) -> Iterator[str]:
        """The keys of the object that comes next; the caller reads the value behind each."""
        self.take("{")
        if self.peek() == "}":
            self.take("}")
            return
        while True:
            key = self.value()
            self.take(":")
            yield key
            if self.take(",}") == "}":
                return


def array_items(path: Path) -> Iterator[Any]:
    """The elements of a file that holds one JSON array.

    Raises:
        DatasetError: missing, cut off, or something else than an array.
    """
    reader = _Reader(path)
    try:
        yield from reader.items()
    finally:
        reader.close()


def object_items(path: Path, keys: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """(key, element) of the arrays under these keys of a file that holds one JSON object, in the file's order.

    Raises:
        DatasetError: missing, cut off, not an object, or a wanted key is not in it.
    """
    reader = _Reader(path)
    found = set()
    try:
        reader.take("{")
        more = reader.peek() != "}"
        while more:
            key = reader.value()
            reader.take(":")
            if key in keys:
                found.add(key)
                for item in reader.items():
                    yield key, item
            else:
                reader.value()
            more = reader.take(",}") == ","
    finally:
        reader.close()
    missing = [key for key in keys if key not in found]
    if missing:
        raise DatasetError(f"{path}: lacks {', '.join(missing)}; expected an annotation file in COCO's layout")


def nested_items(path: Path) -> Iterator[tuple[str, str, Any]]:
    """(outer key, inner key, value) of a file that holds one JSON object of objects, in the file's order.

    Raises:
        DatasetError: missing, cut off, or not an object of objects.
    """
    reader = _Reader(path)
    try:
        for outer in reader.members():
            for inner in reader.members():
                yield outer, inner, reader.value()
    finally:
        reader.close()
