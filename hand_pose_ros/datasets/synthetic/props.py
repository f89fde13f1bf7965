"""What is around a hand: an object in its grasp, things before and behind it, the person, walls and tables."""

from __future__ import annotations

import numpy as np

from hand_pose_ros.datasets.synthetic.materials import sample_material
from hand_pose_ros.datasets.synthetic.placement import (
    affine,
    between,
    cross,
    frame_along,
    random_rotation,
    rotation_about,
    unit,
)
from hand_pose_ros.datasets.synthetic.spec import HandTruth, Label, Material, ObjectTruth, Primitive, Shape
from hand_pose_ros.skeleton import BONES, MCPS, TIPS, Side
from hand_pose_ros.types import DoubleArray, FloatArray

FINGER_RADIUS = 0.009  # m, bone to palmar skin
PULP = 0.007  # m, tip to the surface it touches
CLUTTER = (Shape.BOX, Shape.SPHERE, Shape.CYLINDER, Shape.CAPSULE, Shape.CUP)
HELD_SHAPES = (Shape.CYLINDER, Shape.CAPSULE, Shape.BOX, Shape.SPHERE, Shape.CUP)


_STARTS, _ENDS = np.array(BONES).T
_ALONG = np.linspace(0.0, 1.0, 4)[:, None, None]


def _bone_points(joints: FloatArray) -> DoubleArray:
    """(80, 3) points along the bones."""
    start, end = joints[_STARTS].astype(np.float64), joints[_ENDS].astype(np.float64)
    return np.asarray((start + _ALONG * (end - start)).reshape(-1, 3))


def held_object(rng: np.random.Generator, hand: HandTruth) -> tuple[Primitive, ObjectTruth] | None:
    """An object between fingers and palm or in a pinch, as thick as the pose leaves room for; None if there is none."""
    joints = hand.joints.astype(np.float64)
    points = _bone_points(hand.joints)
    if rng.random() < 0.7:
        tips = joints[list(TIPS[1:])].mean(axis=0)
        middle = 0.5 * (joints[list(MCPS)].mean(axis=0) + tips)
        palm = unit(cross(joints[17] - joints[0], joints[5] - joints[0]))
        palm = palm if hand.side is Side.RIGHT else -palm
        middle = middle + palm * rng.uniform(0.0, 0.03)
        axis = unit(joints[5] - joints[17] + 0.03 * rng.standard_normal(3))
    else:  # pinch of thumb and a finger
        finger = TIPS[int(rng.integers(1, 4))]
        middle = 0.5 * (joints[4] + joints[finger])
        axis = unit(cross(joints[4] - joints[finger], rng.standard_normal(3)))
    offset = points - middle
    along = offset @ axis
    across = np.linalg.norm(offset - along[:, None] * axis, axis=1)
    room = float(across[np.abs(along) < 0.05].min(initial=0.06)) - FINGER_RADIUS
    if room < 0.004:
        return None
    radius = min(room * float(rng.uniform(0.85, 1.1)), 0.05)
    return _object(rng, middle, axis, radius, Label.OBJECT)


def gripped_box(rng: np.random.Generator, hand: HandTruth) -> tuple[Primitive, ObjectTruth] | None:
    """A box between the pulps of thumb and fingers that reaches beyond them; None where they leave no room for any."""
    joints = hand.joints.astype(np.float64)
    thumb, fingers = joints[TIPS[0]], joints[list(TIPS[1:4])].mean(axis=0)
    across = unit(fingers - thumb)
    grip = 0.5 * (thumb + fingers)
    # Away from the palm, square to the line between the pulps.
    out = grip - joints[list(MCPS)].mean(axis=0)
    out = unit(out - across * float(out @ across))
    turn = float(rng.normal(0.0, 0.25))
    rotation = np.stack([out, cross(across, out), across], axis=1) @ rotation_about(2, turn)
    half = np.array([rng.uniform(0.025, 0.09), rng.uniform(0.025, 0.1), 0.0])
    # As deep in the grasp as the pulps' pads.
    centre = grip + rotation @ np.array([half[0] - rng.uniform(0.002, 0.02), half[1] * rng.uniform(-0.6, 0.6), 0.0])
    offset = (_bone_points(hand.joints) - centre) @ rotation
    beside = offset[(np.abs(offset[:, :2]) < half[:2] + 0.003).all(axis=1), 2]
    low = float(beside[beside < 0].max(initial=-0.06)) + PULP
    high = float(beside[beside > 0].min(initial=0.06)) - PULP
    if high - low < 0.012:
        return None
    half[2] = 0.5 * (high - low)
    centre = centre + 0.5 * (high + low) * rotation[:, 2]
    truth = ObjectTruth(
        Shape.BOX, rotation.astype(np.float32), centre.astype(np.float32), (2.0 * half).astype(np.float32)
    )
    material = sample_material(rng, 2.0 * float(half.max()))
    return Primitive(Shape.BOX, affine(rotation, half, centre), material, Label.OBJECT), truth


