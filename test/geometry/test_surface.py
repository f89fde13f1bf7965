"""Points over the surface of boxes and meshes."""

from __future__ import annotations

import numpy as np
import pytest

from hand_pose_ros.geometry.surface import box_surface, mesh_surface
from hand_pose_ros.types import InvalidData

EXTENT = np.array([0.2, 0.1, 0.05])


def test_a_boxs_points_lie_on_its_faces_by_their_areas() -> None:
    surface = box_surface(EXTENT, 400)
    axis = np.abs(surface.normals).argmax(axis=1)
    assert np.allclose(np.abs(surface.normals).sum(axis=1), 1.0)
    own = np.take_along_axis(surface.points, axis[:, None], axis=1)[:, 0]
    outwards = np.take_along_axis(surface.normals, axis[:, None], axis=1)[:, 0]
    np.testing.assert_allclose(own, outwards * EXTENT[axis] / 2, atol=1e-6)
    assert (np.abs(surface.points) <= EXTENT / 2 + 1e-6).all()
    areas = 2 * np.array([EXTENT[1] * EXTENT[2], EXTENT[0] * EXTENT[2], EXTENT[0] * EXTENT[1]])
    assert surface.area == pytest.approx(areas.sum())
    for side in (-1, 1):
        share = [np.mean((axis == k) & (outwards == side)) for k in range(3)]
        np.testing.assert_allclose(share, areas / areas.sum() / 2, atol=0.01)
    # Evenly: in each quarter of the largest face as many.
    face = surface.points[(axis == 2) & (outwards > 0)]
    quarters = [((face[:, 0] > 0) == a) & ((face[:, 1] > 0) == b) for a in (False, True) for b in (False, True)]
    np.testing.assert_allclose([quarter.mean() for quarter in quarters], 0.25, atol=0.06)


def test_a_mesh_without_faces_has_no_surface() -> None:
    with pytest.raises(InvalidData, match="expected triangles with an area"):
        mesh_surface(np.zeros((3, 3)), np.zeros((0, 3), dtype=np.int64))
    with pytest.raises(InvalidData, match="expected triangles with an area"):
        mesh_surface(np.zeros((3, 3)), np.array([[0, 1, 2]]))
