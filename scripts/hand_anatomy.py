"""The anatomy of the bundled hand: joint centres and an implicit surface that can be posed.

Model axes, millimetres: wrist at the origin, distal = -x, dorsal = +y, radial (thumb side) = +z; a right hand.

Sources: bone lengths, Buryanov & Kotiuk 2010, "Proportions of hand segments" (Int. J. Morphol. 28(3)), mean of adults;
finger breadths and depths and hand breadth (about 85 mm between the sexes' means), Garrett 1971, "The adult human hand"
(Human Factors 13), and Greiner 1991, "Hand anthropometry of U.S. Army personnel"; the places of the joint centres
(7 to 12 mm under the dorsal skin), of the carpus and of the arches are rounded from anatomy atlases.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Joint numbers in MANO's order.
WRIST = 0
FIRST_JOINT = {"index": 1, "middle": 4, "little": 7, "ring": 10, "thumb": 13}
FINGERS = ("thumb", "index", "middle", "ring", "little")
LONG_FINGERS = ("index", "middle", "ring", "little")

# Proximal, middle, distal phalanx (thumb: metacarpal, proximal, distal), mm [Buryanov & Kotiuk 2010].
PHALANGES = {
    "thumb": (46.22, 31.57, 21.67),
    "index": (39.78, 22.38, 15.82),
    "middle": (44.63, 26.33, 17.40),
    "ring": (41.37, 25.65, 17.30),
    "little": (32.74, 18.11, 15.96),
}
METACARPALS = {"index": 68.12, "middle": 64.60, "ring": 58.00, "little": 53.69}
TIP_TISSUE = {"thumb": 4.3, "index": 3.8, "middle": 4.0, "ring": 4.0, "little": 3.7}  # skin beyond the bone

# Metacarpal bases as (distal, radial, dorsal) and the radial lean of each metacarpal, degrees.
METACARPAL_BASES = {
    "index": (22.0, 9.0, 1.0),
    "middle": (28.0, 1.0, 2.5),
    "ring": (27.0, -7.0, 1.5),
    "little": (24.0, -14.0, -0.5),
}
METACARPAL_LEAN = {"index": 11.5, "middle": 0.8, "ring": -10.5, "little": -22.0}
METACARPAL_DROP = {"index": -0.5, "middle": -0.5, "ring": -1.0, "little": -3.5}  # degrees towards the palm is negative
FINGER_LEAN = {"index": 7.0, "middle": 1.0, "ring": -5.5, "little": -14.0}  # rest spread, degrees
FINGER_DROP = (-3.0, -6.0, -8.5)  # the rest pose is flat but not stiff: slope of the three phalanges, degrees

THUMB_BASE = (21.0, 20.0, -9.0)
# Directions (distal, radial, dorsal) of the thumb's metacarpal, proximal and distal phalanx at rest.
THUMB_DIRECTIONS = ((0.72, 0.62, -0.30), (0.82, 0.53, -0.18), (0.90, 0.41, -0.13))
THUMB_PULP = (-0.10, -0.62, -0.72)  # where the thumb's pulp faces (distal, radial, dorsal)

# Half breadths, mm: base, shaft, head of the proximal phalanx; shaft, head of the middle one; pulp, tip.
HALF_BREADTH = {
    "thumb": (11.5, 10.8, 11.2, 9.7, 10.6, 10.6, 7.6),
    "index": (10.2, 9.5, 9.7, 8.8, 8.4, 8.4, 6.3),
    "middle": (10.3, 9.6, 9.8, 8.9, 8.5, 8.5, 6.4),
    "ring": (9.8, 9.1, 9.2, 8.4, 8.0, 8.0, 6.0),
    "little": (8.9, 8.1, 8.2, 7.5, 7.2, 7.2, 5.4),
}


def vector(distal: float, radial: float, dorsal: float) -> Array:
    """Anatomical directions to model axes."""
    return np.array([-distal, dorsal, radial])


def unit(v: Array) -> Array:
    """v / |v|."""
    return np.asarray(v / np.linalg.norm(v))


def _direction(lean: float, slope: float) -> Array:
    a, b = np.radians(lean), np.radians(slope)
    return vector(np.cos(a) * np.cos(b), np.sin(a) * np.cos(b), np.sin(b))


@dataclass
class Skeleton:
    """Joint centres (16, 3), bone ends of the five fingers and skin tips, mm, in the rest pose."""

    joints: Array
    bone_ends: dict[str, Array]
    tips: dict[str, Array]
    metacarpal_bases: dict[str, Array]
    dorsal: dict[str, Array]  # (3, 3) per finger: the dorsal direction of each phalanx


def build_skeleton() -> Skeleton:
    """The rest pose from the tables above."""
    joints = np.zeros((16, 3))
    ends, tips, bases, dorsal = {}, {}, {}, {}
    for finger in FINGERS:
        if finger == "thumb":
            start = vector(*THUMB_BASE)
            directions = [unit(vector(*d)) for d in THUMB_DIRECTIONS]
            up = [unit(-vector(*THUMB_PULP) + d * (vector(*THUMB_PULP) @ d)) for d in directions]
        else:
            bases[finger] = vector(*METACARPAL_BASES[finger])
            lean = _direction(METACARPAL_LEAN[finger], METACARPAL_DROP[finger])
            start = bases[finger] + METACARPALS[finger] * lean
            directions = [_direction(FINGER_LEAN[finger], slope) for slope in FINGER_DROP]
            up = [unit(np.array([0, 1.0, 0]) - d * d[1]) for d in directions]
        first = FIRST_JOINT[finger]
        position = start
        for k, (length, direction) in enumerate(zip(PHALANGES[finger], directions, strict=True)):
            joints[first + k] = position
            position = position + length * direction
        ends[finger] = position
        tips[finger] = position + TIP_TISSUE[finger] * directions[2]
        dorsal[finger] = np.stack(up)
    return Skeleton(joints, ends, tips, bases, dorsal)


@dataclass
class Part:
    """A piece of the implicit surface, in rest coordinates; `joints` says which bone each control point follows."""

    kind: str  # "tube", "ellipsoid", "slab"
    points: Array  # tube (2, 3); ellipsoid (1, 3); slab (3, 3)
    joints: tuple[int, ...]
    radii: Array  # tube: profile along it; ellipsoid: half axes; slab: one thickness
    frame: Array = field(default_factory=lambda: np.eye(3))  # rows: along, lateral, dorsal
    flatness: float = 1.0  # depth / breadth of a tube


def _frame(along: Array, dorsal: Array) -> Array:
    along = unit(along)
    up = unit(dorsal - along * (dorsal @ along))
    return np.stack([along, np.cross(up, along), up])


def tube(a: Array, b: Array, joint: int, radii: tuple[float, ...], dorsal: Array, flatness: float = 1.0) -> Part:
    """A tapered tube from a to b with rounded ends; radii are half breadths at even steps."""
    return Part("tube", np.stack([a, b]), (joint,), np.array(radii), _frame(b - a, dorsal), flatness)


def ellipsoid(centre: Array, radii: tuple[float, float, float], joint: int, along: Array, dorsal: Array) -> Part:
    """Half axes along, lateral, dorsal."""
    return Part("ellipsoid", centre[None], (joint,), np.array(radii), _frame(along, dorsal))


def slab(corners: tuple[Array, Array, Array], joints: tuple[int, int, int], half_thickness: float) -> Part:
    """A rounded triangle (skin web)."""
    return Part("slab", np.stack(corners), joints, np.array([half_thickness]))


def finger_parts(s: Skeleton, finger: str) -> list[Part]:
    """The three phalanges of a finger and their pads."""
    first = FIRST_JOINT[finger]
    w = HALF_BREADTH[finger]
    up = s.dorsal[finger]
    p = [s.joints[first], s.joints[first + 1], s.joints[first + 2], s.bone_ends[finger]]
    drop = 0.9  # joint centres lie nearer the dorsal skin
    q = [x - drop * up[min(k, 2)] for k, x in enumerate(p)]
    d = [unit(p[k + 1] - p[k]) for k in range(3)]
    tip = p[3] + (TIP_TISSUE[finger] - w[6] * 0.98) * d[2] - 1.2 * up[2]
    parts: list[Part] = []
    if finger == "thumb":
        parts.append(tube(q[0], q[1], first, (11.5, 11.0, 11.4), up[0], 1.0))
        parts.append(tube(q[1], q[2], first + 1, (w[2], w[3], w[4]), up[1], 0.92))
        parts.append(ellipsoid((q[1] + q[2]) / 2 - 3.0 * up[1], (12.5, w[3] * 0.85, 8.0), first + 1, d[1], up[1]))
    else:
        parts.append(tube(q[0], q[1], first, (w[0], w[1], w[2]), up[0], 0.93))
        parts.append(tube(q[1], q[2], first + 1, (w[2], w[3], w[4]), up[1], 0.90))
        parts.append(ellipsoid(q[0] * 0.42 + q[1] * 0.58 - 3.4 * up[0], (12.0, w[1] * 0.86, 7.6), first, d[0], up[0]))
        middle_length = float(np.linalg.norm(q[2] - q[1]))
        parts.append(
            ellipsoid((q[1] + q[2]) / 2 - 2.6 * up[1], (middle_length * 0.36, w[3] * 0.84, 7.0), first + 1, d[1], up[1])
        )
    parts.append(tube(q[2], tip, first + 2, (w[4] * 0.97, w[5] * 0.97, w[6]), up[2], 0.84))
    pulp = q[2] * 0.42 + p[3] * 0.58 - 2.2 * up[2]
    parts.append(ellipsoid(pulp, (10.5, w[5] * 0.92, w[5] * 0.74), first + 2, d[2], up[2]))
    return parts


def palm_parts(s: Skeleton) -> list[Part]:
    """Forearm stub, carpus, metacarpals, thenar and hypothenar eminences, and the webs."""
    y = np.array([0.0, 1.0, 0.0])
    parts = [
        tube(vector(-32, 0, -2), vector(4, 1, -1.5), WRIST, (29.0, 28.0, 27.0), y, 0.69),
        tube(vector(6, 1.5, -3), vector(30, 2, -4), WRIST, (25.0, 25.0), y, 0.66),
    ]
    radii = {"index": (11, 11.5, 12.0), "middle": (11, 11.5, 12.2), "ring": (11, 11.3, 11.6), "little": (11, 11, 11.0)}
    for finger in LONG_FINGERS:
        head = s.joints[FIRST_JOINT[finger]]
        parts.append(tube(s.metacarpal_bases[finger] - 3.6 * y, head - 2.7 * y, WRIST, radii[finger], y, 0.97))
    # Thenar: muscle between the carpus and the thumb's metacarpal; hypothenar: along the little finger's metacarpal.
    thumb, thumb_mcp = s.joints[13], s.joints[14]
    along = thumb_mcp - thumb
    thenar = thumb * 0.55 + thumb_mcp * 0.45 + vector(3, -7, -6.5)
    parts.append(ellipsoid(thenar, (29.0, 15.5, 13.0), 13, along, y))
    little = s.joints[FIRST_JOINT["little"]]
    hypothenar = s.metacarpal_bases["little"] * 0.62 + little * 0.38 + vector(-2, -3.5, -8.5)
    parts.append(ellipsoid(hypothenar, (31.0, 13.5, 12.5), WRIST, vector(1, -0.25, 0), y))
    # Pads under the metacarpal heads.
    for finger in LONG_FINGERS:
        head = s.joints[FIRST_JOINT[finger]]
        parts.append(ellipsoid(head + vector(1, 0, -9.5), (12.0, 10.5, 6.5), WRIST, vector(1, 0, 0), y))
    # First web: between the thumb's metacarpal and the index's.
    index = s.joints[FIRST_JOINT["index"]]
    base = s.metacarpal_bases["index"]
    corners = (
        thumb * 0.9 + thumb_mcp * 0.1,
        thumb * 0.22 + thumb_mcp * 0.78 - 1.0 * y,
        base * 0.24 + index * 0.76 - 5.0 * y,
    )
    parts.append(slab(corners, (13, 13, WRIST), 6.5))
    # Webs of the long fingers, about 40 % up the proximal phalanx on the palm side.
    for left, right in pairwise(LONG_FINGERS):
        ends = []
        for finger, share in ((left, 0.33), (right, 0.36)):
            first = FIRST_JOINT[finger]
            ends.append(s.joints[first] * (1 - share) + s.joints[first + 1] * share - 3.5 * y)
        parts.append(tube(ends[0], ends[1], WRIST, (5.2, 5.0, 5.2), y, 1.1))
    return parts


def _distance(part: Part, points: Array, transforms: Array | None) -> Array:
    """Signed distance (exact enough near the surface) of points (N, 3); negative inside."""
    if part.kind == "slab":
        corners = part.points
        if transforms is not None:
            corners = np.stack(
                [transforms[j, :, :3] @ c + transforms[j, :, 3] for j, c in zip(part.joints, corners, strict=True)]
            )
        return triangle_distance(points, corners) - part.radii[0]
    if transforms is not None:
        t = transforms[part.joints[0]]
        points = (points - t[:, 3]) @ t[:, :3]
    local = (points - part.points[0]) @ part.frame.T
    if part.kind == "ellipsoid":
        k0 = np.linalg.norm(local / part.radii, axis=1)
        k1 = np.linalg.norm(local / part.radii**2, axis=1)
        return np.asarray(k0 * (k0 - 1.0) / np.maximum(k1, 1e-9))
    length = float(np.linalg.norm(part.points[1] - part.points[0]))
    t = np.clip(local[:, 0] / length, 0.0, 1.0)
    steps = np.linspace(0, 1, len(part.radii))
    if len(part.radii) == 3:
        radius = np.polyval(np.polyfit(steps, part.radii, 2), t)
    else:
        radius = np.interp(t, steps, part.radii)
    off = np.stack([local[:, 0] - t * length, local[:, 1], local[:, 2] / part.flatness], axis=1)
    return np.asarray(np.linalg.norm(off, axis=1) - radius) * min(1.0, part.flatness)


def triangle_distance(points: Array, corners: Array) -> Array:
    """Unsigned distance to a triangle (3, 3)."""
    a, b, c = corners
    normal = np.cross(b - a, c - a)
    best = np.full(len(points), np.inf)
    inside = np.ones(len(points), dtype=bool)
    for p, q in ((a, b), (b, c), (c, a)):
        edge = q - p
        t = np.clip((points - p) @ edge / (edge @ edge), 0, 1)
        best = np.minimum(best, np.linalg.norm(points - p - t[:, None] * edge, axis=1))
        inside &= (points - p) @ np.cross(normal, edge) >= 0
    plane = np.abs((points - a) @ normal) / np.linalg.norm(normal)
    return np.where(inside, plane, best)


def smooth_min(a: Array, b: Array, k: float) -> Array:
    """Polynomial smooth minimum; blends within k."""
    h = np.clip(0.5 + 0.5 * (b - a) / k, 0.0, 1.0)
    return np.asarray(b * (1 - h) + a * h - k * h * (1 - h))


class HandSurface:
    """The whole hand as one implicit function, in any pose of its bones."""

    STUB = 26.0  # mm of forearm behind the wrist

    def __init__(self, skeleton: Skeleton) -> None:
        self.palm = palm_parts(skeleton)
        self.fingers = {finger: finger_parts(skeleton, finger) for finger in FINGERS}

    def distance(self, points: Array, transforms: Array | None = None) -> Array:
        """Signed distance of points (N, 3) mm; transforms (16, 3, 4) take rest to posed coordinates."""
        palm = self._blend(self.palm, points, transforms, 8.0)
        # The stub is cut flat; the wrist does not move relative to it.
        cut = points[:, 0] - self.STUB
        whole = None
        for finger in FINGERS:
            one = self._blend(self.fingers[finger], points, transforms, 4.0)
            joined = smooth_min(palm, one, 9.0 if finger == "thumb" else 5.0)
            whole = joined if whole is None else np.minimum(whole, joined)
        assert whole is not None
        return np.asarray(-smooth_min(-whole, -cut, 5.0))

    @staticmethod
    def _blend(parts: list[Part], points: Array, transforms: Array | None, k: float) -> Array:
        total = _distance(parts[0], points, transforms)
        for part in parts[1:]:
            total = smooth_min(total, _distance(part, points, transforms), k)
        return total

    def gradient(self, points: Array, transforms: Array | None = None, step: float = 0.05) -> Array:
        """Outward gradient (N, 3) by central differences."""
        out = np.empty_like(points)
        for axis in range(3):
            offset = np.zeros(3)
            offset[axis] = step
            out[:, axis] = self.distance(points + offset, transforms) - self.distance(points - offset, transforms)
        return out / (2 * step)

    def project(
        self, points: Array, transforms: Array | None = None, steps: int = 4, limit: float = 3.0, level: float = 0.0
    ) -> Array:
        """Newton steps to the surface (or `level` mm outside it), each at most `limit` mm."""
        points = points.copy()
        for _ in range(steps):
            g = self.gradient(points, transforms)
            d = self.distance(points, transforms) - level
            move = -(d / np.maximum((g * g).sum(1), 0.1))[:, None] * g
            size = np.linalg.norm(move, axis=1, keepdims=True)
            points += move * np.minimum(1.0, limit / np.maximum(size, 1e-9))
        return points
