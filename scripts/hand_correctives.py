"""Pose blend shapes of the bundled hand, fitted to the posed implicit surface.

The implicit parts follow their bones rigidly, so their union keeps its volume where linear blend skinning caves in. In
many poses the skinned vertices are moved to that surface; the displacements, taken back to the rest pose, are regressed
on the entries of R - I of the joints nearby.
"""

from __future__ import annotations

import numpy as np
from hand_anatomy import FINGERS, FIRST_JOINT, Array, HandSurface, Skeleton, smooth_min, unit
from hand_mesh import Faces, adjacency
from hand_rig import PARENTS, owner

MAX_DISPLACEMENT = 6.0  # mm
POSES = 150


def rotation(axis: Array, degrees: float) -> Array:
    """Rodrigues' formula."""
    a = np.radians(degrees)
    k = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.asarray(np.eye(3) + np.sin(a) * k + (1 - np.cos(a)) * k @ k)


def training_rotations(s: Skeleton, rng: np.random.Generator) -> Array:
    """(16, 3, 3) joint rotations: each finger flexes, deviates and twists at random, seldom into the palm."""
    out = np.tile(np.eye(3), (16, 1, 1))
    for finger in FINGERS:
        first = FIRST_JOINT[finger]
        up = s.dorsal[finger]
        ends = [*s.joints[first : first + 3], s.bone_ends[finger]]
        along = [unit(ends[k + 1] - ends[k]) for k in range(3)]
        if finger == "thumb":
            turns = [
                (rng.uniform(-25, 40), rng.uniform(-20, 48), rng.uniform(-25, 60)),
                (rng.uniform(-15, 60), rng.uniform(-10, 10), 0.0),
                (rng.uniform(-25, 80), 0.0, 0.0),
            ]
        else:
            flex = [rng.uniform(-22, 95), rng.uniform(-3, 112), rng.uniform(-5, 80)]
            # One or two joints at a time; a whole fist would press the parts into each other.
            keep = rng.random(3) < 0.55
            if flex[0] + flex[1] > 150:
                keep[rng.integers(2)] = False
            flex = [f if k else 0.1 * f for f, k in zip(flex, keep, strict=True)]
            turns = [(flex[0], rng.uniform(-20, 20), rng.uniform(-5, 5)), (flex[1], 0.0, 0.0), (flex[2], 0.0, 0.0)]
        for k, (bend, side, twist) in enumerate(turns):
            axis = np.cross(up[k], along[k])
            if finger == "thumb" and k == 0:
                dorsal = np.array([0.0, 1.0, 0.0])
                rise = unit(dorsal - along[0] * along[0][1])
                out[first] = (
                    rotation(-dorsal, bend) @ rotation(np.cross(rise, along[0]), side) @ rotation(-along[0], twist)
                )
            else:
                out[first + k] = rotation(axis, bend) @ rotation(up[k], side) @ rotation(along[k], twist)
    return out


def transforms_of(joints: Array, rotations: Array) -> Array:
    """(16, 3, 4): rest to posed coordinates."""
    world = np.zeros((16, 3, 4))
    world[0, :, :3], world[0, :, 3] = rotations[0], joints[0]
    for j in range(1, 16):
        p = PARENTS[j]
        world[j, :, :3] = world[p, :, :3] @ rotations[j]
        world[j, :, 3] = world[p, :, :3] @ (joints[j] - joints[p]) + world[p, :, 3]
    world[:, :, 3] -= np.einsum("jab,jb->ja", world[:, :, :3], joints)
    return world


class FingerwiseSurface(HandSurface):
    """Each vertex sees the palm and its own finger only, so that touching fingers do not attract each other's skin."""

    def __init__(self, skeleton: Skeleton, who: Array) -> None:
        super().__init__(skeleton)
        self.who = who

    def distance(self, points: Array, transforms: Array | None = None) -> Array:
        palm = self._blend(self.palm, points, transforms, 8.0)
        whole = np.full(len(points), np.inf)
        for k, finger in enumerate(FINGERS):
            seen = (self.who == k) | (self.who == -1)
            one = self._blend(self.fingers[finger], points[seen], transforms, 4.0)
            joined = smooth_min(palm[seen], one, 9.0 if finger == "thumb" else 5.0)
            whole[seen] = np.minimum(whole[seen], joined)
        return np.asarray(-smooth_min(-whole, -(points[:, 0] - self.STUB), 5.0))


def pose_correctives(s: Skeleton, surface: HandSurface, points: Array, faces: Faces, weights: Array) -> Array:
    """posedirs (V, 3, 135) in mm."""
    rng = np.random.default_rng(7)
    who, _ = owner(s, surface, points)
    posed_surface = FingerwiseSurface(s, who)
    near = adjacency(faces, len(points))
    degree = np.asarray(near.sum(axis=1))
    rest_offset = posed_surface.distance(points)
    features, targets = [], []
    for _ in range(POSES):
        rotations = training_rotations(s, rng)
        world = transforms_of(s.joints, rotations)
        blend = np.einsum("vj,jab->vab", weights, world)
        posed = np.einsum("vab,vb->va", blend[:, :, :3], points) + blend[:, :, 3]
        moved = _to_level(posed_surface, posed, world, rest_offset)
        back = np.linalg.solve(blend[:, :, :3], (moved - posed)[:, :, None])[:, :, 0]
        size = np.linalg.norm(back, axis=1, keepdims=True)
        back *= np.minimum(1.0, MAX_DISPLACEMENT / np.maximum(size, 1e-9))
        for _ in range(2):
            back = 0.5 * back + 0.5 * (near @ back) / degree
        features.append((rotations[1:] - np.eye(3)).reshape(135))
        targets.append(back)
    return regress(np.array(features), np.array(targets), weights, near)


def _to_level(surface: HandSurface, points: Array, world: Array, level: Array) -> Array:
    for _ in range(4):
        g = surface.gradient(points, world)
        d = surface.distance(points, world) - level
        move = -(d / np.maximum((g * g).sum(1), 0.25))[:, None] * g
        size = np.linalg.norm(move, axis=1, keepdims=True)
        points = points + move * np.minimum(1.0, 2.0 / np.maximum(size, 1e-9))
    return points


def regress(features: Array, targets: Array, weights: Array, near: Array, ridge: float = 0.02) -> Array:
    """Ridge regression per vertex on the joints that hold it or a neighbour; (N, 135), (N, V, 3) -> (V, 3, 135)."""
    count = weights.shape[0]
    reach = ((near @ (near @ weights)) + weights)[:, 1:] > 0.02
    out = np.zeros((count, 3, 135))
    for pattern in np.unique(reach, axis=0):
        joints = np.flatnonzero(pattern)
        if not len(joints):
            continue
        columns = (joints[:, None] * 9 + np.arange(9)).ravel()
        rows = np.flatnonzero((reach == pattern).all(axis=1))
        x = features[:, columns]
        gram = x.T @ x + ridge * len(x) * np.eye(len(columns))
        y = targets[:, rows].reshape(len(x), -1)
        solved = np.linalg.solve(gram, x.T @ y).reshape(len(columns), len(rows), 3)
        out[np.ix_(rows, range(3), columns)] = solved.transpose(1, 2, 0)
    return out
