from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hand_pose_ros.geometry.mesh_file import MeshFileError, read_mesh_vertices

VERTICES = np.array([[0.0, 0.1, 0.2], [-0.5, 1.5, 2.5], [3.0, 4.0, 5.0]], dtype=np.float32)
HEADER = """ply
format {form} 1.0
comment made by a test
element vertex 3
property {kind} x
property {kind} y
property {kind} z
property uchar red
element face 1
property list uchar int vertex_indices
end_header
"""


def _text(path: Path) -> Path:
    rows = "".join(f"{x} {y} {z} 200\n" for x, y, z in VERTICES)
    path.write_text(HEADER.format(form="ascii", kind="float") + rows + "3 0 1 2\n")
    return path


def _binary(path: Path, order: str, form: str, kind: str, code: str) -> Path:
    table = np.zeros(3, dtype=[(axis, order + code) for axis in "xyz"] + [("red", "u1")])
    for k, axis in enumerate("xyz"):
        table[axis] = VERTICES[:, k]
    path.write_bytes(HEADER.format(form=form, kind=kind).encode() + table.tobytes() + b"\x03" + bytes(12))
    return path


def test_obj(tmp_path: Path) -> None:
    path = tmp_path / "a.obj"
    rows = "".join(f"v {x} {y} {z}\n" for x, y, z in VERTICES)
    path.write_text("# mesh\nmtllib a.mtl\n" + rows + "vn 0 0 1\nvt 0 0\nf 1/1/1 2/1/1 3/1/1\n")
    np.testing.assert_allclose(read_mesh_vertices(path), VERTICES)


def test_ply(tmp_path: Path) -> None:
    np.testing.assert_allclose(read_mesh_vertices(_text(tmp_path / "a.ply")), VERTICES)
    windows = tmp_path / "windows.ply"
    windows.write_bytes((tmp_path / "a.ply").read_bytes().replace(b"\n", b"\r\n"))
    np.testing.assert_allclose(read_mesh_vertices(windows), VERTICES)


@pytest.mark.parametrize(
    ("order", "form", "kind", "code"),
    [
        ("<", "binary_little_endian", "float", "f4"),
        ("<", "binary_little_endian", "double", "f8"),
        (">", "binary_big_endian", "float32", "f4"),
    ],
)
def test_binary_ply(tmp_path: Path, order: str, form: str, kind: str, code: str) -> None:
    np.testing.assert_allclose(read_mesh_vertices(_binary(tmp_path / "b.ply", order, form, kind, code)), VERTICES)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.stl", b"solid", "expected an .obj or .ply file"),
        ("a.obj", b"f 1 2 3\n", "expected finite vertices, found 0"),
        ("a.obj", b"v 1 2\n", "damaged or of an unknown layout"),
        ("a.obj", b"v 1 2 nan\n", "expected finite vertices"),
        ("a.ply", b"plain text", "no ply header"),
        ("a.ply", HEADER.format(form="binary_little_endian", kind="float").encode() + bytes(10), "10 bytes left"),
        ("a.ply", HEADER.format(form="ascii", kind="float").encode() + b"1 2 3 4\n", "damaged"),
        ("a.ply", HEADER.format(form="ascii", kind="string").encode(), "damaged"),
        ("a.ply", HEADER.format(form="zipped", kind="float").encode(), "damaged"),
        ("a.ply", b"ply\nformat ascii 1.0\nelement face 1\nend_header\n", "no element 'vertex'"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(MeshFileError, match=message) as error:
        read_mesh_vertices(path)
    assert str(path) in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MeshFileError, match="cannot be read"):
        read_mesh_vertices(tmp_path / "none.ply")
