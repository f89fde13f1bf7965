"""What stands still in a sequence: the person at a table in front of a wall, things on the table, lights, camera."""

from __future__ import annotations

import numpy as np

from hand_pose_ros.datasets.synthetic.materials import random_color, sample_material
from hand_pose_ros.datasets.synthetic.placement import affine, between, frame_along, rotation_about
from hand_pose_ros.datasets.synthetic.spec import Label, Material, Pattern, Photometry, Primitive, Shape, Skin
from hand_pose_ros.types import DoubleArray

SHOULDER_REACH = 0.17  # m, from the middle to the shoulder joint
WOODS = ((0.32, 0.17, 0.08), (0.45, 0.29, 0.15), (0.55, 0.42, 0.28), (0.6, 0.6, 0.58), (0.12, 0.09, 0.07))


def plain_photometry(rng: np.random.Generator, noise: float) -> Photometry:
    """A camera that does its work: fair exposure and white balance, a little blur, `noise` grey levels."""
    exposure = 2.0 ** rng.uniform(-0.25, 0.35)
    red, green, blue = (float(value) for value in exposure * rng.uniform(0.95, 1.05, 3))
    return Photometry(gain=(red, green, blue), gamma=2.2, blur=0.4, noise=noise)


def sample_cloth(rng: np.random.Generator) -> Material:
    """What people wear: mostly plain and dull, now and then striped."""
    grey = float(rng.uniform(0.03, 0.5))
    red, green, blue = (float(value) for value in np.clip(grey * rng.uniform(0.5, 1.3, 3), 0.02, 0.9))
    pattern = Pattern.STRIPES if rng.random() < 0.25 else Pattern.BLOTCHES
    second = (0.8 * red, 0.8 * green, 0.82 * blue)
    return Material((red, green, blue), second, pattern, float(rng.uniform(12.0, 40.0)), noise=0.15, specular=0.0)


def torso(rng: np.random.Generator, shoulders: DoubleArray, skin: Skin, cloth: Material) -> list[Primitive]:
    """Trunk, neck and head of a person facing the camera; `shoulders` (3,) is the middle between them."""
    wide = float(rng.uniform(0.19, 0.22))
    reach = np.array([SHOULDER_REACH, 0.0, 0.0])
    yoke = between(shoulders - reach, shoulders + reach, np.array([0.055, 0.06]), np.array([0.0, 1.0, 0.0]))
    middle = shoulders + np.array([0.0, 0.3, 0.03])
    turned = rotation_about(1, float(rng.normal(0.0, 0.1)))
    trunk = affine(turned, np.array([wide, 0.37, 0.12]), middle)
    # The neck continues into the trunk, so that the head does not float.
    neck = affine(rotation_about(0, np.pi / 2), np.array([0.055, 0.055, 0.16]), shoulders + np.array([0.0, 0.1, 0.03]))
    head = affine(np.eye(3), np.array([0.076, 0.115, 0.095]), shoulders + np.array([0.0, -0.17, -0.01]))
    face = Material(skin.back, random_color(rng), noise=skin.noise, specular=skin.specular, skin=True)
    return [
        Primitive(Shape.SPHERE, trunk, cloth, Label.OTHER),
        Primitive(Shape.CAPSULE, yoke, cloth, Label.OTHER, bulge=0.25, cap=0.16),
        Primitive(Shape.CAPSULE, neck, face, Label.OTHER, cap=0.3),
        Primitive(Shape.SPHERE, head, face, Label.OTHER),
    ]


def wall(rng: np.random.Generator, distance: float) -> Primitive:
    """A wall `distance` metres away, nearly square to the view."""
    normal = np.array([rng.normal(0.0, 0.12), rng.normal(0.0, 0.03), 1.0])
    grey = float(rng.uniform(0.25, 0.7))
    red, green, blue = (float(value) for value in np.clip(grey * rng.uniform(0.8, 1.15, 3), 0.02, 0.95))
    paint = Material(
        (red, green, blue), (red * 0.93, green * 0.93, blue * 0.95), Pattern.BLOTCHES, 3.0, noise=0.05, specular=0.0
    )
    transform = affine(frame_along(normal, 0.0), np.array([8.0, 8.0, 1.0]), np.array([0.0, 0.0, distance]))
    return Primitive(Shape.PLANE, transform, paint, Label.BACKGROUND)


def table(rng: np.random.Generator, height: float, near: float, far: float) -> list[Primitive]:
    """A table whose top lies at y = `height` metres from z = `near` to `far`, and things that stand on it."""
    red, green, blue = WOODS[int(rng.integers(len(WOODS)))]
    dark = (red * 0.75, green * 0.72, blue * 0.7)
    wood = Material((red, green, blue), dark, Pattern.BLOTCHES, 8.0, noise=0.12, specular=0.06)
    half = np.array([1.6, 0.02, 0.5 * (far - near)])
    top = np.array([0.0, height + 0.02, 0.5 * (far + near)])
    parts = [Primitive(Shape.BOX, affine(np.eye(3), half, top), wood, Label.BACKGROUND)]
    for side in (-1.0, 1.0):
        x = side * float(rng.uniform(0.36, 0.42))
        for _ in range(int(rng.integers(1, 3))):
            place = np.array([x, height, float(rng.uniform(0.45 * near + 0.55 * far, far - 0.1))])
            parts.append(_thing(rng, place))
            x += side * float(rng.uniform(0.16, 0.3))
    return parts


def _thing(rng: np.random.Generator, foot: DoubleArray) -> Primitive:
    """Something upright whose foot stands at (3,): a box, a cup, a bottle, a ball."""
    shape = (Shape.BOX, Shape.CUP, Shape.CYLINDER, Shape.SPHERE)[int(rng.integers(4))]
    wide, tall = float(rng.uniform(0.03, 0.05)), float(rng.uniform(0.09, 0.24))
    if shape is Shape.CUP:
        wide, tall = float(rng.uniform(0.035, 0.045)), float(rng.uniform(0.08, 0.11))
    material = sample_material(rng, 0.15)
    up = np.array([0.0, -1.0, 0.0])
    turned = rotation_about(1, float(rng.uniform(0.0, 2.0 * np.pi)))
    if shape is Shape.SPHERE:
        return Primitive(shape, affine(turned, np.full(3, wide), foot + wide * up), material, Label.OTHER)
    if shape is Shape.BOX:
        half = np.array([wide * rng.uniform(0.6, 2.0), tall / 2, wide])
        return Primitive(shape, affine(turned, half, foot + tall / 2 * up), material, Label.OTHER)
    # Local z = 0..1 runs from the foot to the top.
    upright = turned @ rotation_about(0, np.pi / 2)
    return Primitive(shape, affine(upright, np.array([wide, wide, tall]), foot), material, Label.OTHER, taper=0.9)
