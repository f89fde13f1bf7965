"""Vertices of mesh files: Wavefront .obj and Stanford .ply, read as numbers and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from hand_pose_ros.types import FloatArray, InvalidData

# A mesh of a graspable object; larger files are not what was meant.
MAX_BYTES: Final = 256 * 1024 * 1024
_PLY_TYPES: Final = {
    **dict.fromkeys(("char", "int8"), "i1"),
    **dict.fromkeys(("uchar", "uint8"), "u1"),
    **dict.fromkeys(("short", "int16"), "i2"),
    **dict.fromkeys(("ushort", "uint16"), "u2"),
    **dict.fromkeys(("int", "int32"), "i4"),
    **dict.fromkeys(("uint", "uint32"), "u4"),
    **dict.fromkeys(("float", "float32"), "f4"),
    **dict.fromkeys(("double", "float64"), "f8"),
}
_PLY_FORMATS: Final = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}


class MeshFileError(InvalidData):
    """A mesh file that cannot be read; the text says what was expected, what came and the remedy."""


def read_mesh_vertices(path: str | Path) -> FloatArray:
    """The vertices (V, 3) float32 of an .obj or .ply file, in the file's unit.

    Raises:
        MeshFileError: no such file, another format, damaged, or without vertices.
    """
    path = Path(path).expanduser()
    readers = {".obj": _obj, ".ply": _ply}
    if path.suffix.lower() not in readers:
        raise MeshFileError(f"{path}: expected an .obj or .ply file; convert the mesh")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise MeshFileError(f"{path}: expected at most {MAX_BYTES >> 20} MB; simplify the mesh")
        content = path.read_bytes()
    except OSError as error:
        raise MeshFileError(f"{path}: cannot be read ({error.strerror or error})") from error
    try:
        vertices = readers[path.suffix.lower()](content)
    except (ValueError, IndexError, KeyError) as error:
        raise MeshFileError(f"{path}: damaged or of an unknown layout ({error}); export it anew") from error
    if not len(vertices) or not np.isfinite(vertices).all():
        raise MeshFileError(f"{path}: expected finite vertices, found {len(vertices)}; is this a mesh?")
    return vertices


def _obj(content: bytes) -> FloatArray:
    rows = [line.split()[1:4] for line in content.splitlines() if line.startswith(b"v ")]
    return np.array(rows, dtype=np.float32).reshape(-1, 3)


def _ply(content: bytes) -> FloatArray:
    marker = b"end_header\n"
    end = content.replace(b"\r\n", b"\n", 200).find(marker) if b"\r" in content[:2000] else content.find(marker)
    if not content.startswith(b"ply") or end < 0:
        raise ValueError("no ply header")
    text = content.replace(b"\r\n", b"\n", 200) if b"\r" in content[:2000] else content
    order, count, columns = _ply_header(text[:end].decode("ascii", "replace"))
    body = text[end + len(marker) :]
    if not order:
        numbers = [line.split()[: len(columns)] for line in body.splitlines()[:count]]
        table = np.array(numbers, dtype=np.float64).reshape(count, len(columns))
        names = [name for name, _ in columns]
        return table[:, [names.index(axis) for axis in "xyz"]].astype(np.float32)
    layout = np.dtype([(name, order + kind) for name, kind in columns])
    if len(body) < count * layout.itemsize:
        raise ValueError(f"{count} vertices announced, {len(body)} bytes left")
    rows = np.frombuffer(body, dtype=layout, count=count)
    return np.stack([rows[axis].astype(np.float32) for axis in "xyz"], axis=1)


def _ply_header(header: str) -> tuple[str, int, list[tuple[str, str]]]:
    """Byte order ("" for text), number of vertices, and name and type of each vertex property."""
    order, count, columns, here, elements = "", -1, [], "", 0
    for words in (line.split() for line in header.splitlines()):
        if words[:1] == ["format"]:
            order = _PLY_FORMATS[words[1]]
        elif words[:1] == ["element"]:
            here, elements = words[1], elements + 1
            if here == "vertex":
                count = int(words[2])
                if elements > 1:
                    raise ValueError("the vertices are not the first element")
        elif words[:1] == ["property"] and here == "vertex":
            columns.append((words[2], _PLY_TYPES[words[1]]))
    if count < 0:
        raise ValueError("no element 'vertex'")
    return order, count, columns
