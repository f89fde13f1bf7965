"""From the implicit hand to a closed mesh of even triangles (isotropic remeshing, Botsch & Kobbelt 2004)."""

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


# Chords of a coarse mesh cut into a convex surface; its vertices stand this far outside instead, mm.
CHORD = 0.2


def remesh(surface: HandSurface, tips: list[Array], scale: float) -> tuple[Array, Faces, Faces]:
    """Points, faces and the five vertices that stand at the fingertips; edges are about `scale` times `edge_length`."""
    points, faces = marching_cubes(surface)
    fixed: Faces = np.empty(0, dtype=np.int64)
    for turn in range(14):
        size = edge_length(points, tips) * scale
        points, faces = split_long(points, faces, size)
        size = edge_length(points, tips) * scale
        points, faces = collapse_short(points, faces, size, set(fixed.tolist()))
        if turn >= 6:
            # The tips are vertices of their own; they may have been renumbered.
            fixed = np.array([int(np.argmin(np.linalg.norm(points - t, axis=1))) for t in tips], dtype=np.int64)
            points[fixed] = surface.project(np.stack(tips), level=CHORD)
        faces = flip_edges(points, faces)
        points = relax(surface, points, faces, fixed)
    for _ in range(4):
        faces = flip_edges(points, faces)
        points = relax(surface, points, faces, fixed)
    if not is_closed(faces, len(points)):
        raise RuntimeError("the mesh is not a closed sphere; try another scale")
    return points, faces, fixed


def edge_length(points: Array, tips: list[Array]) -> Array:
    """Wanted edge length at each point, mm: coarse on palm and stub, fine on fingers, finest at their tips."""
    to_tip = np.min([np.linalg.norm(points - tip, axis=1) for tip in tips], axis=0)
    distal = np.maximum(-points[:, 0] - 62.0, np.hypot(points[:, 0] + 30.0, points[:, 2]) - 46.0)
    return np.asarray(
        8.6 - 3.4 * np.clip(distal / 35.0, 0.0, 1.0) - 1.5 * np.clip(1.0 - (to_tip - 3.0) / 9.0, 0.0, 1.0)
    )


def _sides(faces: Faces) -> dict[tuple[int, int], int]:
    sides = {}
    for f, (a, b, c) in enumerate(faces.tolist()):
        sides[a, b] = sides[b, c] = sides[c, a] = f
    return sides


def _opposite(face: Faces, a: int, b: int) -> int:
    return int(next(v for v in face.tolist() if v not in (a, b)))


def split_long(points: Array, faces: Faces, size: Array) -> tuple[Array, Faces]:
    """Halve edges longer than 4/3 of the wanted length, longest first, each face at most once."""
    edges = edges_of(faces)
    length = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1)
    ratio = length / size[edges].mean(axis=1)
    sides = _sides(faces)
    touched: set[int] = set()
    rows, extra, made = faces.copy(), [], []
    for e in np.argsort(-ratio):
        if ratio[e] < 4 / 3:
            break
        a, b = (int(v) for v in edges[e])
        f, g = sides[a, b], sides[b, a]
        if f in touched or g in touched:
            continue
        c, d = _opposite(faces[f], a, b), _opposite(faces[g], a, b)
        m = len(points) + len(made)
        made.append((points[a] + points[b]) / 2)
        rows[f], rows[g] = (a, m, c), (b, m, d)
        extra += [(m, b, c), (m, a, d)]
        touched |= {f, g}
    if not made:
        return points, rows
    return np.concatenate([points, np.array(made)]), np.concatenate([rows, np.array(extra, dtype=np.int64)])


def collapse_short(points: Array, faces: Faces, size: Array, fixed: set[int]) -> tuple[Array, Faces]:
    """Join the ends of edges shorter than 4/5 of the wanted length, where the surface keeps its shape and topology."""
    points = points.copy()
    for _ in range(60):
        edges = edges_of(faces)
        length = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1)
        ratio = length / size[edges].mean(axis=1)
        around: list[set[int]] = [set() for _ in points]
        for a, b in edges.tolist():
            around[a].add(b)
            around[b].add(a)
        locked: set[int] = set()
        target = np.arange(len(points))
        for e in np.argsort(ratio):
            if ratio[e] > 0.8:
                break
            a, b = (int(v) for v in edges[e])
            ring = around[a] | around[b]
            # Joining is safe when exactly the two shared triangles vanish, and neighbours stay as they are this round.
            if len(around[a] & around[b]) != 2 or ring & locked or (a in fixed and b in fixed) or len(ring) > 11:
                continue
            if b in fixed:
                a, b = b, a
            place = points[a] if a in fixed else (points[a] + points[b]) / 2
            far = np.array(list(ring - {a, b}))
            if (np.linalg.norm(points[far] - place, axis=1) > 4 / 3 * size[far]).any():
                continue
            points[a], target[b] = place, a
            locked |= ring
        if not locked:
            break
        faces = target[faces]
        degenerate = (faces[:, 0] == faces[:, 1]) | (faces[:, 1] == faces[:, 2]) | (faces[:, 2] == faces[:, 0])
        faces = faces[~degenerate]
        kept, inverse = np.unique(faces, return_inverse=True)
        if fixed:
            fixed = {int(np.searchsorted(kept, v)) for v in fixed}
        points, size, faces = points[kept], size[kept], inverse.reshape(-1, 3).astype(np.int64)
    return points, faces


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
    sides = _sides(faces)
    touched: set[int] = set()
    neighbours = {tuple(e) for e in edges_of(faces).tolist()}
    for (a, b), f in list(sides.items()):
        g = sides[b, a]
        if a > b or f in touched or g in touched:
            continue
        c = _opposite(faces[f], a, b)
        d = _opposite(faces[g], a, b)
        before = np.abs(degree[[a, b, c, d]] - 6).sum()
        after = np.abs(degree[[a, b, c, d]] + np.array([-1, -1, 1, 1]) - 6).sum()
        if after >= before or (min(c, d), max(c, d)) in neighbours:
            continue
        old = np.cross(points[b] - points[a], points[c] - points[a]) + np.cross(
            points[a] - points[b], points[d] - points[b]
        )
        new = [
            np.cross(points[d] - points[c], points[b] - points[c]),
            np.cross(points[c] - points[d], points[a] - points[d]),
        ]
        if min(float(n @ old) / (np.linalg.norm(n) * np.linalg.norm(old) + 1e-9) for n in new) < 0.75:
            continue
        faces[f], faces[g] = (c, d, b), (d, c, a)
        degree[[a, b]] -= 1
        degree[[c, d]] += 1
        neighbours.discard((a, b))
        neighbours.add((min(c, d), max(c, d)))
        touched |= {f, g}
    return faces


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
