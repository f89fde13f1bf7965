"""The person a hand belongs to: upper arm, torso, neck, head and thighs."""

from __future__ import annotations

import numpy as np

from hand_pose_ros.datasets.synthetic.arms import skin_material
from hand_pose_ros.datasets.synthetic.materials import random_color, sample_material
from hand_pose_ros.datasets.synthetic.placement import affine, between, rotation_about, unit
from hand_pose_ros.datasets.synthetic.spec import HandTruth, Label, Material, Primitive, Shape
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import DoubleArray


def body(rng: np.random.Generator, hand: HandTruth, probability: float, stretched: bool) -> list[Primitive]:
    """The upper arm of the hand's owner and, with this probability, torso and head; nothing at or behind the camera.

    A stretched arm goes on in the forearm's direction.
    """
    elbow = hand.elbow.astype(np.float64)
    along = unit(elbow - hand.joints[0].astype(np.float64))
    if stretched:
        shoulder = elbow + 0.3 * unit(along + 0.25 * rng.standard_normal(3) + np.array([0.0, 0.0, 0.15]))
    else:
        shoulder = elbow + 0.3 * unit(0.8 * rng.standard_normal(3) + np.array([0.0, -0.8, 1.2]) + along)
    cloth = sample_material(rng, 0.3)
    parts = []
    if shoulder[2] > 0.2 and elbow[2] > 0.1 and (stretched or rng.random() < 0.85):
        parts += _upper_arm(rng, shoulder, elbow, cloth, hand)
    inward = -1.0 if (hand.side is Side.LEFT) == (rng.random() < 0.85) else 1.0
    torso = shoulder + np.array([inward * rng.uniform(0.16, 0.2), 0.24, rng.uniform(-0.02, 0.08)])
    # What a stretched arm hangs on is mostly to be seen, or lies outside the picture.
    if torso[2] > 0.45 and rng.random() < (max(probability, 0.8 * (probability > 0)) if stretched else probability):
        parts += _torso_and_head(rng, torso, cloth, hand)
    return parts


def _upper_arm(
    rng: np.random.Generator, shoulder: DoubleArray, elbow: DoubleArray, cloth: Material, hand: HandTruth
) -> list[Primitive]:
    """In a sleeve, or bare with a short one."""
    side = np.array([1.0, 0.2, 0.1])
    radius = float(rng.uniform(0.038, 0.055))
    if rng.random() < 0.65:
        arm = between(shoulder, elbow, np.full(2, radius), side)
        return [Primitive(Shape.CAPSULE, arm, cloth, Label.OTHER, taper=0.85, cap=0.15)]
    bare = between(shoulder, elbow, np.full(2, 0.92 * radius), side)
    sleeve_end = shoulder + float(rng.uniform(0.3, 0.7)) * (elbow - shoulder)
    short = between(shoulder, sleeve_end, np.full(2, radius * float(rng.uniform(1.05, 1.3))), side)
    return [
        Primitive(Shape.CAPSULE, bare, skin_material(hand.skin), Label.OTHER, taper=0.85, cap=0.15),
        Primitive(Shape.CAPSULE, short, cloth, Label.OTHER, cap=0.05),
    ]


def _torso_and_head(rng: np.random.Generator, torso: DoubleArray, cloth: Material, hand: HandTruth) -> list[Primitive]:
    half = np.array([rng.uniform(0.17, 0.24), rng.uniform(0.3, 0.36), rng.uniform(0.1, 0.14)])
    turned = rotation_about(1, float(rng.normal(0.0, 0.3))) @ rotation_about(0, float(rng.normal(0.0, 0.15)))
    trunk = Primitive(Shape.SPHERE, affine(turned, half, torso), cloth, Label.OTHER)
    place = torso + np.array([rng.normal(0.0, 0.02), -0.45, rng.normal(-0.02, 0.03)])
    skin = Material(hand.skin.back, random_color(rng), noise=hand.skin.noise, specular=hand.skin.specular, skin=True)
    size = np.array([0.075, 0.115, 0.095]) * rng.uniform(0.92, 1.08)
    neck = between(torso + np.array([0.0, -0.2, 0.02]), place, np.full(2, 0.055), np.array([1.0, 0.0, 0.0]))
    parts = [
        trunk,
        Primitive(Shape.CAPSULE, neck, skin, Label.OTHER, cap=0.1),
        Primitive(Shape.SPHERE, affine(np.eye(3), size, place), skin, Label.OTHER),
    ]
    if rng.random() < 0.8:
        parts.append(_hair(rng, place, size))
    return parts


def _hair(rng: np.random.Generator, head: DoubleArray, size: DoubleArray) -> Primitive:
    """A cap on the back and top of the head; dark hair hardly sends infrared light back."""
    dark = float(rng.random())
    red, green, blue = ((1.0 - dark) * level + 0.012 for level in (0.35, 0.22, 0.1))
    look = Material((red, green, blue), (0.6 * red, 0.6 * green, 0.6 * blue), noise=0.4, loss=0.7 * dark)
    middle = head + size * np.array([0.0, -0.28, 0.3])
    return Primitive(Shape.SPHERE, affine(np.eye(3), size * rng.uniform(0.95, 1.15, 3), middle), look, Label.OTHER)


def lap(rng: np.random.Generator, hand: HandTruth) -> list[Primitive]:
    """Two thighs that point away from the camera or towards it, below the hand."""
    centre = hand.center.astype(np.float64)
    drop = float(rng.uniform(0.1, 0.3))
    forward = rotation_about(1, float(rng.normal(0.0, 0.6))) @ np.array([0.0, rng.uniform(-0.4, 0.6), 1.0])
    apart = unit(np.array([forward[2], 0.0, -forward[0]])) * float(rng.uniform(0.08, 0.16))
    cloth = sample_material(rng, 0.3)
    middle = centre + np.array([rng.normal(0.0, 0.08), drop + 0.08, 0.0])
    legs = []
    for side in (-1.0, 1.0):
        hip, knee = middle + side * apart - 0.25 * forward, middle + 1.3 * side * apart + 0.25 * forward
        thigh = between(hip, knee, np.full(2, rng.uniform(0.065, 0.085)), np.array([1.0, 0.1, 0.1]))
        legs.append(Primitive(Shape.CAPSULE, thigh, cloth, Label.OTHER, taper=0.75, cap=0.15))
    return legs
