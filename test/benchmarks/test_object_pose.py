"""What the benchmark of object poses tells the pipeline of a thing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.object_pose import round_mesh, told
from hand_pose_ros.geometry.mesh_file import read_mesh
from hand_pose_ros.geometry.surface import mesh_surface
from hand_pose_ros.types import ObjectEstimate


def _thing(name: str, extent: tuple[float, float, float]) -> ObjectEstimate:
    return ObjectEstimate(name, np.eye(3, dtype=np.float32), np.float32([0, 0, 0.5]), np.float32(extent), 1.0)


@pytest.mark.parametrize(
    ("name", "area"),
    [
        ("cylinder", np.pi * 0.06 * 0.2 + 2 * np.pi * 0.03**2),
        ("capsule", np.pi * 0.06 * 0.2),
    ],
)
def test_round_things_are_meshes_as_large_seen_from_outside(tmp_path: Path, name: str, area: float) -> None:
    mesh = read_mesh(round_mesh(_thing(name, (0.06, 0.06, 0.2)), tmp_path / "thing.obj"))
    np.testing.assert_allclose(2 * np.abs(mesh.vertices).max(axis=0), [0.06, 0.06, 0.2], atol=5e-4)
    surface = mesh_surface(mesh.vertices, mesh.faces)
    assert surface.area == pytest.approx(area, rel=0.02)
    assert ((surface.points * surface.normals).sum(axis=1) > 0).all()


def test_a_box_is_told_by_its_size(tmp_path: Path) -> None:
    options = told(_thing("box", (0.1, 0.2, 0.3)), tmp_path)
    assert options["object.symmetry"] == "z2 x2"
    assert [options[f"object.size_{axis}"] for axis in "xyz"] == pytest.approx([0.1, 0.2, 0.3])
    assert not list(tmp_path.iterdir())
