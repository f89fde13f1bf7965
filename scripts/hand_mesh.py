"""From the implicit hand to a closed triangle mesh of about a thousand even triangles."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from hand_anatomy import Array, HandSurface
from numpy.typing import NDArray

Faces = NDArray[np.int64]


def marching_cubes(surface: HandSurface, step: float = 1.5) -> tuple[Array, Faces]:
    """The surface at `step` mm as vertices and outward faces."""
    from skimage.measure import marching_cubes as cubes

    low, high = np.array([-205.0, -65.0, -75.0]), np.array([34.0, 30.0, 110.0])
    axes = [np.arange(a, b, step) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    volume = surface.distance(grid.reshape(-1, 3)).reshape(grid.shape[:3])
    vertices, faces, _, _ = cubes(volume, 0.0, spacing=(step,) * 3)
    return outward(vertices + low, faces.astype(np.int64))


def outward(vertices: Array, faces: Faces) -> tuple[Array, Faces]:
    """Turn the faces so that the enclosed volume is positive."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    volume = float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum()) / 6
    return vertices, faces if volume > 0 else np.ascontiguousarray(faces[:, ::-1])


def edges_of(faces: Faces) -> Faces:
    """Unique undirected edges (E, 2)."""
    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    return np.unique(np.sort(pairs, axis=1), axis=0)


def adjacency(faces: Faces, count: int) -> sp.csr_matrix:
    """Symmetric 0/1 vertex adjacency."""
    e = edges_of(faces)
    ones = np.ones(len(e))
    m = sp.coo_matrix((ones, (e[:, 0], e[:, 1])), shape=(count, count))
    return (m + m.T).tocsr()


def check_closed(faces: Faces, count: int) -> None:
    """Raise unless every edge has two faces and the surface is a sphere in topology."""
    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    _, seen = np.unique(np.sort(pairs, axis=1), axis=0, return_counts=True)
    euler = count - len(seen) + len(faces)
    if (seen != 2).any() or euler != 2:
        raise RuntimeError(f"mesh is not a closed sphere: {(seen != 2).sum()} bad edges, Euler characteristic {euler}")


def even_triangles(surface: HandSurface, count: int) -> tuple[Array, Faces]:
    """Remesh to about `count` vertices, denser on the fingers, by centroidal clustering (Valette & Chassery 2004)."""
    import pyacvd
    import pyvista

    vertices, faces = marching_cubes(surface)
    mesh = pyvista.PolyData(vertices, np.column_stack([np.full(len(faces), 3), faces]))
    cluster = pyacvd.Clustering(mesh, weights=density(vertices))
    cluster.cluster(count)
    coarse = cluster.create_mesh()
    points = np.asarray(coarse.points, dtype=np.float64)
    triangles = np.asarray(coarse.faces).reshape(-1, 4)[:, 1:].astype(np.int64)
    points, triangles = outward(points, triangles)
    check_closed(triangles, len(points))
    return relax(surface, points, triangles), triangles


def density(vertices: Array) -> Array:
    """Wanted density: 1 on the stub and palm, rising towards the fingers and their tips."""
    distal = np.maximum(-vertices[:, 0] - 60.0, np.hypot(vertices[:, 0] + 30.0, vertices[:, 2]) - 45.0)
    return np.asarray(1.0 + 2.2 * np.clip(distal / 40.0, 0.0, 1.0))


def relax(surface: HandSurface, points: Array, faces: Faces, rounds: int = 12) -> Array:
    """Tangential smoothing, each time projected back to the surface."""
    near = adjacency(faces, len(points))
    degree = np.asarray(near.sum(axis=1))
    points = surface.project(points)
    for _ in range(rounds):
        move = (near @ points) / degree - points
        normal = surface.gradient(points)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        points = points + 0.5 * (move - (move * normal).sum(1, keepdims=True) * normal)
        points = surface.project(points, steps=2)
    return points


def place_tips(points: Array, tips: list[Array], surface: HandSurface) -> Faces:
    """Move the vertex nearest to each fingertip onto it (in place) and return the five vertices."""
    chosen = []
    for tip in tips:
        vertex = int(np.argmin(np.linalg.norm(points - tip, axis=1)))
        points[vertex] = surface.project(tip[None])[0]
        chosen.append(vertex)
    return np.array(chosen, dtype=np.int64)


def cotangent_laplacian(points: Array, faces: Faces) -> tuple[sp.csr_matrix, Array]:
    """Positive semi-definite cotangent Laplacian and the vertex areas."""
    count = len(points)
    rows, cols, values = [], [], []
    area = np.zeros(count)
    for k in range(3):
        i, j, o = faces[:, k], faces[:, (k + 1) % 3], faces[:, (k + 2) % 3]
        u, v = points[i] - points[o], points[j] - points[o]
        cross = np.linalg.norm(np.cross(u, v), axis=1)
        cot = np.clip((u * v).sum(1) / np.maximum(cross, 1e-9), 0.02, 20.0) / 2
        rows += [i, j]
        cols += [j, i]
        values += [cot, cot]
        np.add.at(area, i, cross / 6)
    w = sp.coo_matrix((np.concatenate(values), (np.concatenate(rows), np.concatenate(cols))), shape=(count, count))
    w = w.tocsr()
    return sp.diags(np.asarray(w.sum(axis=1)).ravel()) - w, area
