"""Mesh files: vertices and triangles of Wavefront .obj and Stanford .ply, read as numbers and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hand_pose_ros.types import FloatArray, InvalidData

IndexArray = NDArray[np.int64]
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


@dataclass(frozen=True, eq=False)
class Mesh:
    """vertices (V, 3) in the file's unit; faces (F, 3) triangles, none where the file has none."""

    vertices: FloatArray
    faces: IndexArray


class _Element(NamedTuple):
    """Of a .ply file: name, count, and the properties' names and types; a list's type is "list", that of its length,
    and that of its items."""

    name: str
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody asks for
    columns: list[tuple[str, str]]


def read_mesh(path: str | Path) -> Mesh:
    """The mesh of an .obj or .ply file; faces of more than three corners become fans of triangles.

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
        mesh = readers[path.suffix.lower()](content)
    except (ValueError, IndexError, KeyError) as error:
        raise MeshFileError(f"{path}: damaged or of an unknown layout ({error}); export it anew") from error
    count = len(mesh.vertices)
    if not count or not np.isfinite(mesh.vertices).all():
        raise MeshFileError(f"{path}: expected finite vertices, found {count}; is this a mesh?")
    if len(mesh.faces) and not (mesh.faces.min() >= 0 and mesh.faces.max() < count):
        raise MeshFileError(f"{path}: a face names a vertex that is not among the {count}; export it anew")
    return mesh


def _obj(content: bytes) -> Mesh:
    rows: list[list[bytes]] = []
    faces: list[list[int]] = []
    for line in content.splitlines():
        if line.startswith(b"v "):
            rows.append(line.split()[1:4])
        elif line.startswith(b"f "):
            # Negative numbers count back from the last vertex so far.
            named = [int(word.split(b"/")[0]) for word in line.split()[1:]]
            faces.append([number - 1 if number > 0 else len(rows) + number for number in named])
    return Mesh(np.array(rows, dtype=np.float32).reshape(-1, 3), _triangles(faces))


def _triangles(polygons: Sequence[Sequence[int]]) -> IndexArray:
    fans = [(face[0], face[k], face[k + 1]) for face in polygons for k in range(1, len(face) - 1)]
    return np.array(fans, dtype=np.int64).reshape(-1, 3)


def _ply(content: bytes) -> Mesh:
    header, marker, body = content.partition(b"end_header")
    if not content.startswith(b"ply") or not marker:
        raise ValueError("no ply header")
    body = body.removeprefix(b"\r").removeprefix(b"\n")
    order, elements = _ply_header(header.decode("ascii", "replace"))
    _, count, columns = elements[0]
    faces = elements[1] if len(elements) > 1 and elements[1].name == "face" else None
    names = [name for name, _ in columns]
    if not order:
        lines = body.splitlines()
        table = np.array([line.split()[: len(columns)] for line in lines[:count]], dtype=np.float64)
        vertices = table.reshape(count, len(columns))[:, [names.index(axis) for axis in "xyz"]].astype(np.float32)
        rows = [line.split() for line in lines[count : count + faces.count]] if faces else []
        return Mesh(vertices, _triangles([[int(word) for word in row[1 : 1 + int(row[0])]] for row in rows]))
    layout = np.dtype([(name, order + kind) for name, kind in columns])
    if len(body) < count * layout.itemsize:
        raise ValueError(f"{count} vertices announced, {len(body)} bytes left")
    packed = np.frombuffer(body, dtype=layout, count=count)
    vertices = np.stack([packed[axis].astype(np.float32) for axis in "xyz"], axis=1)
    return Mesh(vertices, _packed_faces(body[count * layout.itemsize :], order, faces) if faces else _triangles(()))


def _packed_faces(body: bytes, order: str, element: _Element) -> IndexArray:
    """Of a binary file: every face begins with its list of corners; what else it has comes after it."""
    _, count, columns = element
    if not columns or not columns[0][1].startswith("list "):
        raise ValueError("faces that do not begin with their corners")
    sizes, corners = (order + kind for kind in columns[0][1].split()[1:])
    rest = [(name, order + kind) for name, kind in columns[1:]]
    triangle = np.dtype([("size", sizes), ("corners", corners, 3), *rest])
    if len(body) >= count * triangle.itemsize:
        table = np.frombuffer(body, dtype=triangle, count=count)
        if (table["size"] == 3).all():
            return np.asarray(table["corners"], dtype=np.int64)
    polygons, at, extra = [], 0, sum(np.dtype(kind).itemsize for _, kind in rest)
    for _ in range(count):
        size = int(np.frombuffer(body, dtype=sizes, count=1, offset=at)[0])
        at += np.dtype(sizes).itemsize
        polygons.append(np.frombuffer(body, dtype=corners, count=size, offset=at).tolist())
        at += size * np.dtype(corners).itemsize + extra
    return _triangles(polygons)


def _ply_header(header: str) -> tuple[str, list[_Element]]:
    """Byte order ("" for text), and the elements."""
    order = ""
    elements: list[_Element] = []
    for words in (line.split() for line in header.splitlines()):
        if words[:1] == ["format"]:
            order = _PLY_FORMATS[words[1]]
        elif words[:1] == ["element"]:
            elements.append(_Element(words[1], int(words[2]), []))
        elif words[:2] == ["property", "list"] and elements:
            elements[-1].columns.append((words[4], f"list {_PLY_TYPES[words[2]]} {_PLY_TYPES[words[3]]}"))
        elif words[:1] == ["property"] and elements:
            elements[-1].columns.append((words[2], _PLY_TYPES[words[1]]))
    if not any(element.name == "vertex" for element in elements):
        raise ValueError("no element 'vertex'")
    if elements[0].name != "vertex":
        raise ValueError("the vertices are not the first element")
    return order, elements
