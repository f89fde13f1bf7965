from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hand_pose_ros.geometry.mesh_file import MeshFileError, read_mesh

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
    np.testing.assert_allclose(read_mesh(path).vertices, VERTICES)


def test_ply(tmp_path: Path) -> None:
    np.testing.assert_allclose(read_mesh(_text(tmp_path / "a.ply")).vertices, VERTICES)
    windows = tmp_path / "windows.ply"
    windows.write_bytes((tmp_path / "a.ply").read_bytes().replace(b"\n", b"\r\n"))
    np.testing.assert_allclose(read_mesh(windows).vertices, VERTICES)


@pytest.mark.parametrize(
    ("order", "form", "kind", "code"),
    [
        ("<", "binary_little_endian", "float", "f4"),
        ("<", "binary_little_endian", "double", "f8"),
        (">", "binary_big_endian", "float32", "f4"),
    ],
)
def test_binary_ply(tmp_path: Path, order: str, form: str, kind: str, code: str) -> None:
    np.testing.assert_allclose(read_mesh(_binary(tmp_path / "b.ply", order, form, kind, code)).vertices, VERTICES)


def test_faces_become_triangles(tmp_path: Path) -> None:
    """Of each format; polygons are fans, negative numbers count back, and a file may have none."""
    wavefront = tmp_path / "square.obj"
    corners = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"
    wavefront.write_text(corners + "f 1/1/1 2/2/1 3//1 4\nf -4 -2 -1\n")
    np.testing.assert_array_equal(read_mesh(wavefront).faces, [[0, 1, 2], [0, 2, 3], [0, 2, 3]])
    wavefront.write_text(corners)
    assert read_mesh(wavefront).faces.shape == (0, 3)
    np.testing.assert_array_equal(read_mesh(_text(tmp_path / "a.ply")).faces, [[0, 1, 2]])
    for order, form in (("<", "binary_little_endian"), (">", "binary_big_endian")):
        packed = _binary(tmp_path / "b.ply", order, form, "float", "f4")
        head = packed.read_bytes()[:-13]
        packed.write_bytes(head + b"\x03" + np.array([2, 1, 0], dtype=order + "i4").tobytes())
        np.testing.assert_array_equal(read_mesh(packed).faces, [[2, 1, 0]])
        packed.write_bytes(head + b"\x04" + np.array([2, 1, 0, 1], dtype=order + "i4").tobytes())
        np.testing.assert_array_equal(read_mesh(packed).faces, [[2, 1, 0], [2, 0, 1]])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.stl", b"solid", "expected an .obj or .ply file"),
        ("a.obj", b"f 1 2 3\n", "expected finite vertices, found 0"),
        ("a.obj", b"v 1 2\n", "damaged or of an unknown layout"),
        ("a.obj", b"v 1 2 nan\n", "expected finite vertices"),
        ("a.obj", b"v 1 2 3\nf 1 2 3\n", "names a vertex that is not among the 1"),
        ("a.obj", b"v 1 2 3\nf 1 two 3\n", "damaged or of an unknown layout"),
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
        read_mesh(path)
    assert str(path) in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MeshFileError, match="cannot be read"):
        read_mesh(tmp_path / "none.ply")