def _object(
    rng: np.random.Generator, middle: DoubleArray, axis: DoubleArray, radius: float, label: Label
) -> tuple[Primitive, ObjectTruth]:
    shape = HELD_SHAPES[int(rng.integers(len(HELD_SHAPES)))]
    rotation = frame_along(axis, float(rng.uniform(0.0, 2.0 * np.pi)))
    length = float(np.exp(rng.uniform(np.log(max(2.0 * radius, 0.03)), np.log(0.3))))
    slide = float(rng.uniform(-0.5, 0.5)) * max(length - 0.08, 0.0)
    centre = middle + slide * axis
    half = np.array([radius, radius, length / 2])
    if shape is Shape.SPHERE:
        centre, half = middle, np.full(3, radius)
    elif shape is Shape.BOX:
        half = half * np.array([rng.uniform(0.4, 1.0), 0.8, 1.0])
    material = sample_material(rng, 2.0 * float(half.max()))
    taper = float(rng.uniform(0.7, 1.3)) if shape in (Shape.CYLINDER, Shape.CUP) else 1.0
    truth = ObjectTruth(shape, rotation.astype(np.float32), centre.astype(np.float32), (2.0 * half).astype(np.float32))
    return solid(shape, rotation, centre, half, material, label, taper), truth


def solid(
    shape: Shape,
    rotation: DoubleArray,
    centre: DoubleArray,
    half: DoubleArray,
    material: Material,
    label: Label,
    taper: float = 1.0,
) -> Primitive:
    """A primitive of half sizes `half` (3,) centred at `centre`."""
    if shape in (Shape.BOX, Shape.SPHERE, Shape.PLANE):
        return Primitive(shape, affine(rotation, half, centre), material, label)
    start, end = centre - half[2] * rotation[:, 2], centre + half[2] * rotation[:, 2]
    cap = 0.8 * half[0] / (2.0 * half[2])
    transform = between(start, end, half[:2], rotation[:, 0])
    return Primitive(shape, transform, material, label, taper=taper, cap=float(cap))


def occluder(rng: np.random.Generator, hand: HandTruth) -> Primitive:
    """Something between the camera and a part of the hand."""
    target = hand.joints[int(rng.integers(21))].astype(np.float64) + 0.02 * rng.standard_normal(3)
    centre = target * float(rng.uniform(0.6, 0.92))
    half = rng.uniform(0.006, 0.04, 3) * centre[2] / target[2]
    shape = (Shape.BOX, Shape.CAPSULE, Shape.SPHERE)[int(rng.integers(3))]
    half[2] = rng.uniform(0.02, 0.12)
    return solid(shape, random_rotation(rng), centre, half, sample_material(rng), Label.OTHER)


def clutter(rng: np.random.Generator, near: DoubleArray, count: int) -> list[Primitive]:
    """Things beside and behind the place `near` (3,), some of them finger sized."""
    parts: list[Primitive] = []
    if count == 0:
        return parts
    offsets = rng.standard_normal((count, 3)) * np.array([0.2, 0.15, 0.2]) + np.array([0.0, 0.03, 0.15])
    distances = np.sqrt((offsets * offsets).sum(axis=1))
    offsets *= np.maximum(0.12 / np.maximum(distances, 1e-6), 1.0)[:, None]
    # Kept clear of the hand's ball of 10 cm.
    largest = np.maximum(np.maximum(distances, 0.12) - 0.1, 0.01)
    halves = np.minimum(0.007 * (0.12 / 0.007) ** rng.random((count, 3)), largest[:, None])
    for shape_index, centre, half in zip(rng.integers(len(CLUTTER), size=count), near + offsets, halves, strict=True):
        if centre[2] < 0.15:
            continue
        shape = CLUTTER[shape_index]
        if shape is not Shape.BOX:
            half[1] = half[0]
        parts.append(solid(shape, random_rotation(rng), centre, half, sample_material(rng, 0.15), Label.OTHER))
    return parts


def walls(rng: np.random.Generator, points: FloatArray, probability: float) -> list[Primitive]:
    """A wall behind and a table below the `points` (N, 3) of the hands, each with this probability; or empty space."""
    planes = []
    if rng.random() < probability:
        normal = unit(np.array([rng.normal(0.0, 0.3), rng.normal(0.0, 0.3), 1.0]))
        planes.append(_plane_behind(rng, points, normal, float(np.exp(rng.uniform(np.log(0.03), np.log(4.0))))))
    if rng.random() < probability * 0.6:
        # From a table seen edge-on to one looked down upon; a hand may lie on it.
        tilt = rng.uniform(0.1, 1.5)
        normal = unit(np.array([rng.normal(0.0, 0.1), np.cos(tilt), np.sin(tilt)]))
        planes.append(_plane_behind(rng, points, normal, float(np.exp(rng.uniform(np.log(0.01), np.log(0.6))))))
    return planes


def _plane_behind(rng: np.random.Generator, points: FloatArray, normal: DoubleArray, gap: float) -> Primitive:
    """A large plane with this `normal` (3,), `gap` metres beyond the last of the points."""
    foot = normal * (float((points @ normal).max()) + gap)
    transform = affine(frame_along(normal, float(rng.uniform(0.0, 6.3))), np.array([8.0, 8.0, 1.0]), foot)
    return Primitive(Shape.PLANE, transform, sample_material(rng, 0.6), Label.BACKGROUND)
