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


def is_closed(faces: Faces, count: int) -> bool:
    """Whether every edge has two faces and the surface is a sphere in topology."""
    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    _, seen = np.unique(np.sort(pairs, axis=1), axis=0, return_counts=True)
    euler = count - len(seen) + len(faces)
    return bool((seen == 2).all()) and euler == 2


def even_triangles(surface: HandSurface, count: int, tips: list[Array]) -> tuple[Array, Faces, Faces]:
    """Remesh to about `count` vertices, denser on the fingers, by centroidal clustering (Valette & Chassery 2004).

    Returns points, faces and the vertices that stand at the fingertips.
    """
    import pyacvd
    import pyvista

    vertices, faces = marching_cubes(surface)
    mesh = pyvista.PolyData(vertices, np.column_stack([np.full(len(faces), 3), faces]))
    # Clusters do not always join into a manifold; a few more or fewer of them do.
    for wanted in range(count, count + 40):
        cluster = pyacvd.Clustering(mesh, weights=density(vertices, tips))
        cluster.cluster(wanted)
        coarse = cluster.create_mesh()
        points = np.asarray(coarse.points, dtype=np.float64)
        triangles = np.asarray(coarse.faces).reshape(-1, 4)[:, 1:].astype(np.int64)
        points, triangles = outward(points, triangles)
        if is_closed(triangles, len(points)):
            break
    points = surface.project(points, level=CHORD)
    chosen = nearest_vertices(points, tips)
    points[chosen] = surface.project(np.stack(tips), level=CHORD)
    for _ in range(4):
        triangles = flip_edges(points, triangles)
        points = relax(surface, points, triangles, chosen)
    if not is_closed(triangles, len(points)):
        raise RuntimeError("the mesh is not a closed sphere; try another number of vertices")
    return points, triangles, chosen


def density(vertices: Array, tips: list[Array]) -> Array:
    """Wanted density: 1 on the stub and palm, rising towards the fingers and their tips."""
    to_tip = np.min([np.linalg.norm(vertices - tip, axis=1) for tip in tips], axis=0)
    distal = np.maximum(-vertices[:, 0] - 60.0, np.hypot(vertices[:, 0] + 30.0, vertices[:, 2]) - 45.0)
    finger = np.clip(distal / 40.0, 0.0, 1.0)
    return np.asarray(1.0 + 3.5 * finger + 5.0 * np.clip(1.0 - to_tip / 11.0, 0.0, 1.0))


# Chords of a coarse mesh cut into a convex surface; its vertices stand this far outside instead, mm.
CHORD = 0.2


def relax(surface: HandSurface, points: Array, faces: Faces, fixed: Faces, rounds: int = 4) -> Array:
    """Tangential smoothing, each time projected back to the surface; the fixed vertices only hold their neighbours."""
    near = adjacency(faces, len(points))
    degree = np.asarray(near.sum(axis=1))
    anchors = points[fixed].copy()
    for _ in range(rounds):
        move = (near @ points) / degree - points
        normal = surface.gradient(points)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        points = points + 0.5 * (move - (move * normal).sum(1, keepdims=True) * normal)
        points = surface.project(points, steps=2, level=CHORD)
        points[fixed] = anchors
    return points


def flip_edges(points: Array, faces: Faces) -> Faces:
    """One round of flips towards six triangles at each vertex, where the fold stays small."""
    faces = faces.copy()
    degree = np.bincount(faces.ravel(), minlength=len(points))
    sides: dict[tuple[int, int], int] = {}
    for f, (a, b, c) in enumerate(faces.tolist()):
        sides[a, b] = sides[b, c] = sides[c, a] = f
    touched: set[int] = set()
    neighbours = {tuple(e) for e in edges_of(faces).tolist()}
    for (a, b), f in list(sides.items()):
        g = sides[b, a]
        if a > b or f in touched or g in touched:
            continue
        c = next(v for v in faces[f].tolist() if v not in (a, b))
        d = next(v for v in faces[g].tolist() if v not in (a, b))
        before = np.abs(degree[[a, b, c, d]] - 6).sum()
        after = np.abs(degree[[a, b, c, d]] + np.array([-1, -1, 1, 1]) - 6).sum()
        if after >= before or (min(c, d), max(c, d)) in neighbours:
            continue
        old = np.cross(points[b] - points[a], points[c] - points[a]) + np.cross(points[a] - points[b], points[d] - points[b])
        new = [np.cross(points[d] - points[c], points[b] - points[c]), np.cross(points[c] - points[d], points[a] - points[d])]
        if min(float(n @ old) / (np.linalg.norm(n) * np.linalg.norm(old) + 1e-9) for n in new) < 0.75:
            continue
        faces[f], faces[g] = (c, d, b), (d, c, a)
        degree[[a, b]] -= 1
        degree[[c, d]] += 1
        neighbours.discard((a, b))
        neighbours.add((min(c, d), max(c, d)))
        touched |= {f, g}
    return faces


def nearest_vertices(points: Array, targets: list[Array]) -> Faces:
    """The vertex nearest to each target."""
    return np.array([int(np.argmin(np.linalg.norm(points - t, axis=1))) for t in targets], dtype=np.int64)


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
