"""YCB models: numbers, published symmetries, meshes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hand_pose_ros.datasets.base import DatasetError
from hand_pose_ros.datasets.ycb import NAMES, TABLES, model_number, read_vertices, symmetry_of


def test_tables_are_the_published_ones() -> None:
    sizes = {
        table: {model_number(name): len(symmetry_of(name, table).rotations()) for name in NAMES} for table in TABLES
    }
    alone = dict.fromkeys((11, 35, 37), 1)
    assert sizes["ho3d"] == {3: 1, 4: 1, 6: 2, 10: 2, 21: 2, 19: 1, 24: 1, 25: 1, **alone}
    assert sizes["h2o3d"] == {3: 2, 4: 2, 6: 2, 10: 2, 21: 2, 19: 72, 24: 72, 25: 72, **alone}
    assert sizes["training"] == {3: 2, 4: 2, 6: 2, 10: 2, 21: 2, 19: 1, 24: 72, 25: 1, **alone}


def test_wrong_names_are_refused() -> None:
    with pytest.raises(DatasetError, match="YCB model as 006_mustard_bottle, got 'cup'"):
        symmetry_of("cup", "ho3d")
    with pytest.raises(DatasetError, match="ho3d, h2o3d, training, got 'ycb'"):
        symmetry_of(NAMES[0], "ycb")


def test_vertices_of_a_mesh(tmp_path: Path) -> None:
    path = tmp_path / "mesh.obj"
    path.write_text(
        "# mesh\nmtllib a.mtl\nv 0.1 -0.2 3e-1\nvt 0.5 0.5\nvn 0 0 1\nv 1 2 3 0.5 0.5 0.5\nf 1/1/1 2/1/1 1/1/1\n"
    )
    np.testing.assert_allclose(read_vertices(path), [[0.1, -0.2, 0.3], [1, 2, 3]])


@pytest.mark.parametrize(
    ("content", "says"),
    [("# nothing\n", "found 0"), ("v 1 2 x\n", "expected vertices as"), ("v 1 2 nan\n", "found 1"), ("", "empty")],
)
def test_a_broken_mesh_is_refused(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "mesh.obj"
    path.write_text(content)
    with pytest.raises(DatasetError, match=says):
        read_vertices(path)
