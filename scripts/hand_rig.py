"""Skinning weights, shape space, joint regressor and pose correctives of the bundled hand."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from hand_anatomy import FINGERS, FIRST_JOINT, LONG_FINGERS, Array, HandSurface, Skeleton, unit, vector
from hand_mesh import Faces, cotangent_laplacian

PARENTS = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14)


def bones(s: Skeleton) -> list[tuple[int, Array, Array]]:
    """(joint it turns with, start, end): phalanges; for the wrist, forearm and metacarpals."""
    out = [(0, vector(-26, 0, -2), vector(10, 2, -2))]
    for finger in LONG_FINGERS:
        head = s.joints[FIRST_JOINT[finger]]
        out.append((0, s.metacarpal_bases[finger], head))
    for finger in FINGERS:
        first = FIRST_JOINT[finger]
        chain = [s.joints[first], s.joints[first + 1], s.joints[first + 2], s.bone_ends[finger]]
        out += [(first + k, chain[k], chain[k + 1]) for k in range(3)]
    return out


def segment_distance(points: Array, a: Array, b: Array) -> Array:
    """Distance of (N, 3) points to the segment a-b."""
    d = b - a
    t = np.clip((points - a) @ d / (d @ d), 0, 1)
    return np.asarray(np.linalg.norm(points - a - t[:, None] * d, axis=1))


def owner(s: Skeleton, surface: HandSurface, points: Array) -> tuple[Array, Array]:
    """The finger (-1 palm, 0..4) whose skin a vertex is, and the distance to that skin, mm."""
    skins = [surface._blend(surface.palm, points, None, 8.0)]
    skins += [surface._blend(surface.fingers[finger], points, None, 4.0) for finger in FINGERS]
    return np.argmin(np.stack(skins), axis=0) - 1, np.min(np.stack(skins), axis=0)


def skin_weights(s: Skeleton, surface: HandSurface, points: Array, faces: Faces) -> Array:
    """(V, 16) by heat diffusion over the surface from the nearest bone (Baran & Popovic 2007)."""
    count = len(points)
    who, _ = owner(s, surface, points)
    best = np.full(count, np.inf)
    joint = np.zeros(count, dtype=np.int64)
    for j, a, b in bones(s):
        finger = -1 if j == 0 else next(k for k, f in enumerate(FINGERS) if 0 <= j - FIRST_JOINT[f] < 3)
        d = segment_distance(points, a, b)
        # A vertex of one finger never takes another finger's bone; palm skin may take the palm's or a finger's base.
        allowed = (who == finger) | (finger == -1) | ((who == -1) & (j in {FIRST_JOINT[f] for f in FINGERS}))
        d = np.where(allowed, d, np.inf)
        closer = d < best
        best[closer], joint[closer] = d[closer], j
    laplacian, area = cotangent_laplacian(points, faces)
    heat = sp.diags(0.55 * area / np.maximum(best, 3.0) ** 2)
    target = np.zeros((count, 16))
    target[np.arange(count), joint] = 1.0
    weights = spla.spsolve((laplacian + heat).tocsc(), heat @ target)
    weights = np.maximum(weights, 0.0)
    # The webs belong to the first phalanges: no pull of the second joint well before it.
    for finger in FINGERS:
        first = FIRST_JOINT[finger]
        axis = unit(s.joints[first + 1] - s.joints[first])
        ahead = np.clip(((points - s.joints[first + 1]) @ axis + 15.0) / 9.0, 0.0, 1.0)
        gate = ahead * ahead * (3 - 2 * ahead)
        weights[:, first] += weights[:, first + 1] * (1 - gate)
        weights[:, first + 1] *= gate
    weights[weights < 0.02] = 0.0
    # At most four joints per vertex, as renderers expect.
    cut = np.sort(weights, axis=1)[:, -4][:, None]
    weights = np.where(weights < cut, 0.0, weights)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def shape_space(s: Skeleton, points: Array, weights: Array) -> tuple[Array, Array]:
    """Ten directions as vertex (V, 3, 10) and joint (16, 3, 10) displacements per standard deviation, mm.

    Each bone gets a linear field: its own displacement, a stretch along it and a swelling around it; the skin
    follows with the skinning weights, the joints exactly.
    """
    base = {f: [s.joints[FIRST_JOINT[f] + k] for k in range(3)] + [s.bone_ends[f]] for f in FINGERS}
    vertex_dirs, joint_dirs = [], []
    long_ = set(LONG_FINGERS)
    spaces = (
        {"size": 0.055},
        {"length": dict.fromkeys(long_, 0.04)},
        {"thick": dict.fromkeys(FINGERS, 0.075)},
        {"palm": (0.0, 0.0, 0.055)},
        {"palm": (0.045, 0.0, 0.0)},
        {"length": {"thumb": 0.05}},
        {"length": {"index": 0.035}},
        {"length": {"ring": 0.035}},
        {"length": {"little": 0.055}},
        {"palm": (0.0, 0.07, 0.0), "thick": dict.fromkeys(FINGERS, 0.03)},
    )
    for space in spaces:
        scale = np.array(space.get("palm", (0.0, 0.0, 0.0))) + space.get("size", 0.0)
        joint_move = np.zeros((16, 3))
        field = np.empty((16, *points.shape))
        field[0] = points * scale
        for finger in FINGERS:
            chain = base[finger]
            first = FIRST_JOINT[finger]
            length = space.get("length", {}).get(finger, 0.0) + space.get("size", 0.0)
            thick = space.get("thick", {}).get(finger, 0.0) + space.get("size", 0.0)
            move = chain[0] * scale
            for k in range(3):
                joint = first + k
                joint_move[joint] = move
                axis = unit(chain[k + 1] - chain[k])
                local = points - chain[k]
                along = (local @ axis)[:, None] * axis
                field[joint] = move + length * along + thick * (local - along)
                move = move + length * (chain[k + 1] - chain[k])
        vertex_dirs.append(np.einsum("vj,jvc->vc", weights, field))
        joint_dirs.append(joint_move)
    return np.stack(vertex_dirs, axis=-1), np.stack(joint_dirs, axis=-1)


def joint_regressor(points: Array, shapedirs: Array, joints: Array, joint_dirs: Array) -> Array:
    """(16, V) rows near each joint that sum to one and give the joint centres exactly over the whole shape space."""
    count = len(points)
    regressor = np.zeros((16, count))
    # The sum to one matters as much as the joint's place: 100 mm stand for it.
    columns = np.concatenate([np.full((count, 1), 100.0), points, shapedirs.reshape(count, -1)], axis=1)
    for j in range(16):
        wanted = np.concatenate([[100.0], joints[j], joint_dirs[j].ravel()])
        distance = np.linalg.norm(points - joints[j], axis=1)
        near = np.argsort(distance)[: 150 if j else 220]
        prior = np.exp(-((distance[near] / distance[near].mean()) ** 2) * 1.2)
        a = columns[near].copy()
        start = prior / prior.sum()
        # Weighted minimum change of the prior that meets all constraints.
        gap = wanted - a.T @ start
        scaled = a * prior[:, None]
        change = prior * (a @ np.linalg.lstsq(a.T @ scaled, gap, rcond=1e-10)[0])
        regressor[j, near] = start + change
        error = np.abs(columns.T @ regressor[j] - wanted).max()
        if error > 0.2:
            raise RuntimeError(f"joint {j}: regressor misses its constraints by {error:.3f} mm")
    return regressor
